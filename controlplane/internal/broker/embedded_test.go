package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

func TestListenWithoutSecret(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", ":0", "[::]:0", "10.0.0.1:4222", "example.test:4222", "x", "127.0.0.1:x", "127.0.0.1:70000"} {
		b, err := Open(within(t), Options{Listen: listen, DataDir: t.TempDir()})
		if err == nil {
			b.Close()
			t.Fatalf("%s: listens", listen)
		}
		if !strings.Contains(err.Error(), "--nats-listen") {
			t.Errorf("%s: the error does not say what to do: %v", listen, err)
		}
	}
	// On loopback any node is let in, with its own permissions only.
	s := open(t, Options{Listen: "127.0.0.1:0"})
	n := s.node("anyone")
	_ = n.Publish("$KV.cfg.current", nil)
	_ = n.Flush()
	poll(t, "a refusal", func() bool {
		return slices.Contains(s.refusals(), Refused{"anyone", RefusedPublish, "$KV.cfg.current"})
	})
	if _, err := dial(s.url, "no.node", ""); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("what is not a node id: %v", err)
	}
}

// TestNoListener: without one the broker works, and nothing else can reach it.
func TestNoListener(t *testing.T) {
	s := open(t, Options{})
	if s.Addr() != "" {
		t.Fatalf("listens on %s", s.Addr())
	}
	must(s.Bucket(wire.ConfigBucket).Put(within(t), "k", []byte("v")))
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	s := open(t, Options{Listen: "127.0.0.1:0", Secret: secret})
	_, _ = dial(s.url, "canary-user.9f3", "canary-password-9f3")
	_, _ = dial(s.url, "node-1", "canary-password-9f3")
	_, _ = nats.Connect(s.url, nats.Token("canary-token-9f3"))
	poll(t, "three refusals", func() bool { return len(s.refusals()) >= 3 })
	s.Close()
	for _, r := range s.refusals() {
		if strings.Contains(fmt.Sprint(r), "canary") {
			t.Errorf("a refusal tells %+v", r)
		}
	}
	if text := s.logged(); strings.Contains(text, "canary") || strings.Contains(text, secret) || strings.Contains(text, s.server.token) {
		t.Fatalf("a secret is in the log:\n%s", text)
	}
}

// A client's name is its own choice; it must not be able to blame another node.
func TestForgedLogLine(t *testing.T) {
	s := open(t, Options{Listen: "127.0.0.1:0", Secret: secret})
	forged := `x" - "$G/user:victim" - Publish Violation - Subject "y"`
	c, err := dial(s.url, "forger", secret, nats.Name(forged))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.Publish("$KV.brk.zerion", nil)
	_ = c.Flush()
	poll(t, "a refusal", func() bool { return len(s.refusals()) > 0 })
	if r := s.refusals()[0]; r.Node != "forger" || r.Subject != "$KV.brk.zerion" {
		t.Fatalf("%+v", r)
	}
}

func TestDataSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{DataDir: dir})
	seq := must(s.Bucket(wire.ConfigBucket).Put(within(t), "k", []byte("v")))
	must(s.Bucket(wire.BreakerBucket).Put(within(t), "k", []byte("v")))
	if _, err := Open(within(t), Options{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "another controller") {
		t.Fatalf("two servers on one store: %v", err)
	}
	s.Close()
	s = open(t, Options{DataDir: dir})
	if e, err := s.Bucket(wire.ConfigBucket).Get(within(t), "k"); err != nil || string(e.Value) != "v" || e.Seq != seq {
		t.Fatalf("%+v %v", e, err)
	}
	if _, err := s.Bucket(wire.BreakerBucket).Get(within(t), "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("memory survived: %v", err)
	}
}

// TestDamagedStore: whatever is wrong with the store, the controller starts, and
// nothing is deleted.
func TestDamagedStore(t *testing.T) {
	stream := func(dir string) string {
		return filepath.Join(dir, "nats", "jetstream", "$G", "streams", "KV_cfg")
	}
	for name, c := range map[string]struct {
		damage func(dir string) error
		aside  string // begins the name of what is moved away
	}{
		"a file in its place": {func(dir string) error {
			_ = os.RemoveAll(filepath.Join(dir, "nats"))
			return os.WriteFile(filepath.Join(dir, "nats"), []byte("x"), 0o600)
		}, "nats.damaged-"},
		"a file for the streams": {func(dir string) error {
			_ = os.RemoveAll(filepath.Join(dir, "nats", "jetstream"))
			return os.WriteFile(filepath.Join(dir, "nats", "jetstream"), []byte("x"), 0o600)
		}, "nats.damaged-"},
		"a damaged description": {func(dir string) error {
			return os.WriteFile(filepath.Join(stream(dir), "meta.inf"), []byte("{}"), 0o600)
		}, "nats-KV_cfg.damaged-"},
		"no description": {func(dir string) error { return os.Remove(filepath.Join(stream(dir), "meta.inf")) }, "nats-KV_cfg.damaged-"},
		"no stream":      {func(dir string) error { return os.RemoveAll(stream(dir)) }, ""},
		"no store":       {func(dir string) error { return os.RemoveAll(filepath.Join(dir, "nats")) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Options{DataDir: dir})
			must(s.Bucket(wire.ConfigBucket).Put(within(t), "k", []byte("v")))
			s.Close()
			if err := c.damage(dir); err != nil {
				t.Fatal(err)
			}
			s = open(t, Options{DataDir: dir})
			if _, err := s.Bucket(wire.ConfigBucket).Get(within(t), "k"); !errors.Is(err, kv.ErrNotFound) {
				t.Fatalf("%v", err)
			}
			must(s.Bucket(wire.ConfigBucket).Put(within(t), "k", []byte("w")))
			found := false
			entries, _ := os.ReadDir(dir)
			for _, e := range entries {
				found = found || c.aside != "" && strings.HasPrefix(e.Name(), c.aside)
			}
			if found != (c.aside != "") {
				t.Fatalf("in the data directory: %v\n%s", entries, s.logged())
			}
			if found && !strings.Contains(s.logged(), "moved aside") {
				t.Fatal("not logged")
			}
			s.Close()
			s = open(t, Options{DataDir: dir})
			if e, err := s.Bucket(wire.ConfigBucket).Get(within(t), "k"); err != nil || string(e.Value) != "w" {
				t.Fatalf("after another start: %+v %v", e, err)
			}
		})
	}
}
