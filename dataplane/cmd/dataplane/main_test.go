package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
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

// build makes the real program.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dataplane")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// program is the binary in an environment of its own.
type program struct {
	t    *testing.T
	path string
	dir  string // working folder: data and logs go there
}

func (p program) command(args ...string) *exec.Cmd {
	cmd := exec.Command(p.path, args...)
	cmd.Dir = p.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	return cmd
}

// run waits for the end.
func (p program) run(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	cmd := p.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	tooLong := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer tooLong.Stop()
	_ = cmd.Wait() // the code says it
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (p program) file(name, content string) string {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return path
}

const (
	goodConfig = "rate_limit: {}\nproviders: {up: {upstream: \"http://127.0.0.1:1\"}}\n"
	badConfig  = "proxi: {}\nserver: {max_in_flight: -1}\nproviders: {up: {upstream: \"ftp://x\"}}\n"
)

// badPlaces are in badConfig, one problem each.
var badPlaces = []string{"line 1: proxi", "line 2: server.max_in_flight", "line 3: providers.up.upstream"}

func TestProgram(t *testing.T) {
	path := build(t)
	t.Run("runs to its end", func(t *testing.T) { testRuns(t, program{t, path, t.TempDir()}) })
	t.Run("signals", func(t *testing.T) { testSignals(t, program{t, path, t.TempDir()}) })
}

// testRuns checks exit codes and what is printed.
func testRuns(t *testing.T, p program) {
	good, bad := p.file("good.yaml", goodConfig), p.file("bad.yaml", badConfig)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	inUse := taken.Addr().String()

	for _, row := range []struct {
		name           string
		args           []string
		code           int
		stdout, stderr []string // each of them once; nil = nothing at all
	}{
		{"help", []string{"--help"}, 0, []string{"Usage: dataplane", "--admin-listen ADDR  [APIPROXY_ADMIN_LISTEN]", "--drain-timeout", "(default 30s)", "--tls-min VERSION", "--diagnose\n"}, nil},
		{"version", []string{"--version"}, 0, []string{"dataplane ", " go1."}, nil},
		{"an unknown flag", []string{"--lisden", ":1"}, 2, nil, []string{"-lisden"}},
		{"a wrong value", []string{"--drain-delay", "soon"}, 2, nil, []string{"drain-delay"}},
		{"a stray argument", []string{"start"}, 2, nil, []string{`unexpected argument "start"`}},
		{"a good check", []string{"--check", "--config", good}, 0, []string{"configuration ok", "rate_limit.global: there is no limit", "rate_limit.per_provider.up: there is no limit"}, nil},
		{"a bad check", []string{"--check", "--config", bad}, 1, append([]string{"configuration refused"}, badPlaces...), nil},
		{"a check of the presets", []string{"--check"}, 0, []string{"configuration ok", "ZERION_API_KEY is not set", "COINGECKO_API_KEY is not set", "ALCHEMY_API_KEY is not set"}, nil},
		{"a check of nothing", []string{"--check", "--config", "missing.yaml"}, 1, []string{"missing.yaml: no such file", "check --config"}, nil},
		{"a bad start", []string{"--config", bad}, 1, nil, append([]string{"dataplane: "}, badPlaces...)},
		{"a port in use", []string{"--config", good, "--listen", inUse}, 1, nil, []string{"dataplane: --listen " + inUse, "address already in use; stop what uses the port or choose another address"}},
		{"a diagnosis", []string{"--diagnose", "--config", good}, 1, []string{"up\n  dns  127.0.0.1", "FAILED: tcp"}, []string{"1 of 1 providers cannot be reached"}},
	} {
		code, stdout, stderr := p.run(row.args...)
		if code != row.code {
			t.Errorf("%s: exit code %d, want %d", row.name, code, row.code)
		}
		for _, stream := range []struct {
			name, text string
			want       []string
		}{{"stdout", stdout, row.stdout}, {"stderr", stderr, row.stderr}} {
			if stream.want == nil && stream.text != "" {
				t.Errorf("%s: %s is not empty:\n%s", row.name, stream.name, stream.text)
			}
			for _, want := range stream.want {
				if n := strings.Count(stream.text, want); n != 1 {
					t.Errorf("%s: %q is %d times in %s:\n%s", row.name, want, n, stream.name, stream.text)
				}
			}
		}
	}
}

// output collects what a running program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}
func (o *output) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.text.String() }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain for: %s", what)
}

// testSignals is a life: start, requests, SIGHUP, SIGUSR1, SIGTERM.
func testSignals(t *testing.T, p program) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer upstream.Close()
	document := func(provider string) string {
		return "rate_limit: {}\nproviders: {" + provider + ": {upstream: \"" + upstream.URL + "\"}}\n"
	}
	config := p.file("config.yaml", document("first"))

	cmd := p.command("--config", config)
	cmd.Env = append(cmd.Env, "APIPROXY_LISTEN=127.0.0.1:0", "APIPROXY_DRAIN_DELAY=1ms", "APIPROXY_NODE_ID=n.1")
	stderr := new(output)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })

	var base string
	eventually(t, "the node's address", func() bool {
		m := regexp.MustCompile(`msg="node started".* node=n-1 address=(\S+)`).FindStringSubmatch(stderr.String())
		if m != nil {
			base = "http://" + m[1]
		}
		return m != nil
	})
	status := func(path string) int {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	send := func(s syscall.Signal) {
		t.Helper()
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	if got := [...]int{status("/ready"), status("/first/x"), status("/second/x")}; got != [...]int{200, 200, 404} {
		t.Fatalf("/ready, /first/x, /second/x: %v\n%s", got, stderr)
	}

	p.file("config.yaml", document("second"))
	send(syscall.SIGHUP)
	eventually(t, "the reload", func() bool { return status("/second/x") == 200 })
	p.file("config.yaml", badConfig)
	send(syscall.SIGHUP)
	eventually(t, "the refusal", func() bool { return strings.Contains(stderr.String(), "configuration refused") })
	if status("/second/x") != 200 {
		t.Error("a refused document changed something")
	}

	log := filepath.Join(p.dir, "logs", "access.log")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	send(syscall.SIGUSR1)
	eventually(t, "a new log file", func() bool { _, err := os.Stat(log); return err == nil })
	status("/second/after")

	send(syscall.SIGTERM)
	if err := <-exited; err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, stderr)
	}
	if status("/ready") != 0 {
		t.Error("the port is still open")
	}
	for file, want := range map[string]string{"logs/access.log.1": `"/first/x"`, "logs/access.log": `"/second/after"`, "logs/error.log": "configuration refused"} {
		text, err := os.ReadFile(filepath.Join(p.dir, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, %q", file, err, text)
		}
	}
}
