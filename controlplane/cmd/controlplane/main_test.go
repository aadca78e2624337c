package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain makes the test binary the program itself, for tests that signal it.
func TestMain(m *testing.M) {
	if os.Getenv("CONTROLPLANE_TEST_RUN") != "" {
		_ = os.Unsetenv("CONTROLPLANE_TEST_RUN")
		main()
	}
	os.Exit(m.Run())
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What is answered without running a controller: exit code and words.
func TestFlags(t *testing.T) {
	good, odd := write(t, "good.yaml", "circuit_breaker: {failure_threshold: 3}\n"), write(t, "odd.yaml", "rate_limit: {}\n")
	bad := write(t, "bad.yaml", "proxi: {}\nrate_limit: {global: {rate: -1}}\n")
	empty := write(t, "empty", "\n")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	file := write(t, "file", "")
	run1 := func(flags ...string) []string { // one that would run
		dir := t.TempDir()
		return append([]string{"--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir, "--log-dir", dir}, flags...)
	}
	for _, row := range []struct {
		name string
		args []string
		code int
		want []string // in the output, both streams together
	}{
		{"version", []string{"--version"}, 0, []string{"controlplane "}},
		{"help", []string{"--help"}, 0, []string{"the controller of API Proxy", "--nats-listen", "--admin-token-file", "APIPROXY_ADMIN_TOKEN", "127.0.0.1:4222", ":8090"}},
		{"unknown flag", []string{"--colour"}, 2, []string{"-colour"}},
		{"an argument", []string{"start"}, 2, []string{"start"}},
		{"check of the presets", []string{"--check"}, 0, []string{"configuration ok"}},
		{"check", []string{"--check", "--config", good}, 0, []string{"configuration ok"}},
		{"check with a warning", []string{"--check", "--config", odd}, 0, []string{"warning:", "rate_limit", "configuration ok"}},
		{"check of a bad one", []string{"--check", "--config", bad}, 1, []string{"line 1: proxi", "line 2: rate_limit.global.rate", "configuration refused"}},
		{"check of none", []string{"--check", "--config", good + ".not"}, 1, []string{"no such file", "--config"}},
		{"half of TLS", []string{"--check", "--tls-cert", good}, 1, []string{"--tls-key"}},
		{"no such secret", []string{"--nats-secret-file", good + ".not"}, 2, []string{"--nats-secret-file"}},
		{"an empty token", []string{"--admin-token-file", empty}, 2, []string{"--admin-token-file"}},
		{"a bad document", run1("--config", bad), 1, []string{"line 1: proxi"}},
		{"beyond loopback", run1("--nats-listen", "0.0.0.0:0"), 1, []string{"without a secret", "--nats-secret-file", "APIPROXY_NATS_SECRET"}},
		{"a port in use", run1("--listen", taken.Addr().String()), 1, []string{"--listen " + taken.Addr().String(), "choose another"}},
		{"a port of NATS in use", run1("--nats-listen", taken.Addr().String()), 1, []string{"--nats-listen"}},
		{"a file for a folder", run1("--log-dir", file), 1, []string{"--log-dir"}},
		{"a file for data", run1("--data-dir", file), 1, []string{"--data-dir"}},
		{"no certificate", run1("--tls-cert", file, "--tls-key", file), 1, []string{"--tls-cert"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			if code := run(row.args, &out, &out); code != row.code {
				t.Errorf("exit code %d, want %d", code, row.code)
			}
			for _, want := range row.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("want %q in\n%s", want, out.String())
				}
			}
		})
	}
}

// program is a running controller.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	mu  sync.Mutex
	out bytes.Buffer
	url string
}

func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}
func (p *program) output() string { p.mu.Lock(); defer p.mu.Unlock(); return p.out.String() }

func (p *program) eventually(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); <-time.After(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	p.t.Fatalf("waited in vain for: %s\n%s", what, p.output())
}

// launch runs a controller until the end of the test, where it must end well.
func launch(t *testing.T, config, dir string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(os.Args[0], "--config", config, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir, "--log-dir", dir)}
	p.cmd.Env = []string{"CONTROLPLANE_TEST_RUN=1", "APIPROXY_ADMIN_TOKEN=open-sesame"}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("SIGTERM: %v\n%s", err, p.output())
		}
	})
	started := regexp.MustCompile(`msg="controller started".* address=(\S+)`)
	p.eventually("the start", func() bool {
		m := started.FindStringSubmatch(p.output())
		if m != nil {
			p.url = "http://" + m[1]
		}
		return m != nil
	})
	return p
}

func (p *program) get(path string, into any) {
	p.t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		p.t.Fatalf("%s: %d %s %v", path, resp.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		p.t.Fatal(err)
	}
}

func (p *program) revisions() (list []struct {
	Revision       uint64
	Author, Reason string
}) {
	p.t.Helper()
	var all struct {
		Revisions []struct {
			Revision       uint64
			Author, Reason string
		}
	}
	p.get("/api/v1/config/revisions", &all)
	return all.Revisions
}

// The file is published first, later only by SIGHUP; a bad one changes nothing;
// SIGUSR1 reopens the log.
func TestSignals(t *testing.T) {
	config, dir := write(t, "config.yaml", "circuit_breaker: {failure_threshold: 3}\n"), t.TempDir()
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("first", func(t *testing.T) {
		p := launch(t, config, dir)
		if got := p.revisions(); len(got) != 1 || got[0].Revision != 1 {
			t.Fatalf("%+v", got)
		}
		hup := func() {
			t.Helper()
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		set("circuit_breaker: {failure_threshold: 4}\n")
		hup()
		p.eventually("the second revision", func() bool { return len(p.revisions()) == 2 })
		if got := p.revisions()[0]; got.Revision != 2 || got.Author != "file" {
			t.Errorf("%+v", got)
		}
		set("circuit_breaker: {failure_threshold: -4}\n")
		hup()
		p.eventually("the refusal", func() bool { return strings.Contains(p.output(), "reload failed, everything stays as it was") })
		if got := len(p.revisions()); got != 2 {
			t.Errorf("%d revisions", got)
		}

		log := filepath.Join(dir, "control.log")
		if err := os.Rename(log, log+".1"); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		p.eventually("a new log", func() bool { _, err := os.Stat(log); return err == nil })
		set("circuit_breaker: {failure_threshold: 5}\n")
		hup()
		p.eventually("a line in the new log", func() bool {
			text, err := os.ReadFile(log)
			return err == nil && strings.Contains(string(text), "config_published")
		})
	})
	t.Run("again", func(t *testing.T) {
		set("circuit_breaker: {failure_threshold: 6}\n")
		p := launch(t, config, dir)
		if got := p.revisions(); len(got) != 3 {
			t.Errorf("a differing file was published at the start: %+v", got)
		}
		if !strings.Contains(p.output(), "differs from what is published and is ignored; SIGHUP publishes it") {
			t.Errorf("no word about the file:\n%s", p.output())
		}
		if text := fmt.Sprint(p.output()); strings.Contains(text, "open-sesame") {
			t.Error("the token is in the output")
		}
	})
}
