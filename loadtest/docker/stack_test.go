//go:build docker

package docker

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
	"strings"
	"testing"
	"time"
)

// A stack is a copy of the project, started with ports and a name of its own.
type stack struct {
	t   *testing.T
	dir string
	env []string

	proxy, proxy80, control, prometheus, grafana, fake string // host:port
}

// newStack copies what the repository holds, as a clone would, and prepares it as
// the README says.
func newStack(t *testing.T) *stack {
	t.Helper()
	root := strings.TrimSpace(must(t, exec.Command("git", "rev-parse", "--show-toplevel")))
	s := &stack{t: t, dir: t.TempDir()}
	// With files that are not committed yet, and without those that are ignored.
	files := exec.Command("sh", "-c", `git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -c -T - | tar -x -C "$0"`, s.dir)
	files.Dir = root
	must(t, files)
	s.env = append(os.Environ(),
		"COMPOSE_PROJECT_NAME=apiproxy-test", "COMPOSE_FILE=docker-compose.yml:deploy/compose.demo.yml",
		"VERSION=test", "BUILD_NETWORK=host")
	for _, name := range []string{"GOPROXY", "GOSUMDB"} {
		s.env = append(s.env, name+"="+strings.TrimSpace(must(t, exec.Command("go", "env", name))))
	}
	for name, addr := range map[string]*string{
		"PROXY_PORT": &s.proxy, "PROXY_PORT_80": &s.proxy80, "CONTROL_PORT": &s.control,
		"PROMETHEUS_PORT": &s.prometheus, "GRAFANA_PORT": &s.grafana, "FAKEPROVIDER_PORT": &s.fake,
	} {
		port := freePort(t)
		*addr = "127.0.0.1:" + port
		s.env = append(s.env, name+"="+port)
	}
	s.run("cp", ".env.example", ".env")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last words of the services:\n%s", s.try("docker-compose", "logs", "--tail", "40"))
		}
		s.try("docker-compose", "--profile", "redis", "down", "-v", "--remove-orphans")
		// The logs are the images' users'.
		s.try("rm", "-rf", "logs")
	})
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out.String(), errs.String())
	}
	return out.String()
}

func (s *stack) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// run runs a command in the copy; its output is returned.
func (s *stack) run(name string, args ...string) string {
	s.t.Helper()
	began := time.Now()
	out := must(s.t, s.command(name, args...))
	s.t.Logf("%s %s (%.0f s)", name, strings.Join(args, " "), time.Since(began).Seconds())
	return out
}

func (s *stack) compose(args ...string) string { s.t.Helper(); return s.run("docker-compose", args...) }

func (s *stack) try(name string, args ...string) string {
	out, _ := s.command(name, args...).CombinedOutput()
	return string(out)
}

// nodes are the ids of the node containers, oldest first.
func (s *stack) nodes() []string {
	return strings.Fields(s.try("docker-compose", "ps", "-q", "api-proxy"))
}

func (s *stack) scale(n int) {
	s.t.Helper()
	s.compose("up", "-d", "--no-recreate", "--scale", fmt.Sprintf("api-proxy=%d", n))
}

// get fetches a page; code 0 is no answer.
func get(url string, header ...string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err.Error()
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (s *stack) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain: %s", what)
}

// answering waits until n different nodes answer through the balancer.
func (s *stack) answering(n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d nodes answer", n), func() bool {
		seen := map[string]bool{}
		for range 12 * n {
			code, body := get("http://" + s.proxy + "/ready")
			var answer struct{ Node string }
			if code == 200 && json.Unmarshal([]byte(body), &answer) == nil {
				seen[answer.Node] = true
			}
		}
		return len(seen) == n
	})
}

// ledger is what the oracle counted.
type ledger struct {
	Arrivals int64
	FirstNS  int64 `json:"first_ns"`
	LastNS   int64 `json:"last_ns"`
}

func (s *stack) ledger(provider string) ledger {
	s.t.Helper()
	_, body := get("http://" + s.fake + "/_control/stats")
	var stats map[string]ledger
	if err := json.Unmarshal([]byte(body), &stats); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	return stats[provider]
}

func (s *stack) arrivals(provider string) int64 { return s.ledger(provider).Arrivals }

// spread is the time from the first arrival to the last, in seconds.
func (s *stack) spread(provider string) float64 {
	l := s.ledger(provider)
	return float64(l.LastNS-l.FirstNS) / 1e9
}

func (s *stack) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stack) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}
