package proxy

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/shared/config"
)

// What is for one Authorization is for nobody else, whatever else the answer says.
func TestAnswerForOneAuthorization(t *testing.T) {
	c := newCachedBench(t, func(doc *config.Document) {
		api := doc.Providers["api"]
		api.Auth = config.Auth{Type: config.AuthNone, PassAuthorization: true}
		doc.Providers["api"] = api
	})
	for i, control := range []string{"public, max-age=60", "s-maxage=60", "max-age=60, must-revalidate"} {
		path, asked := "/api/"+strings.Repeat("x", i+1), int64(2*i)
		c.answer(reply("200 OK", "for alice", "Cache-Control: "+control, "Vary: Authorization"))
		c.want(request("GET "+path, "Authorization: Bearer alice"), 200, "for alice", miss, asked+1)
		c.answer(reply("200 OK", "for all", "Cache-Control: no-store"))
		c.want(path, 200, "for all", miss, asked+2)
	}
}

// The key knows nothing of a Connection without names; it must not make the
// provider's answer another one.
func TestConnectionOfManyWords(t *testing.T) {
	c := newCachedBench(t, nil)
	words := "Connection: " + strings.Repeat("close,", 33)
	c.want(request("GET /api/x", "Accept: text/plain", "Connection: TE, close", words), 200, "{}", "api-proxy; fwd=bypass", 1)
	c.want(request("GET /api/x", "Accept: text/plain", "Connection: TE, close"), 200, "{}", miss, 2)
}

// The age that a 304 comes with is the copy's.
func TestAgeOfA304(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "body", `ETag: "a"`, "Cache-Control: max-age=1"))
	c.want("/api/x", 200, "body", miss, 1)
	c.skip(2 * time.Second)
	c.answer("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=120\r\nAge: 100\r\n\r\n")
	if resp := c.want("/api/x", 200, "body", "api-proxy; fwd=stale; fwd-status=304; stored", 2); resp.Header.Get("Age") != "100" {
		t.Errorf("Age: %s", resp.Header.Get("Age"))
	}
	c.skip(15 * time.Second)
	c.want("/api/x", 200, "body", hit, 2)
	c.skip(10 * time.Second)
	c.want("/api/x", 200, "body", "api-proxy; fwd=stale", 3)
}

// A HEAD whose GET's copy is stale has one of its own.
func TestHeadBesideAStaleGet(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "body", `ETag: "a"`, "Cache-Control: max-age=1"))
	c.want("/api/x", 200, "body", miss, 1)
	c.want(request("HEAD /api/x"), 200, "", hit, 1)
	c.skip(2 * time.Second)
	c.answer("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-N: 2\r\nCache-Control: max-age=100\r\n\r\n")
	c.want(request("HEAD /api/x"), 200, "", "api-proxy; fwd=stale; stored", 2)
	if resp := c.want(request("HEAD /api/x"), 200, "", hit, 2); resp.Header.Get("X-N") != "2" || resp.ContentLength != 4 {
		t.Errorf("not the HEAD's copy: %v", resp.Header)
	}
	c.answer(errorReply)
	c.want("/api/x", 200, "body", "api-proxy; fwd=stale; fwd-status=503", 3)
}

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

// Copies outlast a time in which the cache is off, so a change then counts, too.
func TestChangeWhileOff(t *testing.T) {
	c := newCachedBench(t, nil)
	c.want("/api/x", 200, "{}", miss, 1)
	c.snap.Plans[0].Cache.Mode = cache.Off
	c.want(request("PUT /api/x", "Content-Length: 0"), 200, "{}", "api-proxy; fwd=bypass", 2)
	c.snap.Plans[0].Cache.Mode = cache.Default
	c.want("/api/x", 200, "{}", miss, 3)
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

// A copy has the fields that the provider sent, and no others.
func TestCopyHasNoOtherContentType(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "{}"))
	for range 2 {
		if resp, _ := c.get("/api/x"); resp.Header["Content-Type"] != nil {
			t.Errorf("%s: %v", resp.Header.Get("Cache-Status"), resp.Header)
		}
	}
}

// A part of a stale copy is answered, and the whole of it is asked for.
func TestRefreshOfAPart(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "old", "Cache-Control: max-age=1, stale-while-revalidate=60"))
	c.want("/api/x", 200, "old", miss, 1)
	c.skip(2 * time.Second)
	c.answer(reply("200 OK", "new", "Cache-Control: max-age=60"))
	if resp, body := c.do(request("GET /api/x", "Range: bytes=0-0")); resp.StatusCode != 206 || body != "o" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	c.proxyIdle()
	if sent := *c.last.Load(); strings.Contains(sent, "Range") {
		t.Errorf("sent %s", sent)
	}
	c.want("/api/x", 200, "new", hit, 2)
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
