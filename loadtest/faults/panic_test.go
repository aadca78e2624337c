package faults

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// faultyConn has a bug: it panics at the nth write or read.
type faultyConn struct {
	net.Conn
	write, read *atomic.Int64
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.write != nil && c.write.Add(-1) == 0 {
		_ = p[len(p)] // a runtime error, as a real bug is
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Read(p []byte) (int, error) {
	if c.read != nil && c.read.Add(-1) == 0 {
		_ = p[len(p)]
	}
	return c.Conn.Read(p)
}

// A bug costs one request: it gives back what it held, is recorded once, and its
// report holds no key.
func TestPanic(t *testing.T) {
	small := ok("Content-Length: 2\r\n", "{}")
	busy := "HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno"
	large := ok("Content-Length: 200000\r\n", strings.Repeat("x", 200_000))
	count := func(n int64) *atomic.Int64 { c := new(atomic.Int64); c.Store(n); return c }
	for _, row := range []struct {
		name        string
		text        string
		write, read *atomic.Int64
		dial        bool
		cut         bool
	}{
		{name: "dial", text: small, dial: true},
		{name: "write", text: small, write: count(1)},
		{name: "read", text: small, read: count(1)},
		{name: "write of a retry", text: busy, write: count(2)},
		{name: "read of a retry", text: busy, read: count(2)},
		{name: "stream", text: large, read: count(2), cut: true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil, answers(row.text))
			var failing atomic.Bool
			failing.Store(row.dial)
			b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, func(ctx context.Context, network, addr string) (net.Conn, error) {
				if failing.Swap(false) {
					var none []byte
					_ = none[len(addr)]
				}
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				return &faultyConn{Conn: c, write: row.write, read: row.read}, err
			})
			a := b.do(request("GET", "k8"))
			if row.cut && (a.status != 200 || !a.cut) || !row.cut && a.status != 500 {
				t.Errorf("%d, cut %v, %v", a.status, a.cut, a.failed)
			}
			cleanAnswer(t, "the answer", a)
			b.accessLog(1)
			b.idle()
			if _, open := up.counts(); !row.dial {
				eventually(t, "the node closes the connection", func() bool { _, open = up.counts(); return open == 0 })
			}
			if !row.cut && !strings.Contains(b.log.String(), "bug of the proxy") {
				t.Error("there is no report of the panic")
			}
			b.sinks(up.seen())
		})
	}
}
