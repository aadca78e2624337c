package endurance

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// drip is what a slow client sends first, then every half second until the node
// closes the connection.
type drip struct{ name, head, more string }

const (
	timeout    = 2 * time.Second // of every kind
	answerSize = 10_000_000      // more than the kernel buffers, with receiveBuffer
	// receiveBuffer is that of a slow client. By default the kernel would take in
	// whole answers in its place, and the test would be of how fast they are copied.
	receiveBuffer = 64 << 10
)

var drips = []drip{
	{"head", "GET /zerion/test HTTP/1.1\r\nHost: p\r\n", "X-Slow: 1\r\n"},
	{"body", "POST /zerion/echo HTTP/1.1\r\nHost: p\r\nContent-Length: 100000\r\n\r\n", "slow"},
	{"reader", "GET /zerion/bytes/" + strconv.Itoa(answerSize) + " HTTP/1.1\r\nHost: p\r\n\r\n", ""},
}

// 500 clients that send their head or body or read their answer byte by byte.
// Each byte is in time, the whole is not: all are cut off, and others are served
// as if they were not there.
func TestSlowClients(t *testing.T) {
	const slow, perSecond = 500, 300
	provider := startProvider(t)
	p := run(t, `
rate_limit: {}
proxy: {cache_size: 0}
server: {header_timeout: `+timeout.String()+`, body_timeout: `+timeout.String()+`, write_timeout: `+timeout.String()+`, idle_timeout: `+timeout.String()+`}
providers:
  zerion: {upstream: "http://`+provider.Addr()+`/zerion", auth: {type: basic, username_env: ZERION_API_KEY}, timeout: {read: 20s, send: 20s}}
`, t.TempDir())
	alone := p.load(perSecond, "/zerion/test")
	alone.after(t, 3*perSecond)
	alone.stop()

	l := p.load(perSecond, "/zerion/test")
	end := make(chan struct{}) // of patience
	var cut [3]atomic.Int32
	var wg sync.WaitGroup
	for i := range slow {
		kind := i % len(drips)
		c := p.dialSlow()
		wg.Go(func() {
			defer func() { _ = c.Close() }()
			if drips[kind].play(c, end) {
				cut[kind].Add(1)
			}
		})
	}
	timer := time.AfterFunc(patience, func() { close(end) })
	defer timer.Stop()
	begin := time.Now()
	wg.Wait()
	elapsed := time.Since(begin)
	l.after(t, perSecond)
	l.stop()
	t.Logf("without slow clients: %v", alone)
	t.Logf("with %d of them, gone after %v: %v", slow, elapsed.Round(100*time.Millisecond), l)
	for kind, d := range drips {
		if got, want := int(cut[kind].Load()), (slow+len(drips)-1-kind)/len(drips); got != want {
			t.Errorf("slow %s: %d of %d were cut off", d.name, got, want)
		}
	}
	if bad := l.answered() + len(l.failed) - l.statuses[http.StatusOK]; bad*1000 > l.answered() {
		t.Errorf("%d of %d requests of others failed: %v", bad, l.answered(), errors.Join(l.failed...))
	}
}

// dialSlow opens a connection with a small receive buffer.
func (p *program) dialSlow() net.Conn {
	p.t.Helper()
	d := net.Dialer{Control: func(_, _ string, c syscall.RawConn) (err error) {
		return errors.Join(c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receiveBuffer)
		}), err)
	}}
	c, err := d.Dial("tcp", p.addr)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(2 * patience))
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

// play reports whether the node cut the client off before the end.
func (d drip) play(c net.Conn, end <-chan struct{}) bool {
	if _, err := io.WriteString(c, d.head); err != nil {
		return false
	}
	if d.more == "" {
		return readSlowly(c, end)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, c)
	}()
	defer func() { _ = c.Close(); <-gone }()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-end:
			return false
		case <-gone:
			return true
		case <-ticker.C:
			_, _ = io.WriteString(c, d.more) // the reader above sees the end
		}
	}
}

// readSlowly takes a few bytes every half second, from the first one on for five
// times as long as a write may last, then all that is left. What the kernel had buffered arrives
// even on a connection that was cut, but not the whole answer.
func readSlowly(c net.Conn, end <-chan struct{}) bool {
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	first, err := c.Read(make([]byte, 32))
	if err != nil {
		return false // it never had an answer to read slowly
	}
	got := int64(first)
	for range 5 * int(timeout/(500*time.Millisecond)) {
		select {
		case <-end:
			return false
		case <-ticker.C:
		}
		n, err := c.Read(make([]byte, 32))
		if got += int64(n); err != nil {
			return true
		}
	}
	n, _ := io.Copy(io.Discard, c) // ends with the connection: idle_timeout bounds it
	return got+n < answerSize
}
