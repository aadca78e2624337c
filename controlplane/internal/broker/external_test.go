package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// example is the configuration that we ship for an external server.
const example = "../../../deploy/examples/nats-server.conf"

func exampleOptions(t *testing.T) *server.Options {
	t.Helper()
	t.Setenv("APIPROXY_NATS_SECRET", secret)
	opts, err := server.ProcessConfigFile(example)
	if err != nil {
		t.Fatal(err)
	}
	return opts
}

// TestExample: the example gives the permissions that the own server gives, and
// the same care for what is written.
func TestExample(t *testing.T) {
	opts := exampleOptions(t)
	if !opts.SyncAlways || opts.MaxPayload != wire.MaxMessage+1024 || opts.PingInterval != time.Second || opts.MaxPingsOut != 2 {
		t.Errorf("%+v", opts)
	}
	nodes := 0
	for _, u := range opts.Users {
		if u.Username == "controller" {
			continue
		}
		nodes++
		if want := permissions(u.Username); !reflect.DeepEqual(u.Permissions, want) {
			t.Errorf("%s:\n%+v %+v\nwant\n%+v %+v", u.Username, u.Permissions.Publish, u.Permissions.Subscribe, want.Publish, want.Subscribe)
		}
	}
	if nodes != 2 {
		t.Errorf("%d nodes", nodes)
	}
}

// external runs a server of the example in this process.
func external(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.NoSigs, opts.NoLog = true, true
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(deadline) {
		t.Fatal("the server does not start")
	}
	return s
}

func TestExternal(t *testing.T) {
	opts := exampleOptions(t)
	opts.Port, opts.StoreDir = server.RANDOM_PORT, t.TempDir()
	url := external(t, opts).ClientURL()
	contract(t, open(t, Options{URL: url, Secret: secret}), false)
	brief, cancel := context.WithTimeout(within(t), 300*time.Millisecond)
	defer cancel()
	if _, err := Open(brief, Options{URL: strings.Replace(url, "//", "//controller:canary@", 1)}); err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "--nats-url") {
		t.Fatalf("a wrong password in the URL: %v", err)
	}
}

// TestDebian: the server that Debian packages does too.
func TestDebian(t *testing.T) {
	path, err := exec.LookPath("nats-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nats-server is not installed, and in CI nothing is skipped")
		}
		t.Skip("SKIP: nats-server is not installed (apt-get install nats-server)")
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var major, minor int
	_, _ = fmt.Sscanf(strings.TrimSpace(string(version)), "nats-server: v%d.%d", &major, &minor)
	if major == 2 && minor < 10 { // as the example says
		conf = []byte(strings.Replace(string(conf), "sync_interval: always", "", 1))
	}
	conf = []byte(strings.Replace(string(conf), "/var/lib/nats", dir, 1))
	file := filepath.Join(dir, "nats-server.conf")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", file, "-p", "-1", "--ports_file_dir", dir)
	cmd.Env = append(os.Environ(), "APIPROXY_NATS_SECRET="+secret)
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var ports struct{ Nats []string }
	poll(t, "the server says where it listens", func() bool {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", cmd.Process.Pid)))
		return err == nil && json.Unmarshal(data, &ports) == nil && len(ports.Nats) > 0
	})
	t.Logf("%s at %s", strings.TrimSpace(string(version)), ports.Nats[0])
	contract(t, open(t, Options{URL: ports.Nats[0], Secret: secret}), false)
}

// TestLostQuestion: a cluster without a leader drops what it is asked. Here
// somebody else hears the first question and says nothing, until JetStream is there.
func TestLostQuestion(t *testing.T) {
	opts := exampleOptions(t)
	opts.Port, opts.StoreDir, opts.JetStream = server.RANDOM_PORT, t.TempDir(), false
	s := external(t, opts)
	deaf := must(dial(s.ClientURL(), "controller", secret))
	defer deaf.Close()
	questions := must(deaf.SubscribeSync("$JS.API.>"))
	if err := deaf.Flush(); err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	go func() {
		b, err := Open(within(t), Options{URL: s.ClientURL(), Secret: secret})
		if err == nil {
			b.Close()
		}
		result <- err
	}()
	if _, err := questions.NextMsg(deadline); err != nil {
		t.Fatal(err)
	}
	if err := s.EnableJetStream(&server.JetStreamConfig{StoreDir: opts.StoreDir, MaxMemory: 1 << 28, MaxStore: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	deaf.Close()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// TestServerRestarted: an external server that comes back without its memory gets
// its buckets again, watches tell everything anew, and reports are heard.
func TestServerRestarted(t *testing.T) {
	opts := exampleOptions(t)
	opts.Port, opts.StoreDir = server.RANDOM_PORT, t.TempDir()
	first := external(t, opts)
	opts.Port = first.Addr().(*net.TCPAddr).Port

	states, told, reports := make(chan bool, 100), make(chan string, 100), make(chan string, 100)
	s := open(t, Options{URL: first.ClientURL(), Secret: secret, OnState: func(connected bool) { states <- connected }})
	ctx := within(t)
	must(s.Bucket(wire.ConfigBucket).Put(ctx, "lasts", []byte("1")))
	must(s.Bucket(wire.BreakerBucket).Put(ctx, "vanishes", []byte("1")))
	for _, name := range []string{wire.ConfigBucket, wire.BreakerBucket} {
		s.Bucket(name).Watch(ctx, ">", func(e kv.Entry) { told <- e.Key + "=" + string(e.Value) }, func() { told <- "synced" })
		expect(t, told, map[string]string{wire.ConfigBucket: "lasts=1", wire.BreakerBucket: "vanishes=1"}[name], "synced")
	}
	if err := s.OnReport(func(node string, _ []byte) { reports <- node }); err != nil {
		t.Fatal(err)
	}

	first.Shutdown()
	first.WaitForShutdown()
	if <-states {
		t.Fatal("connected")
	}
	if s.Connected() {
		t.Fatal("still connected")
	}
	brief, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	if _, err := s.Bucket(wire.ConfigBucket).Put(brief, "k", nil); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("a write to nobody: %v", err)
	}
	if err := s.Answer("node-1", nil); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("an answer to nobody: %v", err)
	}

	external(t, opts)
	for connected := range states {
		if connected {
			break
		}
	}
	if _, err := s.Bucket(wire.BreakerBucket).Get(ctx, "vanishes"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("memory: %v", err)
	}
	got := map[string]int{}
	for got["lasts=1"] < 1 || got["synced"] < 2 {
		select {
		case what := <-told:
			got[what]++
		case <-ctx.Done():
			t.Fatalf("told anew: %v", got)
		}
	}
	must(s.Bucket(wire.BreakerBucket).Put(ctx, "new", []byte("1")))
	poll(t, "the change is told", func() bool {
		select {
		case what := <-told:
			return what == "new=1"
		default:
			return false
		}
	})
	n := s.node("node-1")
	_ = n.Publish(wire.ReportSubject("node-1"), []byte("x"))
	expect(t, reports, "node-1")
}
