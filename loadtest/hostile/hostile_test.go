// Package hostile is what strangers may send to a node: a permanent corpus of
// raw requests, mutations of it, and clients that are slow, silent or many. A
// real node stands between them and an origin that records every byte; an
// oracle that shares no code with the node says what the origin may see.
package hostile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/shared/config"
)

// Nothing outlives a stopped node but two goroutines of fasthttp: the cleaner of
// its workers, and the one that formats the date for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// patience is how long a test waits for what should come at once.
const patience = 20 * time.Second

// credential is the key that the node adds to what it sends upstream.
const credential = "canary-key-1234"

// bench is a node and the origin behind it.
type bench struct {
	*node.Node
	tb     testing.TB
	origin *origin
	dir    string
	log    *text
	stop   func() // idempotent; the logs are complete afterwards
}

// text is a log in memory.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) { x.mu.Lock(); defer x.mu.Unlock(); return x.b.Write(p) }
func (x *text) String() string              { x.mu.Lock(); defer x.mu.Unlock(); return x.b.String() }

// start runs a node whose provider "api" is the origin; more holds sections of
// the configuration.
func start(tb testing.TB, more string) *bench {
	tb.Helper()
	b := &bench{tb: tb, origin: newOrigin(tb), dir: tb.TempDir(), log: new(text)}
	if !strings.Contains(more, "rate_limit:") {
		more += "\nrate_limit: {}"
	}
	doc, _, err := config.Parse([]byte(more + `
circuit_breaker: {failure_threshold: 1000000}
providers:
  api:
    prefix: /api/
    upstream: "http://` + b.origin.addr() + `/base"
    auth: {type: header, header: x-key, value_env: KEY}
    retry: {times: 0}
`))
	if err != nil {
		tb.Fatal(err)
	}
	doc.Proxy.CacheSize = 0 // the origin must see what a parser lets through
	o := node.DefaultOptions()
	o.Source = func() (*config.Document, []config.Problem, string, error) { return doc, nil, "test", nil }
	o.Listen, o.NodeID, o.DataDir, o.LogDir = "127.0.0.1:0", "n1", b.dir, b.dir
	o.DrainDelay, o.DrainTimeout = 0, time.Second
	o.Lookup = func(name string) (string, bool) { return credential, name == "KEY" }
	o.Log = slog.NewTextHandler(b.log, nil)
	if b.Node, err = node.New(o); err != nil {
		tb.Fatal(err)
	}
	if err := b.Start(); err != nil {
		tb.Fatal(err)
	}
	b.stop = sync.OnceFunc(func() {
		if err := b.Stop(context.Background()); err != nil {
			tb.Error(err)
		}
		if log := b.log.String(); strings.Contains(log, "bug of the proxy") || strings.Contains(log, "panic") {
			tb.Errorf("a request failed by a bug: %s", log)
		}
	})
	tb.Cleanup(b.stop)
	return b
}

func (b *bench) dial() *net.TCPConn {
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		b.tb.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c.(*net.TCPConn)
}

// send writes pieces on a new connection, says that no more will come if done,
// and reads to the end. Failures to write are the node's right: it may close
// before it has read everything. ended tells an end from silence.
func (b *bench) send(done bool, pieces ...[]byte) (got []byte, ended bool) {
	c := b.dial()
	defer c.Close()
	written := make(chan struct{})
	go func() {
		defer close(written)
		for _, p := range pieces {
			if _, err := c.Write(p); err != nil {
				return
			}
		}
		if done {
			_ = c.CloseWrite()
		}
	}()
	got, err := io.ReadAll(c)
	_ = c.Close()
	<-written
	return got, err == nil || errors.Is(err, syscall.ECONNRESET)
}

// get asks for path on a connection of its own and returns the whole answer.
func (b *bench) get(path, fields string) string {
	b.tb.Helper()
	got, _ := b.send(false, []byte("GET "+path+" HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n"+fields+"\r\n"))
	return string(got)
}

// status is that of an answer; 0 for none.
func status(answer string) int {
	if len(answer) < len("HTTP/1.1 200") || !strings.HasPrefix(answer, "HTTP/1.1 ") {
		return 0
	}
	n, _ := strconv.Atoi(answer[9:12])
	return n
}

// line is what the suite reads of an access log line.
type line struct {
	RequestID string `json:"request_id"`
	Method    string
	Path      string
	Status    int
	BytesIn   int64  `json:"bytes_in"`
	ClientIP  string `json:"client_ip"`
	ErrorType string `json:"error_type"`
}

// accessLog stops the node and returns its lines.
func (b *bench) accessLog() (lines []line) {
	b.tb.Helper()
	b.stop()
	data, err := os.ReadFile(filepath.Join(b.dir, "access.log"))
	if err != nil {
		b.tb.Fatal(err)
	}
	if bytes.Contains(data, []byte(credential)) {
		b.tb.Error("the access log holds the key")
	}
	for text := range strings.Lines(string(data)) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			b.tb.Fatalf("%v in the line %s", err, text)
		}
		lines = append(lines, l)
	}
	return lines
}

// metric sums the series of that name whose labels contain all of the given.
func (b *bench) metric(name string, labels ...string) (sum int) {
	b.tb.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + b.Addr().String() + "/metrics")
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.tb.Fatal(err)
	}
series:
	for _, m := range regexp.MustCompile(`(?m)^`+name+`({.*?})? (\d+)$`).FindAllStringSubmatch(string(page), -1) {
		for _, l := range labels {
			if !strings.Contains(m[1], l) {
				continue series
			}
		}
		n, _ := strconv.Atoi(m[2])
		sum += n
	}
	return sum
}

// eventually polls until ok; what it waited for is in the failure.
func (b *bench) eventually(what string, ok func() bool) {
	b.tb.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	b.tb.Fatalf("waited in vain for: %s", what)
}
