package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/shared/config"
)

// bench is a running node.
type bench struct {
	t       *testing.T
	node    *node.Node
	options node.Options
	log     syncBuffer // what Options.Log got, from level debug
	stopped bool
}

// dialFunc opens the node's connections to upstreams.
type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// start runs a node with doc; dial may be nil.
func start(t *testing.T, doc *config.Document, lookup func(string) (string, bool), dial dialFunc) *bench {
	t.Helper()
	b := &bench{t: t}
	o := node.DefaultOptions()
	o.NodeID, o.Listen = "node-1", "127.0.0.1:0"
	o.DataDir, o.LogDir = t.TempDir(), t.TempDir()
	o.DrainDelay = 0
	o.Lookup = lookup
	if dial != nil {
		o.Dial = dial
	}
	o.Log = slog.NewJSONHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})
	o.Source = func() (*config.Document, []config.Problem, string, error) { return doc, nil, "test", nil }
	n, err := node.New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.node, b.options = n, o
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.stop)
	return b
}

// stop drains the node. Idempotent.
func (b *bench) stop() {
	if b.stopped {
		return
	}
	b.stopped = true
	if err := b.node.Stop(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// document parses YAML; whatever it leaves out has its default, and there are no
// limits that it does not name.
func document(t *testing.T, yaml string) *config.Document {
	t.Helper()
	if !strings.Contains(yaml, "rate_limit:") {
		yaml = "rate_limit: {}\n" + yaml
	}
	doc, _, err := config.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func noKeys(string) (string, bool) { return "", false }

// answer is what a client got on a connection of its own.
type answer struct {
	status int
	header http.Header
	body   string
	cut    bool // the body ended before its framing said so
	failed error
}

// do sends raw bytes and reads one answer.
func (b *bench) do(raw string) answer {
	b.t.Helper()
	c := b.dial()
	defer c.Close()
	if _, err := io.WriteString(c, raw); err != nil {
		return answer{failed: err}
	}
	method, _, _ := strings.Cut(raw, " ")
	return readAnswer(bufio.NewReader(c), method)
}

func (b *bench) dial() net.Conn {
	b.t.Helper()
	c, err := net.Dial("tcp", b.node.Addr().String())
	if err != nil {
		b.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

func readAnswer(r *bufio.Reader, method string) answer {
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		return answer{failed: err}
	}
	body, err := io.ReadAll(resp.Body)
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body), cut: err != nil}
}

func (b *bench) get(path string) answer {
	b.t.Helper()
	return b.do("GET " + path + " HTTP/1.1\r\nHost: proxy\r\n\r\n")
}

// eventually polls until ok, for less time than an idle upstream connection is
// kept.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return
		}
	}
	t.Errorf("waited in vain for: %s", what)
}

// line is what these tests read of an access log line.
type line struct {
	Provider  string `json:"provider"`
	Method    string `json:"method"`
	Status    int    `json:"status"`
	Attempts  int    `json:"attempts"`
	ErrorType string `json:"error_type"`
}

// accessLog returns the lines once there are n. A streamed answer is recorded
// after its last byte.
func (b *bench) accessLog(n int) (lines []line) {
	b.t.Helper()
	eventually(b.t, fmt.Sprintf("%d access log lines", n), func() bool {
		lines = nil
		for text := range strings.Lines(b.file("access.log")) {
			var l line
			if !strings.HasSuffix(text, "\n") || json.Unmarshal([]byte(text), &l) != nil {
				return false
			}
			lines = append(lines, l)
		}
		return len(lines) >= n
	})
	if len(lines) != n {
		b.t.Errorf("%d access log lines, want %d: %+v", len(lines), n, lines)
	}
	return lines
}

func (b *bench) file(name string) string {
	data, err := os.ReadFile(filepath.Join(b.options.LogDir, name))
	if err != nil {
		b.t.Error(err)
	}
	return string(data)
}

// series scrapes the node: name and labels, as written, to value.
func (b *bench) series() map[string]float64 {
	b.t.Helper()
	all := map[string]float64{}
	for text := range strings.Lines(b.get("/metrics").body) {
		name, value, ok := cutLast(strings.TrimSpace(text), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil && !strings.HasPrefix(name, "#") {
			all[name] = v
		}
	}
	return all
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// idle waits until nothing is in use any more: requests, connections, permits.
func (b *bench) idle() {
	b.t.Helper()
	eventually(b.t, "an idle node", func() bool {
		for name, value := range b.series() {
			if value != 0 && (name == "api_proxy_requests_in_flight" ||
				strings.HasPrefix(name, "api_proxy_active_connections") ||
				strings.HasPrefix(name, "api_proxy_circuit_breaker_half_open_slots")) {
				return false
			}
		}
		return true
	})
}

// syncBuffer is a bytes.Buffer for many goroutines.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}
