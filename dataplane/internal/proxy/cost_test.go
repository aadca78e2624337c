package proxy

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/valyala/fasthttp"
	"github.com/valyala/fasthttp/fasthttputil"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/shared/config"
)

// limited puts generous limits on everything, so that all stages work and none
// refuses.
func limited(doc *config.Document) {
	rate, _ := config.ParseRate("900000000")
	l := config.Limit{Rate: rate, Burst: 1e9}
	doc.RateLimit = config.RateLimit{
		Global:      &l,
		PerIP:       &config.IPLimit{Limit: l, IPv6Prefix: 64},
		PerProvider: map[string]*config.Limit{"api": &l},
	}
	doc.Proxy.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// jsonReply is the size of a typical small API answer.
var jsonReply = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\n" +
	"Server: provider\r\nETag: \"abc\"\r\nContent-Length: 562\r\n\r\n" + string(bytes.Repeat([]byte("x"), 562)))

const typicalHead = "GET /api/v1/wallets/0x42b9df65b219b3dd36ff330a4dd8f327a6ada990/portfolio?currency=usd HTTP/1.1\r\n" +
	"Host: proxy:8080\r\nUser-Agent: bench/1.0\r\nAccept: application/json\r\nAccept-Encoding: gzip\r\n"

// decide runs all decisions of a request: admission, routing, the client's
// address, three limits, the breaker.
func (p *Proxy) decide(x *exchange, ctx *fasthttp.RequestCtx) {
	x.begin(ctx, p.Snapshot(), p.Clock())
	if !p.accept(x) {
		panic("refused")
	}
	permit, ok, _, _ := x.plan.Breaker.Acquire(x.now)
	if !ok {
		panic("breaker open")
	}
	x.plan.Breaker.Done(x.now, permit, breaker.Success)
	x.clear()
}

// requestCtx is what fasthttp hands to the handler for a raw request.
func requestCtx(tb testing.TB, raw string) *fasthttp.RequestCtx {
	tb.Helper()
	ctx := &fasthttp.RequestCtx{}
	ctx.Init2(addrConn{}, nil, false)
	if err := ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		tb.Fatal(err)
	}
	return ctx
}

type addrConn struct{ net.Conn }

var loopback net.Addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 4000}

func (addrConn) RemoteAddr() net.Addr { return loopback }
func (addrConn) LocalAddr() net.Addr  { return loopback }

func TestDecisionAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: the race detector allocates; the run without it checks this")
	}
	b := newBench(t, fixedUpstream(jsonReply), limited)
	ctx := requestCtx(t, typicalHead+"X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n\r\n")
	x := new(exchange)
	b.proxy.decide(x, ctx)
	if n := testing.AllocsPerRun(1000, func() { b.proxy.decide(x, ctx) }); n != 0 {
		t.Errorf("the decision path allocates %v times per request, want 0", n)
	}
}

func TestSmallRequestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: the race detector allocates; the run without it checks this")
	}
	b := newBench(t, fixedUpstream(jsonReply), limited)
	c := dialClient(t, b)
	c.roundTrip(t)
	const most = 2
	if n := testing.AllocsPerRun(2000, func() { c.roundTrip(t) }); n > most {
		t.Errorf("a small proxied request allocates %v times, want at most %d", n, most)
	}
}

// client sends the same request again and again on one connection, without
// allocating.
type client struct {
	conn    net.Conn
	request []byte
	buf     []byte
}

func dialClient(tb testing.TB, b *bench) *client {
	tb.Helper()
	conn, err := b.network.dial(context.Background(), "tcp", b.addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &client{conn: conn, request: []byte(typicalHead + "\r\n"), buf: make([]byte, 8<<10)}
}

func (c *client) roundTrip(tb testing.TB) {
	if _, err := c.conn.Write(c.request); err != nil {
		tb.Fatal(err)
	}
	n, want := 0, -1
	for want < 0 || n < want {
		m, err := c.conn.Read(c.buf[n:])
		if err != nil {
			tb.Fatal(err)
		}
		n += m
		if i := bytes.Index(c.buf[:n], []byte("\r\n\r\n")); i >= 0 {
			want = i + 4 + 562
		}
	}
	if !bytes.HasPrefix(c.buf, []byte("HTTP/1.1 200")) {
		tb.Fatalf("%.200s", c.buf[:n])
	}
}

// BenchmarkDecision is the decision path: routing, three
// limits with 100,000 client addresses, the breaker.
func BenchmarkDecision(bb *testing.B) {
	b := newBench(bb, fixedUpstream(jsonReply), limited)
	addrs := make([]netip.Addr, 100_000)
	for i := range addrs {
		addrs[i] = netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	bb.ReportAllocs()
	bb.RunParallel(func(pb *testing.PB) {
		x := new(exchange)
		x.begin(requestCtx(bb, typicalHead+"\r\n"), b.snap, 0)
		if !b.proxy.admit(x) {
			bb.Error("refused")
		}
		for i := rand.IntN(len(addrs)); pb.Next(); i++ {
			x.client, x.now = addrs[i*7919%len(addrs)], b.proxy.Clock()
			x.tightPolicy = nil
			if !b.proxy.route(x) || !b.proxy.takeFairness(x) || !b.proxy.takeProvider(x) {
				bb.Error("refused")
			}
			permit, _, _, _ := x.plan.Breaker.Acquire(x.now)
			x.plan.Breaker.Done(x.now, permit, breaker.Success)
		}
	})
}

// BenchmarkAdmit is what comes before: reading the head anew, finding the
// client's address, a request id.
func BenchmarkAdmit(bb *testing.B) {
	b := newBench(bb, fixedUpstream(jsonReply), limited)
	x := new(exchange)
	ctx := requestCtx(bb, typicalHead+"X-Forwarded-For: 203.0.113.9, 127.0.0.1\r\n\r\n")
	bb.ReportAllocs()
	for bb.Loop() {
		x.begin(ctx, b.snap, 0)
		b.proxy.admit(x)
		x.clear()
	}
}

// BenchmarkRequest is a whole small request with client, node and upstream in
// one process: in memory, which leaves the kernel out, and over loopback.
func BenchmarkRequest(bb *testing.B) {
	for name, on := range map[string]network{"memory": newMemoryNetwork(), "loopback": loopbackNetwork{}} {
		bb.Run(name, func(bb *testing.B) {
			b := newBenchOn(bb, on, fixedUpstream(jsonReply), limited)
			bb.ReportAllocs()
			bb.ResetTimer()
			bb.RunParallel(func(pb *testing.PB) {
				c := dialClient(bb, b)
				for pb.Next() {
					c.roundTrip(bb)
				}
			})
		})
	}
}

// memoryNetwork connects by name without the kernel.
type memoryNetwork struct {
	mu        sync.Mutex
	listeners map[string]*fasthttputil.InmemoryListener
}

func newMemoryNetwork() *memoryNetwork {
	return &memoryNetwork{listeners: map[string]*fasthttputil.InmemoryListener{}}
}

type memoryListener struct {
	*fasthttputil.InmemoryListener
	name string
}

func (l memoryListener) Addr() net.Addr { return memoryAddr(l.name) }

type memoryAddr string

func (memoryAddr) Network() string  { return "memory" }
func (a memoryAddr) String() string { return string(a) }

func (m *memoryNetwork) listen() (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := fmt.Sprintf("memory:%d", len(m.listeners)+1)
	m.listeners[name] = fasthttputil.NewInmemoryListener()
	return memoryListener{m.listeners[name], name}, nil
}

func (m *memoryNetwork) dial(_ context.Context, _, addr string) (net.Conn, error) {
	m.mu.Lock()
	l := m.listeners[addr]
	m.mu.Unlock()
	return l.Dial()
}
