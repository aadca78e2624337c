package proxy

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
)

// A breaker that opens while a retry waits does not cost the answer in hand, be
// it held in memory or still to come.
func TestAnswerInHandOutlivesTheBreaker(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, body := range map[string]string{"short": "busy", "long": long} {
		t.Run(name, func(t *testing.T) {
			reply := "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
			b := newBench(t, replies(nil, reply), func(d *config.Document) { d.CircuitBreaker.FailureThreshold = 2 })
			plan := b.snap.Plans[0]
			waiting := make(chan struct{})
			go func() {
				defer close(waiting)
				if resp, got := b.get("/api/x"); resp.StatusCode != 503 || got != body {
					t.Errorf("%d with %d bytes, want the provider's 503 with %d", resp.StatusCode, len(got), len(body))
				}
			}()
			for plan.Breaker.Stats(0).Failures == 0 {
				<-time.After(time.Millisecond) // the retry waits a second
			}
			b.do("POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 0\r\n\r\n") // is not retried
			<-waiting
			for _, line := range b.lines(2) {
				if !strings.Contains(line, `"attempts":1`) || !strings.Contains(line, `"error_type":"upstream_5xx"`) {
					t.Errorf("log: %s", line)
				}
			}
			b.proxyIdle()
			if n := plan.Pool.Active(); n != 0 {
				t.Errorf("%d connections in use after all", n)
			}
		})
	}
}

// A node that cuts off its requests does not wait for a retry's turn: the answer
// in hand is given, and the charge for the next attempt returned.
func TestCutOffEndsThePause(t *testing.T) {
	var heads []string
	b := newBench(t, replies(&heads, "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 2\r\nContent-Length: 4\r\n\r\nbusy", okReply), func(d *config.Document) {
		d.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: mustRate(t, "1/h"), Burst: 2}}
	})
	stopped := make(chan struct{})
	close(stopped)
	b.proxy.CutOff = stopped
	if resp, body := b.get("/api/x"); resp.StatusCode != 503 || body != "busy" || len(heads) != 1 {
		t.Errorf("%d %q after %d attempts, want the 503 of the first", resp.StatusCode, body, len(heads))
	}
	if got := b.snap.Plans[0].Limit.Peek(b.proxy.Clock()).Remaining; got != 1 {
		t.Errorf("%d tokens left, want 1 of 2", got)
	}
}

// What did not reach the client is not in bytes_out.
func TestBytesOutAreWhatWasWritten(t *testing.T) {
	left := make(chan struct{})
	b := newBench(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		<-left
		_, _ = io.WriteString(c, "5\r\nworld\r\n")
		_, _ = io.Copy(io.Discard, c)
	}, nil)
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
	for got := ""; !strings.HasSuffix(got, "hello\r\n"); {
		buf := make([]byte, 4096)
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += string(buf[:n])
	}
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
	close(left)
	if line := b.lines(1)[0]; !strings.Contains(line, `"bytes_out":5,`) || !strings.Contains(line, `"error_type":"client_gone"`) {
		t.Errorf("log: %s", line)
	}
}

// Whoever sends a broken body, or asks to send one and does not, pays for it with
// his own share; the provider's is given back.
func TestBrokenBodiesAreLimited(t *testing.T) {
	for name, raw := range map[string]string{
		"malformed": "POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"abandoned": "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			var arrived atomic.Int64
			b := newBench(t, func(net.Conn) { arrived.Add(1) }, func(d *config.Document) {
				limit := config.Limit{Rate: mustRate(t, "1/h"), Burst: 3}
				d.RateLimit.PerIP = &config.IPLimit{Limit: limit, IPv6Prefix: 64}
				d.RateLimit.PerProvider = map[string]*config.Limit{"api": &limit}
			})
			for range 3 {
				c, err := net.Dial("tcp", b.addr)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.WriteString(c, raw)
				_, _ = c.Read(make([]byte, 100))
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				b.proxyIdle()
			}
			if resp, body := b.get("/api/x"); resp.StatusCode != http.StatusTooManyRequests || !strings.Contains(body, `"limit":"per_ip"`) {
				t.Errorf("the fourth: %d %s", resp.StatusCode, body)
			}
			if got := b.snap.Plans[0].Limit.Peek(b.proxy.Clock()).Remaining; got != 3 || arrived.Load() != 0 {
				t.Errorf("the provider's limit has %d tokens left, want 3; %d connections arrived", got, arrived.Load())
			}
		})
	}
}
