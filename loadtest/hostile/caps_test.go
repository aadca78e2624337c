package hostile

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// More requests at once than max_in_flight: the surplus is told to come back,
// and whoever is in is served.
func TestMaxInFlight(t *testing.T) {
	b := start(t, "server: {max_in_flight: 4}")
	var inside [4]string
	var wg sync.WaitGroup
	for i := range inside {
		wg.Go(func() { inside[i] = b.get("/api/hold", "") })
	}
	var seen []request
	b.eventually("4 requests at the origin", func() bool {
		now, _ := b.origin.take()
		seen = append(seen, now...)
		return len(seen) == 4
	})
	if got := b.get("/api/x", ""); status(got) != 503 || !strings.Contains(got, `"error_type":"overload"`) || !strings.Contains(got, "\r\nRetry-After: ") {
		t.Errorf("the fifth got %q", got)
	}
	close(b.origin.hold)
	wg.Wait()
	for _, got := range inside {
		if status(got) != 200 {
			t.Errorf("one of the four got %q", got)
		}
	}
	if got := b.get("/api/x", ""); status(got) != 200 {
		t.Errorf("afterwards: %q", got)
	}
	if n := b.metric("api_proxy_requests_error_total", `error_type="overload"`); n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
}

// More connections than the node or one address may have.
func TestMaxConnections(t *testing.T) {
	for _, row := range []struct {
		name, more string
		other      int // status for another address
	}{
		{"of the node", "server: {max_connections: 5}", 503},
		{"of an address", "server: {max_connections_per_ip: 5}", 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, row.more)
			var open []net.Conn
			for range 5 {
				c := b.dial()
				defer c.Close()
				open = append(open, c)
				if _, err := io.WriteString(c, "GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatal(err)
				}
			}
			// It is refused at the door, before it says anything.
			got, ended := b.send(false)
			if status(string(got)) != 503 || !ended || !bytes.Contains(got, []byte(`"error_type":"overload"`)) {
				t.Errorf("the sixth got %q, and its end is %v", got, ended)
			}
			from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: patience}
			c, err := from.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(c, "GET /api/x HTTP/1.1\r\nHost: proxy\r\nConnection: close\r\n\r\n")
			other, _ := io.ReadAll(c)
			_ = c.Close()
			if status(string(other)) != row.other {
				t.Errorf("another address got %q, want %d", other, row.other)
			}
			for _, c := range open {
				_ = c.Close()
			}
			b.eventually("room again", func() bool { return status(b.get("/api/x", "")) == 200 })
		})
	}
}

// Clients that are slow or silent, several hundred at once. They are cut off at
// the deadline, which is for the whole and not for each byte; the others do not
// notice them, and the memory does not grow with what they only announced.
func TestSlowClients(t *testing.T) {
	const crowd = 300
	for _, row := range []struct {
		name, more string
		first      string // what each sends at once
		drip       string // then again and again; empty = silence
		status     int
	}{
		{"a body that never comes", "server: {body_timeout: 1s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 10000000\r\n\r\n", "", 408},
		{"a held body that stops", "server: {body_timeout: 1s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 101\r\n\r\nabc", "", 408},
		{"a chunked body that stops", "server: {body_timeout: 1s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n9f\r\nabc", "", 408},
		{"a body byte by byte", "server: {body_timeout: 1s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 10000\r\n\r\n", "a", 408},
		{"100 Continue without a body", "server: {body_timeout: 1s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nExpect: 100-continue\r\nContent-Length: 101\r\n\r\n", "", 408},
		{"a head that stops", "server: {header_timeout: 1s}", "GET /api/x HTTP/1.1\r\nHost: pro", "", 408},
		{"a head line by line", "server: {header_timeout: 1s}", "GET /api/x HTTP/1.1\r\nHost: proxy\r\n", "A: b\r\n", 408},
		{"silence from the start", "server: {header_timeout: 1s}", "", "", 408},
		{"10 GB announced", "server: {body_timeout: 20s}", "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 10000000000\r\n\r\n", "", 413},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, row.more)
			debug.FreeOSMemory()
			before := resident(t)
			answers := make([]string, crowd)
			var wg sync.WaitGroup
			for i := range crowd {
				c := b.dial()
				wg.Go(func() {
					defer c.Close()
					answers[i] = linger(c, row.first, row.drip)
				})
			}
			ended := make(chan struct{})
			go func() { wg.Wait(); close(ended) }()
			good, peak := 0, int64(0)
			for waiting := true; waiting; {
				if got := b.get("/api/x", ""); status(got) != 200 {
					t.Errorf("a good client got %q", got)
				}
				good++
				peak = max(peak, resident(t))
				select {
				case <-ended:
					waiting = false
				case <-time.After(10 * time.Millisecond):
				}
			}
			t.Logf("%d good requests meanwhile; resident memory grew by %d MB", good, (peak-before)>>20)
			if peak-before > 100<<20 {
				t.Errorf("resident memory grew from %d to %d MB", before>>20, peak>>20)
			}
			for _, got := range answers {
				if got = strings.TrimPrefix(got, "HTTP/1.1 100 Continue\r\n\r\n"); status(got) != row.status {
					t.Fatalf("a slow client got %q, want %d", got, row.status)
				}
			}
			if seen, faults := b.origin.take(); len(seen) != good || len(faults) > 0 {
				t.Errorf("the origin saw %d requests for %d good ones, and %q", len(seen), good, faults)
			}
			if lines := b.accessLog(); len(lines) != crowd+good {
				t.Errorf("%d access log lines for %d slow and %d good requests", len(lines), crowd, good)
			}
		})
	}
}

// linger sends first, then drip every 20 ms until the connection ends, and
// returns the answer.
func linger(c *net.TCPConn, first, drip string) string {
	_, _ = io.WriteString(c, first)
	stop := make(chan struct{})
	var dripping sync.WaitGroup
	if drip != "" {
		dripping.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
					_, _ = io.WriteString(c, drip)
				}
			}
		})
	}
	got, err := io.ReadAll(c)
	close(stop)
	dripping.Wait()
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return fmt.Sprintf("no end after %v: %q", patience, got)
	}
	return string(got)
}

// Clients that ask for much and do not read: each is cut off when no write has
// got on for write_timeout, and holds no more than buffers until then.
func TestSlowReaders(t *testing.T) {
	b := start(t, "server: {write_timeout: 500ms}")
	debug.FreeOSMemory()
	before := resident(t)
	const crowd = 30
	for range crowd {
		c := b.dial()
		defer c.Close()
		_ = c.SetReadBuffer(4 << 10)
		if _, err := io.WriteString(c, "GET /api/big HTTP/1.1\r\nHost: proxy\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	b.eventually("all to be cut off", func() bool {
		if got := b.get("/api/x", ""); status(got) != 200 {
			t.Errorf("a good client got %q", got)
		}
		return b.metric("api_proxy_requests_error_total", `error_type="client_gone"`) == crowd
	})
	if grown := resident(t) - before; grown > 100<<20 {
		t.Errorf("resident memory grew by %d MB", grown>>20)
	}
}

// resident is the resident memory of this process in bytes: node, origin and
// clients together.
func resident(tb testing.TB) int64 {
	tb.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skipf("SKIP: resident memory is read from /proc/self/status: %v", err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		tb.Fatal("no VmRSS in /proc/self/status")
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}
