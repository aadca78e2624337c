// Package endurance runs the real node program through what wears a process
// out: a million clients, rotated and full logs, slow callers and a storm of
// signals. The node is judged from outside, by its answers, its logs, its
// metrics, what the kernel says of its memory, and by the oracle.
package endurance

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/loadtest/fakeprovider"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything that has to happen may take.
const patience = 30 * time.Second

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("waited in vain for: %s", what)
}

// unavailable skips a test that this machine cannot run; in CI it fails.
func unavailable(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip("SKIP: " + why)
}

// startProvider runs the oracle.
func startProvider(t *testing.T) *fakeprovider.Server {
	t.Helper()
	s := fakeprovider.New(fakeprovider.Options{})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
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

// program is a running node.
type program struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr output
	addr   string // of its only port
	client *http.Client
}

// run builds the node's program and runs it with a configuration until the end
// of the test. --log-dir is given by the test; data stay in a folder of its own.
func run(t *testing.T, config, logDir string, flags ...string) *program {
	t.Helper()
	dir := t.TempDir()
	path, configFile := filepath.Join(dir, "dataplane"), filepath.Join(dir, "config.yaml")
	if out, err := exec.Command("go", "build", "-o", path, "apiproxy.internal/dataplane/cmd/dataplane").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(configFile, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: workers}
	p := &program{t: t, client: &http.Client{Transport: transport, Timeout: patience}}
	p.cmd = exec.Command(path, append([]string{"--config", configFile, "--listen", "127.0.0.1:0",
		"--drain-delay", "0s", "--drain-timeout", "1s", "--data-dir", dir, "--log-dir", logDir}, flags...)...)
	p.cmd.Env = []string{
		"ZERION_API_KEY=" + fakeprovider.DemoZerionKey, "COINGECKO_API_KEY=" + fakeprovider.DemoCoinGeckoKey}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		p.stop(exited)
	})
	started := regexp.MustCompile(`msg="node started".* address=(\S+)`)
	eventually(t, "the node's address", func() bool {
		if len(exited) > 0 {
			t.Fatalf("the node did not start:\n%s", p.stderr.String())
		}
		m := started.FindStringSubmatch(p.stderr.String())
		if m != nil {
			p.addr = m[1]
		}
		return m != nil
	})
	return p
}

func (p *program) stop(exited <-chan error) {
	p.signal(syscall.SIGTERM)
	select {
	case err := <-exited:
		if err != nil {
			p.t.Errorf("SIGTERM: %v\n%s", err, p.stderr.String())
		}
	case <-time.After(patience):
		p.t.Errorf("the node does not stop\n%s", p.stderr.String())
		_ = p.cmd.Process.Kill()
		<-exited
	}
}

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("%v: %v", s, err)
	}
}

func (p *program) dial() net.Conn {
	p.t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(4 * patience)); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *program) get(path string) (status int, body string, err error) {
	resp, err := p.client.Get("http://" + p.addr + path)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// metrics are the samples of a scrape by series.
func (p *program) metrics() map[string]float64 {
	p.t.Helper()
	status, text, err := p.get("/metrics")
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("/metrics: %d, %v", status, err)
	}
	series := map[string]float64{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		end := strings.LastIndexByte(line, ' ')
		if series[line[:end]], err = strconv.ParseFloat(line[end+1:], 64); err != nil {
			p.t.Fatalf("/metrics: %s: %v", line, err)
		}
	}
	return series
}

// rss is the resident memory in bytes.
func (p *program) rss() int {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s*(\d+) kB`).FindSubmatch(text)
	if m == nil {
		p.t.Fatalf("no VmRSS in %s", text)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		p.t.Fatal(err)
	}
	return kb << 10
}

func mb(bytes int) float64 { return float64(bytes) / 1e6 }
