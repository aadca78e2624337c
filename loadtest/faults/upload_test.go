package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// 200 MiB of unknown length go up in constant memory.
func TestLargeUpload(t *testing.T) {
	var taken atomic.Int64
	up := newUpstream(t, nil, func(p *peer) {
		req, err := http.ReadRequest(p.r)
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, req.Body)
		if taken.Store(n); err == nil {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	b := streaming(t, up, 10*time.Second, 10*time.Second, nil)
	c := b.dial()
	defer c.Close()
	var g growth
	g.begin(t)
	w := bufio.NewWriterSize(c, block)
	fmt.Fprintf(w, "POST /api/large HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n")
	piece := chunk("u")
	for i := range streamSize / block {
		_, _ = w.Write(piece) // Flush tells
		if i%128 == 0 {
			g.sample(t)
		}
	}
	fmt.Fprintf(w, "0\r\n\r\n")
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(bufio.NewReader(c), "POST"); a.status != 200 || taken.Load() != streamSize {
		t.Errorf("%d %v, the upstream got %d bytes, want 200 and %d", a.status, a.failed, taken.Load(), streamSize)
	}
	g.check(t, "200 MiB up")
	b.settled(t, 1, line{Status: 200, Attempts: 1}, "success", 0)
}

// An upstream may answer before it has the whole request; its answer passes
// whatever it does with the rest.
func TestEarlyAnswer(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(*peer)
		send time.Duration // the send timeout
	}{
		{"and closes", func(p *peer) { _ = p.Close() }, 10 * time.Second},
		{"and resets", (*peer).reset, 10 * time.Second},
		{"and reads on", (*peer).hang, 10 * time.Second},
		{"and reads no more", func(p *peer) { <-time.After(2 * time.Second) }, readTimeout},
	} {
		for _, status := range []string{"413 Content Too Large", "401 Unauthorized"} {
			t.Run(status[:3]+" "+row.name, func(t *testing.T) {
				t.Parallel()
				up := newUpstream(t, nil, func(p *peer) {
					if _, _, ok := p.head(); ok && p.say("HTTP/1.1 "+status+"\r\nContent-Length: 2\r\n\r\nno") {
						row.end(p)
					}
				})
				b := streaming(t, up, row.send, 10*time.Second, narrow)
				c := b.dial()
				defer c.Close()
				// The client goes on for as long as it is let.
				uploaded := make(chan error, 1)
				go func() {
					w := bufio.NewWriterSize(c, block)
					fmt.Fprintf(w, "POST /api/large HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n")
					piece := chunk("u")
					for range 16 << 20 / block {
						_, _ = w.Write(piece) // Flush tells
					}
					fmt.Fprintf(w, "0\r\n\r\n")
					uploaded <- w.Flush()
				}()
				a := readAnswer(bufio.NewReader(c), "POST")
				if a.failed != nil || strconv.Itoa(a.status) != status[:3] || a.body != "no" {
					t.Errorf("%d %q %v, want %s", a.status, a.body, a.failed, status)
				}
				_ = c.Close()
				<-uploaded
				code, _ := strconv.Atoi(status[:3])
				b.settled(t, 1, line{Status: code, Attempts: 1, ErrorType: "upstream_4xx"}, "success", 0)
			})
		}
	}
}

// A client that leaves in the middle of its upload is to blame alone, and what
// it sent never passes for a whole request.
func TestUploadBreaksOff(t *testing.T) {
	for _, row := range []struct {
		name, raw string
		attempts  int // a small body is read before anything is sent
	}{
		{"large", "Content-Length: 10000000\r\n\r\n" + strings.Repeat("u", 1<<20), 1},
		{"large, one byte missing", "Content-Length: 1000000\r\n\r\n" + strings.Repeat("u", 999_999), 1},
		{"small", "Content-Length: 1000\r\n\r\n" + strings.Repeat("u", 500), 0},
		{"in a chunk", "Transfer-Encoding: chunked\r\n\r\n1000\r\nuuu", 0},
		{"between chunks", "Transfer-Encoding: chunked\r\n\r\n3\r\nuuu\r\n", 0},
		{"before the end", "Transfer-Encoding: chunked\r\n\r\n3\r\nuuu\r\n0\r\n", 0},
		{"between long chunks", "Transfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("u", 100_000) + "\r\n", 1},
	} {
		for _, end := range []struct {
			name string
			do   func(*net.TCPConn)
		}{
			{"close", func(c *net.TCPConn) { _ = c.CloseWrite() }},
			{"reset", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }},
		} {
			t.Run(row.name+", "+end.name, func(t *testing.T) {
				t.Parallel()
				up := newUpstream(t, nil, func(p *peer) {
					if req, err := http.ReadRequest(p.r); err == nil {
						if _, err := io.Copy(io.Discard, req.Body); err == nil {
							t.Error("the upstream got what looks like a whole request")
						}
					}
				})
				b := streaming(t, up, 10*time.Second, 10*time.Second, nil)
				c := b.dial().(*net.TCPConn)
				defer c.Close()
				fmt.Fprintf(c, "POST /api/large HTTP/1.1\r\nHost: proxy\r\n%s", row.raw)
				if row.attempts > 0 {
					eventually(t, "the upstream is called", func() bool { n, _ := up.counts(); return n == 1 })
				}
				end.do(c)
				l := b.accessLog(1)[0]
				if l.Status != 400 || l.ErrorType != "client_gone" || l.Attempts != row.attempts {
					t.Errorf("%+v, want 400 client_gone, %d attempts", l, row.attempts)
				}
				b.idle()
				eventually(t, "the node closes its connection", func() bool { _, open := up.counts(); return open == 0 })
				series := b.series()
				if series[`api_proxy_upstream_attempts_total{provider="api",outcome="canceled"}`] != float64(row.attempts) ||
					series[`api_proxy_circuit_breaker_failures{provider="api"}`] != 0 {
					t.Error("the upstream is blamed for the client's leaving")
				}
			})
		}
	}
}
