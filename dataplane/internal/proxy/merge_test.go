package proxy

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/shared/config"
)

// What was asked for before a change is nobody's answer after it.
func TestChangeWhileAsked(t *testing.T) {
	c := newCachedBench(t, nil)
	asked, release := make(chan struct{}), make(chan struct{})
	c.script.Store(new(func(request string) string {
		if strings.HasPrefix(request, "PUT") {
			return reply("200 OK", "done")
		}
		if c.asked.Load() == 1 {
			close(asked)
			<-release
			return reply("200 OK", "old", "Cache-Control: max-age=60")
		}
		return reply("200 OK", "new", "Cache-Control: max-age=60")
	}))
	first := make(chan string)
	go func() {
		_, body := c.get("/api/x")
		first <- body
	}()
	<-asked
	c.want(request("PUT /api/x", "Content-Length: 0"), 200, "done", "api-proxy; fwd=method", 2)
	later := make(chan string)
	go func() {
		_, body := c.get("/api/x")
		later <- body
	}()
	for c.proxy.flights.Waiting() == 0 {
		runtime.Gosched()
	}
	close(release)
	if body := <-first; body != "old" {
		t.Errorf("who asked before: %s", body)
	}
	if body := <-later; body != "new" {
		t.Errorf("who asked after the change: %s", body)
	}
	c.want("/api/x", 200, "new", hit, 3)
}

// However an answer is framed, those who asked meanwhile find it in the store.
func TestStreamedAnswersAreMerged(t *testing.T) {
	const clients = 50
	for name, answer := range map[string]string{
		"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
		"large":   reply("200 OK", strings.Repeat("x", 100<<10)),
	} {
		c := newCachedBench(t, nil)
		release := make(chan struct{})
		c.script.Store(new(func(string) string { <-release; return answer }))
		merged := c.crowd(clients, release, func(resp *http.Response) bool { return resp.StatusCode == 200 })
		if asked := c.asked.Load(); asked != 1 || merged != clients-1 {
			t.Errorf("%s: asked %d times, %d merged", name, asked, merged)
		}
		c.proxyIdle()
	}
	// One that is not stored after all is everybody's own.
	c := newCachedBench(t, nil)
	release := make(chan struct{})
	c.script.Store(new(func(string) string {
		<-release
		return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50000\r\n" + strings.Repeat("x", 0x50000) + "\r\n0\r\n\r\n"
	}))
	if merged := c.crowd(5, release, func(resp *http.Response) bool { return resp.StatusCode == 200 }); merged != 0 || c.asked.Load() != 5 {
		t.Errorf("too large to store: asked %d times, %d merged", c.asked.Load(), merged)
	}
}

// Who has a copy does not wait for the one that tries the provider.
func TestCopyBesideTheProbe(t *testing.T) {
	c := newCachedBench(t, func(doc *config.Document) {
		doc.CircuitBreaker.FailureThreshold = 1
		doc.CircuitBreaker.SuccessThreshold = 1
	})
	c.want("/api/x", 200, "{}", miss, 1)
	c.answer(errorReply)
	c.want("/api/y", 503, "busy", miss, 2)
	c.skip(31 * time.Second)
	asked, release := make(chan struct{}), make(chan struct{})
	c.script.Store(new(func(string) string { close(asked); <-release; return okReply }))
	probe := make(chan struct{})
	go func() {
		defer close(probe)
		c.get("/api/x")
	}()
	<-asked
	if resp := c.want("/api/x", 200, "{}", hit, 3); resp.Header.Get("X-Degraded") != "cache" {
		t.Errorf("fields: %v", resp.Header)
	}
	close(release)
	<-probe
}

// A failure that was shared is no hit.
func TestSharedFailureIsNoHit(t *testing.T) {
	for status, want := range map[int]metrics.Cache{200: metrics.CacheFresh, 404: metrics.CacheFresh, 503: metrics.CacheMiss} {
		x := exchange{status: status}
		x.cache.usable, x.cache.status.Step = true, ladder.Merged
		if got := x.cacheMetric(); got != want {
			t.Errorf("%d: %v, want %v", status, got, want)
		}
	}
}
