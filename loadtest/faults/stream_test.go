package faults

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"
)

// streaming runs a node with one provider without a key.
func streaming(t *testing.T, up *upstream, read, write time.Duration, dial dialFunc) *bench {
	return start(t, document(t, fmt.Sprintf(`
proxy: {max_body_size: 1GiB}
server: {write_timeout: %v}
providers:
  api: {prefix: /api/, upstream: %q, auth: {type: none}, timeout: {connect: 10s, send: %v, read: %v}, retry: {times: 2, delay: 1ms}}
`, write, up.url(), read, read)), noKeys, dial)
}

const (
	streamSize = 200 << 20
	block      = 64 << 10
)

// chunk is a whole chunk with block bytes of data.
func chunk(of string) []byte {
	return fmt.Appendf(nil, "%x\r\n%s\r\n", block, strings.Repeat(of, block))
}

// resident is the memory of this process in use, bytes: node, upstream and
// client.
func resident(t *testing.T) int64 {
	t.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("SKIP: no /proc/self/status here: ", err)
	}
	for text := range strings.Lines(string(data)) {
		if fields := strings.Fields(text); len(fields) == 3 && fields[0] == "VmRSS:" {
			kb, _ := strconv.ParseInt(fields[1], 10, 64)
			return kb << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// growth reads the memory while a stream runs.
type growth struct{ from, peak int64 }

func (g *growth) begin(t *testing.T) {
	debug.FreeOSMemory()
	g.from = resident(t)
	g.peak = g.from
}

func (g *growth) sample(t *testing.T) { g.peak = max(g.peak, resident(t)) }

func (g *growth) check(t *testing.T, what string) {
	t.Helper()
	t.Logf("%s: RSS grew by %.1f MiB", what, float64(g.peak-g.from)/(1<<20))
	if g.peak-g.from >= 40<<20 {
		t.Errorf("%s: RSS grew by %d bytes, want less than 40 MiB", what, g.peak-g.from)
	}
}

// settled expects that a stream was recorded once, as one attempt with that
// outcome, and left nothing behind.
func (b *bench) settled(t *testing.T, n int, want line, counted string, failures float64) {
	t.Helper()
	lines := b.accessLog(n)
	got := lines[len(lines)-1]
	want.Provider, want.Method = "api", got.Method
	if got != want {
		t.Errorf("log line %+v, want %+v", got, want)
	}
	b.idle()
	series := b.series()
	for name, want := range map[string]float64{
		`api_proxy_latency_count{provider="api"}`:                                     float64(n),
		`api_proxy_upstream_attempts_total{provider="api",outcome="` + counted + `"}`: float64(n),
		`api_proxy_circuit_breaker_failures{provider="api"}`:                          failures,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}

// 200 MiB of unknown length come down in constant memory.
func TestLargeDownload(t *testing.T) {
	piece := chunk("d")
	up := newUpstream(t, nil, func(p *peer) {
		if _, ok := p.request(); !ok || !p.say(chunkedHead) {
			return
		}
		for range streamSize / block {
			if _, err := p.Write(piece); err != nil {
				return
			}
		}
		p.say("0\r\n\r\n")
		p.hang()
	})
	b := streaming(t, up, 10*time.Second, 10*time.Second, nil)
	c := b.dial()
	defer c.Close()
	var g growth
	g.begin(t)
	fmt.Fprintf(c, "GET /api/large HTTP/1.1\r\nHost: proxy\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	total, buf := 0, make([]byte, block)
	for err == nil {
		var n int
		n, err = resp.Body.Read(buf)
		if before := total >> 23; (total+n)>>23 != before {
			g.sample(t)
		}
		total += n
	}
	if err != io.EOF || total != streamSize {
		t.Errorf("%d bytes, %v; want %d", total, err, streamSize)
	}
	g.check(t, "200 MiB down")
	b.settled(t, 1, line{Status: 200, Attempts: 1}, "success", 0)
}

// narrow keeps the kernel from buffering what these tests want to see held back.
func narrow(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(block)
		_ = tcp.SetWriteBuffer(block)
	}
	return c, err
}

// endless says chunks until it is stuck for a while, tells how far it came, and
// goes on when it can.
func endless(stuck chan<- int64, over chan<- int64) func(*peer) {
	return func(p *peer) {
		if tcp, ok := p.Conn.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(block)
		}
		if _, ok := p.request(); !ok || !p.say(chunkedHead) {
			return
		}
		piece := chunk("e")
		var sent int64
		for {
			_ = p.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := p.Write(piece)
			sent += int64(n)
			if ne, ok := err.(net.Error); ok && ne.Timeout() {
				stuck <- sent
				_ = p.SetWriteDeadline(time.Time{})
				n, err = p.Write(piece[n:])
				sent += int64(n)
			}
			if err != nil {
				over <- sent
				return
			}
		}
	}
}

// A client that does not read holds the upstream back; when it leaves, the
// upstream's connection is closed, and the upstream is not to blame.
func TestBackPressureAndClientGone(t *testing.T) {
	stuck, over := make(chan int64, 16), make(chan int64, 1)
	up := newUpstream(t, nil, endless(stuck, over))
	b := streaming(t, up, 10*time.Second, 10*time.Second, narrow)
	c := b.dial()
	defer c.Close()
	_ = c.(*net.TCPConn).SetReadBuffer(block)
	fmt.Fprintf(c, "GET /api/endless HTTP/1.1\r\nHost: proxy\r\n\r\n")
	sent := <-stuck
	t.Logf("%.1f MiB were taken from the upstream for a client that read nothing", float64(sent)/(1<<20))
	if sent > 12<<20 {
		t.Errorf("%d bytes were taken from the upstream for a client that read nothing, want a few MiB", sent)
	}
	if _, err := io.CopyN(io.Discard, c, 16<<20); err != nil { // and it goes on
		t.Fatal(err)
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	<-over
	b.settled(t, 1, line{Status: 200, Attempts: 1, ErrorType: "client_gone"}, "success", 0)
}

// A client that does not read for longer than the write timeout is cut off.
func TestClientStalls(t *testing.T) {
	stuck, over := make(chan int64, 16), make(chan int64, 1)
	up := newUpstream(t, nil, endless(stuck, over))
	b := streaming(t, up, 10*time.Second, 600*time.Millisecond, narrow)
	c := b.dial()
	defer c.Close()
	fmt.Fprintf(c, "GET /api/endless HTTP/1.1\r\nHost: proxy\r\n\r\n")
	<-over
	b.settled(t, 1, line{Status: 200, Attempts: 1, ErrorType: "client_gone"}, "success", 0)
}

// Events come one by one, while the stream is open and for longer than either
// side's timeout, whatever the framing of the stream is.
func TestEventStream(t *testing.T) {
	const events, timeout, pause = 12, soon, 120 * time.Millisecond
	event := func(i int) string { return fmt.Sprintf("data: %d\n\n", 10+i) }
	for _, row := range []struct {
		name, fields, end string
		wrap              func(string) string
	}{
		{"chunked", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", func(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }},
		{"until close", "Connection: close\r\n", "", func(s string) string { return s }},
		{"of a known length", fmt.Sprintf("Content-Length: %d\r\n", events*len(event(0))), "", func(s string) string { return s }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan bool, events)
			up := newUpstream(t, nil, func(p *peer) {
				if _, ok := p.request(); !ok || !p.say(ok200Events+row.fields+"\r\n") {
					return
				}
				tick := time.NewTicker(pause)
				defer tick.Stop()
				for i := range events {
					if !p.say(row.wrap(event(i))) {
						return
					}
					<-got // the client has this one before there is a next
					<-tick.C
				}
				p.say(row.end)
			})
			b := streaming(t, up, timeout, timeout, nil)
			c := b.dial()
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			fmt.Fprintf(c, "GET /api/events HTTP/1.1\r\nHost: proxy\r\n\r\n")
			defer close(got)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, len(event(0)))
			for i := range events {
				if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != event(i) {
					t.Fatalf("event %d: %q, %v", i, buf, err)
				}
				got <- true
			}
			if n, err := resp.Body.Read(buf); n != 0 || err != io.EOF {
				t.Errorf("after the last event: %d bytes, %v", n, err)
			}
			b.settled(t, 1, line{Status: 200, Attempts: 1}, "success", 0)
		})
	}
}

const ok200Events = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
