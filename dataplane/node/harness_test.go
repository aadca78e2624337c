package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/shared/config"
)

// Two goroutines of fasthttp end by themselves or with the process: the cleaner
// of its workers and the one that formats the date.
var leaks = []goleak.Option{
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, leaks...) }

// bench is a node, a provider called up behind it, and a client in front.
type bench struct {
	*Node
	t        *testing.T
	options  Options
	upstream *upstreamServer
	client   *http.Client
	stderr   *lines // what a terminal would show
	yaml     *text  // the document that Reload reads
}

// upstreamServer answers "hello"; to paths that begin with /slow only when it is
// released.
type upstreamServer struct {
	*httptest.Server
	entered chan struct{} // one for each slow request that has arrived
	release chan struct{}
}

func newUpstream(t *testing.T) *upstreamServer {
	u := &upstreamServer{entered: make(chan struct{}, 100), release: make(chan struct{})}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/slow") {
			u.entered <- struct{}{}
			select {
			case <-u.release:
			case <-r.Context().Done():
			}
		}
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, "hello")
	}))
	t.Cleanup(u.Close)
	return u
}

// text is a document that a test replaces while a node may read it.
type text struct {
	mu sync.Mutex
	s  string
}

func (x *text) set(s string) { x.mu.Lock(); defer x.mu.Unlock(); x.s = s }
func (x *text) get() string  { x.mu.Lock(); defer x.mu.Unlock(); return x.s }

func (x *text) source() (*config.Document, []config.Problem, string, error) {
	doc, warnings, err := config.Parse([]byte(x.get()))
	return doc, warnings, "test", err
}

// lines keeps what is written line by line.
type lines struct{ text }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.s += string(p)
	return len(p), nil
}

const unlimited = "rate_limit: {}\n"

// provider is the providers section for u.
func (u *upstreamServer) provider() string {
	return `providers: {up: {upstream: "` + u.URL + `", retry: {times: 0}}}` + "\n"
}

// newBench wires a node; change may edit its options.
func newBench(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, upstream: newUpstream(t), stderr: new(lines), yaml: new(text)}
	b.yaml.set(unlimited + b.upstream.provider())
	o := DefaultOptions()
	dir := t.TempDir()
	o.Source = b.yaml.source
	o.Listen, o.NodeID, o.DataDir, o.LogDir = "127.0.0.1:0", "n1", dir, dir
	o.DrainDelay = 0
	o.Lookup = func(string) (string, bool) { return "", false }
	o.Log = slog.NewTextHandler(b.stderr, nil)
	if change != nil {
		change(&o)
	}
	b.options = o
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Node = n
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	b.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = n.Stop(context.Background()) // a test that cares has stopped it
	})
	return b
}

// start is newBench with open ports.
func start(t *testing.T, change func(*Options)) *bench {
	t.Helper()
	b := newBench(t, change)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *bench) url(path string) string { return "http://" + b.Addr().String() + path }

// do sends a request and returns the answer with its whole body.
func (b *bench) do(method, url string) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

func (b *bench) get(path string) (*http.Response, string) {
	b.t.Helper()
	return b.do("GET", b.url(path))
}

// raw sends bytes on a connection of their own and returns all that comes back.
func (b *bench) raw(addr net.Addr, request string) string {
	b.t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		b.t.Fatal(err)
	}
	answer, _ := io.ReadAll(c)
	return string(answer)
}

// inBackground sends a GET whose answer comes later: its status, 0 for none.
func (b *bench) inBackground(path string) <-chan int {
	status := make(chan int, 1)
	go func() {
		resp, err := b.client.Get(b.url(path))
		if err != nil {
			status <- 0
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	return status
}

// eventually polls until ok; what it waited for is in the failure.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(2 * time.Millisecond)
	}
	t.Fatalf("waited in vain for: %s", what)
}

// logFile reads a log file of the node, which is complete after Stop.
func (b *bench) logFile(name string) string {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.options.LogDir, name))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}
