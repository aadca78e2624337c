package faults

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// timeout.total bounds what the provider takes. A client that is slower than that
// is served, and five of them do not open the breaker.
func TestTotalIsTheProvidersTime(t *testing.T) {
	const total, pause = time.Second, 300 * time.Millisecond
	limited := func(t *testing.T, up *upstream) *bench {
		return start(t, document(t, fmt.Sprintf(
			"providers: {api: {prefix: /api/, upstream: %q, auth: {type: none}, timeout: {total: %v}, retry: {times: 0}}}", up.url(), total)), noKeys, narrow)
	}
	t.Run("slow uploads", func(t *testing.T) {
		t.Parallel()
		up := newUpstream(t, nil, answers(ok("Content-Length: 2\r\n", "{}")))
		b := limited(t, up)
		together(t, 5, func() {
			c := b.dial()
			defer c.Close()
			fmt.Fprint(c, "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 600000\r\n\r\n")
			(&peer{Conn: c}).trickle(strings.Repeat("u", 600_000), 6, pause)
			if a := readAnswer(bufio.NewReader(c), "POST"); a.status != 200 || a.body != "{}" {
				t.Errorf("%d %q %v, want 200", a.status, a.body, a.failed)
			}
		})
		b.settled(t, 5, line{Status: 200, Attempts: 1}, "success", 0)
	})
	t.Run("slow readers", func(t *testing.T) {
		t.Parallel()
		const size = 16 << 20
		up := newUpstream(t, nil, forHead(ok(fmt.Sprintf("Content-Length: %d\r\n", size), strings.Repeat("d", size))))
		b := limited(t, up)
		together(t, 5, func() {
			c := b.dial()
			defer c.Close()
			fmt.Fprint(c, "GET /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Error(err)
				return
			}
			<-time.After(total + pause)
			if n, err := io.Copy(io.Discard, resp.Body); n != size || err != nil {
				t.Errorf("%d bytes, %v; want %d", n, err, size)
			}
		})
		b.settled(t, 5, line{Status: 200, Attempts: 1}, "success", 0)
	})
	t.Run("a slow provider", func(t *testing.T) {
		t.Parallel()
		b := limited(t, newUpstream(t, nil, (*peer).hang))
		if a := b.get("/api/x"); a.status != 504 {
			t.Errorf("%d %q %v, want 504", a.status, a.body, a.failed)
		}
		b.settled(t, 1, line{Status: 504, Attempts: 1, ErrorType: "timeout"}, "timeout", 1)
	})
}

// together runs do n times at once.
func together(t *testing.T, n int, do func()) {
	t.Helper()
	done := make(chan struct{})
	for range n {
		go func() { defer func() { done <- struct{}{} }(); do() }()
	}
	for range n {
		<-done
	}
}

// An upstream that takes no more of an upload and says nothing is given up after
// the send timeout: it is not waited for a second time.
func TestStalledUpload(t *testing.T) {
	up := newUpstream(t, nil, func(p *peer) {
		_, _, _ = p.head()
		<-p.up.ended
	})
	b := start(t, document(t, fmt.Sprintf(
		"proxy: {max_body_size: 1GiB}\nproviders: {api: {prefix: /api/, upstream: %q, auth: {type: none}, timeout: {send: %v, read: 1h}}}", up.url(), readTimeout)), noKeys, narrow)
	c := b.dial()
	defer c.Close()
	go func() {
		fmt.Fprint(c, "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 100000000\r\n\r\n")
		_, _ = io.Copy(c, io.LimitReader(zeros{}, 100_000_000)) // until the node closes
	}()
	if a := readAnswer(bufio.NewReader(c), "POST"); a.status != 504 {
		t.Errorf("%d %q %v, want 504", a.status, a.body, a.failed)
	}
	b.settled(t, 1, line{Status: 504, Attempts: 1, ErrorType: "timeout"}, "timeout", 1)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// Two requests in one packet: the answer to the first does not wait for that to
// the second.
func TestPipelinedAnswerIsNotKept(t *testing.T) {
	release := make(chan struct{})
	up := newUpstream(t, nil, func(p *peer) {
		for {
			request, ok := p.request()
			if !ok {
				return
			}
			if strings.Contains(request, "/slow") {
				<-release
			}
			if !p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") {
				return
			}
		}
	})
	b := streaming(t, up, 20*time.Second, 10*time.Second, nil)
	paths := 0
	for _, first := range []string{"/api/fast", "/health", "/api-unknown"} {
		c := b.dial()
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: proxy\r\n\r\nGET /api/slow/%d HTTP/1.1\r\nHost: proxy\r\n\r\n", first, paths) // never a stored answer
		paths++
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(c)
		if a := readAnswer(r, "GET"); a.failed != nil {
			t.Errorf("%s: %v: its answer is kept until the next request has one", first, a.failed)
		}
		_ = c.(*net.TCPConn).SetReadDeadline(time.Now().Add(20 * time.Second))
		release <- struct{}{}
		if a := readAnswer(r, "GET"); a.status != 200 {
			t.Errorf("after %s: %d %v", first, a.status, a.failed)
		}
	}
}
