package proxy

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/config"
)

// bench is a Proxy behind a real listener, in front of a raw upstream that a
// test scripts.
type bench struct {
	t        testing.TB
	proxy    *Proxy
	snap     *snapshot.Snapshot
	state    *snapshot.State
	metrics  *metrics.Node
	network  network
	addr     string
	clients  *downstream.Listener
	upstream *rawUpstream

	mu   sync.Mutex
	logs []string
}

// newBench starts everything; change may edit the document, whose one provider
// is called "api" and has the prefix /api/.
func newBench(t testing.TB, serve func(net.Conn), change func(*config.Document)) *bench {
	t.Helper()
	return newBenchOn(t, loopbackNetwork{}, serve, change)
}

// network is what a bench listens and dials on.
type network interface {
	listen() (net.Listener, error)
	dial(ctx context.Context, network, addr string) (net.Conn, error)
}

type loopbackNetwork struct{}

func (loopbackNetwork) listen() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }
func (loopbackNetwork) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func newBenchOn(t testing.TB, on network, serve func(net.Conn), change func(*config.Document)) *bench {
	t.Helper()
	b := &bench{t: t, network: on, upstream: newRawUpstream(t, on, serve)}
	doc := config.Default()
	doc.RateLimit = config.RateLimit{}
	doc.Providers = map[string]config.Provider{"api": {
		Prefix:   "/api/",
		Upstream: "http://" + b.upstream.addr,
		Auth:     config.Auth{Type: config.AuthHeader, Header: "X-Key", Value: &config.SecretRef{Env: "KEY"}},
		Timeout:  doc.Providers["zerion"].Timeout,
		Retry:    config.Retry{Times: 2, Delay: config.Duration(time.Millisecond)},
	}}
	if change != nil {
		change(doc)
	}
	start := time.Now()
	clock := func() int64 { return int64(time.Since(start)) }
	b.metrics = metrics.New(metrics.Info{})
	lookup := func(string) (string, bool) { return "canary-key-1234", true }
	state := snapshot.NewState(b.metrics, on.dial, lookup, clock)
	if err := state.Apply(doc, 0, func(s *snapshot.Snapshot) { b.snap = s }); err != nil {
		t.Fatal(err)
	}
	b.state = state
	b.proxy = New(Options{
		NodeID:         "test",
		Snapshot:       func() *snapshot.Snapshot { return b.snap },
		Clock:          clock,
		Epoch:          start.UnixNano(),
		Metrics:        b.metrics,
		AccessLog:      b.log,
		BreakerChanged: func(string, breaker.Transition) {},
		UpstreamFailed: func(string, verdict.AttemptOutcome, error) {},
		Panicked:       func(id string, v any, stack []byte) { t.Errorf("panic in %s: %v\n%s", id, v, stack) },
		Draining:       func() bool { return false },
	})
	server := &fasthttp.Server{Handler: b.proxy.Handle}
	b.proxy.Equip(server)
	l, err := on.listen()
	if err != nil {
		t.Fatal(err)
	}
	b.addr = l.Addr().String()
	served := make(chan error, 1)
	b.clients = &downstream.Listener{Listener: l, WriteTimeout: func() time.Duration { return time.Minute }}
	go func() { served <- server.Serve(b.clients) }()
	t.Cleanup(func() {
		_ = server.Shutdown()
		_ = l.Close() // a Shutdown before Serve got going does nothing
		<-served
		state.Close()
	})
	return b
}

// log keeps the lines, unless it is a benchmark that would fill the memory.
func (b *bench) log(line []byte) {
	if _, ok := b.t.(*testing.B); ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if cap(b.logs) == 0 {
		b.logs = make([]string, 0, 64)
	}
	if len(b.logs) < cap(b.logs) {
		b.logs = append(b.logs, string(line))
	}
}

// lines returns the log lines so far, waiting until there are n: the line of a
// streamed answer is written after its last byte.
func (b *bench) lines(n int) []string {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		b.mu.Lock()
		lines := append([]string(nil), b.logs...)
		b.mu.Unlock()
		if len(lines) >= n {
			return lines
		}
	}
	b.t.Fatalf("fewer than %d log lines", n)
	return nil
}

// proxyIdle waits until no request is being served.
func (b *bench) proxyIdle() {
	b.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); b.proxy.InFlight() != 0; {
		if time.Now().After(deadline) {
			b.t.Fatalf("%d requests are in flight for ever", b.proxy.InFlight())
		}
	}
}

// do sends a raw request on a connection of its own and returns the answer.
func (b *bench) do(raw string) (*http.Response, string) {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // a crowd of 500 on a busy machine
	if _, err := io.WriteString(conn, raw); err != nil {
		b.t.Fatal(err)
	}
	method, _, _ := strings.Cut(raw, " ")
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		b.t.Fatalf("no answer to %.60q: %v", raw, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		body = append(body, ("\n[" + err.Error() + "]")...)
	}
	return resp, string(body)
}

// get is a plain GET.
func (b *bench) get(path string) (*http.Response, string) {
	b.t.Helper()
	return b.do("GET " + path + " HTTP/1.1\r\nHost: proxy\r\n\r\n")
}

// rawUpstream accepts connections and hands each to a script.
type rawUpstream struct{ addr string }

func newRawUpstream(t testing.TB, on network, serve func(net.Conn)) *rawUpstream {
	t.Helper()
	l, err := on.listen()
	if err != nil {
		t.Fatal(err)
	}
	u := &rawUpstream{addr: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer c.Close()
				serve(c)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return u
}

// replies is a script that answers the nth request of the whole test with the
// nth text, the last one for ever; "" closes the connection without an answer.
func replies(heads *[]string, texts ...string) func(net.Conn) {
	var mu sync.Mutex
	n := 0
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			head, err := readRequest(r)
			if err != nil {
				return
			}
			mu.Lock()
			text := texts[min(n, len(texts)-1)]
			n++
			if heads != nil {
				*heads = append(*heads, head)
			}
			mu.Unlock()
			if text == "" {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

// readRequest reads one request and returns it, body included.
func readRequest(r *bufio.Reader) (string, error) {
	var raw bytes.Buffer
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		raw.WriteString(line)
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "content-length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "\r\n" {
			break
		}
	}
	_, err := io.CopyN(&raw, r, int64(length))
	return raw.String(), err
}

const (
	okReply    = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	errorReply = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
)

// fixedUpstream answers every request with the same bytes and allocates nothing
// while it does.
func fixedUpstream(reply []byte) func(net.Conn) { return answersAfter("\r\n\r\n", reply) }

// answersAfter does so wherever a request ends with end.
func answersAfter(end string, reply []byte) func(net.Conn) {
	last := []byte(end)
	return func(c net.Conn) {
		buf := make([]byte, 8<<10)
		n := 0
		for {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			for {
				i := bytes.Index(buf[:n], last)
				if i < 0 {
					break
				}
				n = copy(buf, buf[i+len(last):n])
				if _, err := c.Write(reply); err != nil {
					return
				}
			}
		}
	}
}
