package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/shared/config"
)

// cachedBench is a bench with a cache, a script that may change, and a clock that
// can be put forward.
type cachedBench struct {
	*bench
	script atomic.Pointer[func(request string) string]
	asked  atomic.Int64 // requests that reached the upstream
	ahead  atomic.Int64 // nanoseconds
	last   atomic.Pointer[string]
}

func newCachedBench(t testing.TB, change func(*config.Document)) *cachedBench {
	t.Helper()
	c := &cachedBench{}
	c.answer(okReply)
	c.bench = newBench(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			request, err := readRequest(r)
			if err != nil {
				return
			}
			c.asked.Add(1)
			c.last.Store(&request)
			reply := (*c.script.Load())(request)
			if reply == "" {
				return
			}
			if _, err := io.WriteString(conn, reply); err != nil || strings.HasSuffix(reply, "\n[cut]") {
				return
			}
		}
	}, func(doc *config.Document) {
		api := doc.Providers["api"]
		api.Retry.Times = 0
		doc.Providers["api"] = api
		if change != nil {
			change(doc)
		}
	})
	clock := c.proxy.Clock
	c.proxy.Clock = func() int64 { return clock() + c.ahead.Load() }
	c.proxy.Cache = c.state.Cache()
	return c
}

func (c *cachedBench) answer(text string)   { c.script.Store(new(func(string) string { return text })) }
func (c *cachedBench) skip(d time.Duration) { c.ahead.Add(int64(d)) }

func reply(status string, body string, fields ...string) string {
	return "HTTP/1.1 " + status + "\r\n" + strings.Join(append(fields, fmt.Sprintf("Content-Length: %d", len(body))), "\r\n") + "\r\n\r\n" + body
}

// want sends a request and holds the answer against status, body, Cache-Status
// and how many requests the upstream has seen.
func (c *cachedBench) want(raw string, status int, body, cacheStatus string, asked int64) *http.Response {
	c.t.Helper()
	if !strings.Contains(raw, "\r\n") {
		raw = "GET " + raw + " HTTP/1.1\r\nHost: proxy\r\n\r\n"
	}
	resp, got := c.do(raw)
	if resp.StatusCode != status || body != "*" && got != body || !strings.HasPrefix(resp.Header.Get("Cache-Status"), cacheStatus) || c.asked.Load() != asked {
		c.t.Errorf("%.40q: %d %.60q, %q, %d asked; want %d %q, %q, %d", raw, resp.StatusCode, got, resp.Header.Get("Cache-Status"), c.asked.Load(), status, body, cacheStatus, asked)
	}
	return resp
}

const (
	miss = "api-proxy; fwd=miss"
	hit  = "api-proxy; hit"
)

func request(line string, fields ...string) string {
	return line + " HTTP/1.1\r\n" + strings.Join(append([]string{"Host: proxy"}, fields...), "\r\n") + "\r\n\r\n"
}

// The walk of an operator who tries the cache and its degradation.
func TestCacheWalk(t *testing.T) {
	c := newCachedBench(t, func(doc *config.Document) {
		doc.CircuitBreaker.FailureThreshold = 2
		doc.CircuitBreaker.SuccessThreshold = 1
	})
	c.want("/api/a", 200, "{}", miss+"; stored", 1)
	resp := c.want("/api/a", 200, "{}", hit+"; ttl=59", 1)
	if resp.Header.Get("Age") != "0" || resp.Header.Get("X-Degraded") != "" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("fields of a hit: %v", resp.Header)
	}
	// The provider fails and the breaker opens.
	c.answer(errorReply)
	c.want("/api/b", 503, "busy", miss, 2)
	c.want("/api/b", 503, "busy", miss, 3)
	resp = c.want("/api/a", 200, "{}", hit, 3)
	if resp.Header.Get("X-Degraded") != "cache" || resp.Header.Get("X-Cache-Age") != "0" {
		t.Errorf("fields of a degraded answer: %v", resp.Header)
	}
	if resp := c.want("/api/b", 503, "*", miss, 3); resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	// Half-open a request goes upstream although the copy is fresh, and fails: a
	// copy all the same.
	c.skip(31 * time.Second)
	c.want("/api/a", 200, "{}", "api-proxy; fwd=request; fwd-status=503", 4)
	c.skip(31 * time.Second)
	c.answer(okReply)
	c.want("/api/a", 200, "{}", "api-proxy; fwd=stale; stored", 5) // closes it
	c.want("/api/a", 200, "{}", hit, 5)
	// Stale, the provider fails: the copy stands in until it is too old.
	c.answer(errorReply)
	c.skip(119 * time.Second)
	if resp := c.want("/api/a", 200, "{}", "api-proxy; fwd=stale; fwd-status=503; ttl=", 6); resp.Header.Get("X-Degraded") != "cache" || resp.Header.Get("X-Cache-Age") != "119" {
		t.Errorf("fields of a degraded answer: %v", resp.Header)
	}
	c.skip(2 * time.Second)
	c.want("/api/a", 503, "busy", miss, 7)
	lines := c.lines(11)
	for i, words := range []string{`"miss","degraded":""`, `"hit","degraded":""`, "", "", `"hit","degraded":"circuit_breaker"`} {
		if words != "" && !strings.Contains(lines[i], `"cache":`+words) {
			t.Errorf("line %d: %s", i, lines[i])
		}
	}
}

func TestCacheRespectsRequestsAndAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		request, answer string
		second          string // Cache-Status of the same request again
	}{
		"plain":         {request("GET /api/x"), okReply, hit},
		"no-store":      {request("GET /api/x"), reply("200 OK", "{}", "Cache-Control: no-store"), miss},
		"private":       {request("GET /api/x"), reply("200 OK", "{}", "Cache-Control: private"), miss},
		"cookie":        {request("GET /api/x"), reply("200 OK", "{}", "Set-Cookie: a=b"), miss},
		"authorization": {request("GET /api/x", "Authorization: Bearer x"), okReply, miss},
		"public":        {request("GET /api/x", "Authorization: Bearer x"), reply("200 OK", "{}", "Cache-Control: public"), hit},
		"404":           {request("GET /api/x"), reply("404 Not Found", "{}"), hit},
		"403":           {request("GET /api/x"), reply("403 Forbidden", "{}"), miss},
		"vary all":      {request("GET /api/x"), reply("200 OK", "{}", "Vary: *"), miss},
		"chunked":       {request("GET /api/x"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", hit},
		"events":        {request("GET /api/x"), reply("200 OK", "{}", "Content-Type: text/event-stream"), miss},
		"too large":     {request("GET /api/x"), reply("200 OK", strings.Repeat("x", 300<<10)), miss},
		"streamed":      {request("GET /api/x"), reply("200 OK", strings.Repeat("x", 200<<10)), hit},
		"fat GET":       {request("GET /api/x", "Content-Length: 2") + "{}", okReply, "api-proxy; fwd=bypass"},
		"POST":          {request("POST /api/x", "Content-Length: 2") + "{}", okReply, "api-proxy; fwd=method"},
		"HEAD":          {request("HEAD /api/x"), "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", hit},
		"no content":    {request("GET /api/x"), "HTTP/1.1 204 No Content\r\n\r\n", hit},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCachedBench(t, nil)
			c.answer(tc.answer)
			first, body := c.do(tc.request)
			c.lines(1) // a streamed answer is stored when its line is written
			second, again := c.do(tc.request)
			if !strings.HasPrefix(second.Header.Get("Cache-Status"), tc.second) {
				t.Errorf("%q, want %q", second.Header.Get("Cache-Status"), tc.second)
			}
			if first.StatusCode != second.StatusCode || body != again || first.ContentLength >= 0 && first.ContentLength != second.ContentLength {
				t.Errorf("%d %.20q %d, then %d %.20q %d", first.StatusCode, body, first.ContentLength, second.StatusCode, again, second.ContentLength)
			}
		})
	}
}

// What ends before its framing says so is never stored.
func TestTruncatedAnswersAreNotStored(t *testing.T) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n\n[cut]",
		"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello\n[cut]",
		"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"a\":[1,\n[cut]", // cannot be told from a complete one
	} {
		c := newCachedBench(t, nil)
		c.answer(answer)
		c.do(request("GET /api/x"))
		c.lines(1)
		c.answer(okReply)
		c.want("/api/x", 200, "{}", miss, 2)
	}
}

func TestCacheAnswersConditionsAndParts(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "0123456789", `ETag: "a"`, "Content-Type: text/plain"))
	c.want("/api/x", 200, "0123456789", miss, 1)
	if resp := c.want(request("GET /api/x", `If-None-Match: "a"`), 304, "", hit, 1); resp.Header.Get("ETag") != `"a"` || resp.Header.Get("Content-Type") != "" {
		t.Errorf("fields of a 304: %v", resp.Header)
	}
	if resp := c.want(request("GET /api/x", "Range: bytes=2-4"), 206, "234", hit, 1); resp.Header.Get("Content-Range") != "bytes 2-4/10" {
		t.Errorf("fields of a part: %v", resp.Header)
	}
	if resp := c.want(request("GET /api/x", "Range: bytes=20-"), 416, "", hit, 1); resp.Header.Get("Content-Range") != "bytes */10" {
		t.Errorf("fields of a 416: %v", resp.Header)
	}
	if resp := c.want(request("HEAD /api/x"), 200, "", hit, 1); resp.ContentLength != 10 {
		t.Errorf("HEAD: length %d", resp.ContentLength)
	}
	c.want(request("GET /api/x", "Cache-Control: only-if-cached"), 200, "0123456789", hit, 1)
	c.want(request("GET /api/y", "Cache-Control: only-if-cached"), 504, "*", "api-proxy", 1)
	c.want(request("GET /api/x", "Cache-Control: no-cache"), 200, "0123456789", "api-proxy; fwd=request", 2)
}

func TestRevalidation(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "body", `ETag: "a"`, "X-N: 1", "Cache-Control: max-age=10"))
	c.want("/api/x", 200, "body", miss, 1)
	c.skip(11 * time.Second)
	c.script.Store(new(func(request string) string {
		if strings.Contains(request, "If-None-Match: \"a\"\r\n") {
			return "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nX-N: 2\r\nCache-Control: max-age=20\r\n\r\n"
		}
		return errorReply
	}))
	if resp := c.want("/api/x", 200, "body", "api-proxy; fwd=stale; fwd-status=304; stored", 2); resp.Header.Get("X-N") != "2" {
		t.Errorf("fields are not updated: %v", resp.Header)
	}
	c.skip(19 * time.Second)
	if resp := c.want("/api/x", 200, "body", hit, 2); resp.Header.Get("X-N") != "2" || resp.Header.Get("Age") != "19" {
		t.Errorf("fields are not updated: %v", resp.Header)
	}
	c.skip(2 * time.Second)
	c.answer(reply("200 OK", "new", `ETag: "b"`))
	c.want("/api/x", 200, "new", "api-proxy; fwd=stale; stored", 3)
	c.want("/api/x", 200, "new", hit, 3)
}

func TestUnsafeMethodsInvalidate(t *testing.T) {
	c := newCachedBench(t, nil)
	c.want("/api/x", 200, "{}", miss, 1)
	c.answer(errorReply)
	c.want(request("DELETE /api/x"), 503, "busy", "api-proxy; fwd=method", 2)
	c.want("/api/x", 200, "{}", hit, 2)
	c.answer(okReply)
	c.want(request("DELETE /api/x"), 200, "{}", "api-proxy; fwd=method", 3)
	c.want("/api/x", 200, "{}", miss, 4)
}

func TestCopyWhileQuotaIsShort(t *testing.T) {
	for serve, want := range map[bool]int{true: 200, false: 429} {
		c := newCachedBench(t, func(doc *config.Document) {
			rate, _ := config.ParseRate("1/h")
			doc.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: rate, Burst: 1}}
			doc.Proxy.ServeStaleWhenLimited = serve
		})
		c.want("/api/x", 200, "{}", miss, 1)
		c.skip(61 * time.Second)
		resp := c.want("/api/x", want, "*", "api-proxy", 1)
		if degraded := resp.Header.Get("X-Degraded") == "cache"; degraded != serve {
			t.Errorf("serve %v: %v", serve, resp.Header)
		}
	}
}

// 500 clients ask the same at once: the provider is asked once.
func TestMissesAreMerged(t *testing.T) {
	const clients = 500
	c := newCachedBench(t, nil)
	release := make(chan struct{})
	c.script.Store(new(func(string) string { <-release; return okReply }))
	merged := c.crowd(clients, release, func(resp *http.Response) bool { return resp.StatusCode == 200 })
	if asked := c.asked.Load(); asked != 1 || merged != clients-1 {
		t.Errorf("asked %d times, %d merged", asked, merged)
	}
}

// The same while the provider fails: it is asked twice, and everybody is told.
func TestFailuresAreMerged(t *testing.T) {
	const clients = 200
	for _, answer := range []string{errorReply, ""} {
		c := newCachedBench(t, func(doc *config.Document) {
			api := doc.Providers["api"]
			api.Retry.Times = 3
			doc.Providers["api"] = api
		})
		release := make(chan struct{})
		c.script.Store(new(func(string) string { <-release; return answer }))
		c.crowd(clients, release, func(resp *http.Response) bool { return resp.StatusCode/100 == 5 })
		if asked := c.asked.Load(); asked > 2 {
			t.Errorf("answer %q: asked %d times", answer, asked)
		}
	}
}

// crowd lets n clients ask at once, releases the upstream when all of them are
// in, and returns how many answers were merged.
func (c *cachedBench) crowd(n int, release chan struct{}, ok func(*http.Response) bool) (merged int64) {
	c.t.Helper()
	var all sync.WaitGroup
	var count atomic.Int64
	for range n {
		all.Go(func() {
			resp, body := c.get("/api/x")
			if !ok(resp) {
				c.t.Errorf("%d %s", resp.StatusCode, body)
			}
			if strings.Contains(resp.Header.Get("Cache-Status"), "collapsed") {
				count.Add(1)
			}
		})
	}
	c.untilWaiting(n - 1)
	close(release)
	all.Wait()
	return count.Load()
}

// untilWaiting waits until n requests wait for the answer to another one.
func (c *cachedBench) untilWaiting(n int) {
	c.t.Helper()
	for deadline := time.Now().Add(time.Minute); c.proxy.flights.Waiting() < n; {
		if time.Now().After(deadline) {
			c.t.Errorf("%d requests wait, want %d", c.proxy.flights.Waiting(), n)
			return
		}
		<-time.After(time.Millisecond)
	}
}

// What is stored between a request's lookup and its turn to lead is found all the
// same: the provider is not asked again.
func TestLateComersFindTheCopy(t *testing.T) {
	for name, raw := range map[string]string{"GET": request("GET /api/y"), "call": post(call("1", "eth_chainId"))} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, nil)
			head, body, _ := strings.Cut(raw, "\r\n\r\n")
			x := new(exchange)
			x.begin(requestCtx(t, head+"\r\n\r\n"), b.proxy.Snapshot(), b.proxy.Clock())
			x.body = []byte(body)
			if !b.proxy.admit(x) || name == "GET" && !b.proxy.mayCache(x) || name == "call" && !b.proxy.mayCacheCalls(x) {
				t.Fatal("not for the cache")
			}
			x.cache.generation, x.cache.ended = b.proxy.Cache.Generation(), b.proxy.flights.Ended()
			b.proxy.find(x, x.now)
			_, want := b.do(raw)
			if b.proxy.merge(x) || x.cache.status.Step != ladder.Fresh || string(x.ctx.Response.Body()) != want {
				t.Errorf("%+v %s, want %s", x.cache.status, x.ctx.Response.Body(), want)
			}
			if n := b.proxy.flights.Flights(); n != 0 {
				t.Errorf("%d flights left", n)
			}
		})
	}
}

func TestStaleWhileRevalidate(t *testing.T) {
	c := newCachedBench(t, nil)
	c.answer(reply("200 OK", "old", "Cache-Control: max-age=10, stale-while-revalidate=60"))
	c.want("/api/x", 200, "old", miss, 1)
	c.answer(reply("200 OK", "new", "Cache-Control: max-age=10"))
	c.skip(11 * time.Second)
	if resp, body := c.get("/api/x"); body != "old" || !strings.HasPrefix(resp.Header.Get("Cache-Status"), hit+"; ttl=-") {
		t.Errorf("%q %v", body, resp.Header)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		_, body := c.get("/api/x")
		if body == "new" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the copy is never refreshed")
		}
	}
	c.proxyIdle()
	if asked := c.asked.Load(); asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}

// The stranger of the poisoning suite, end to end: what he sends never comes
// back to somebody else.
func TestPoisonedAnswersStayWithTheirSender(t *testing.T) {
	for _, field := range []string{
		"X-Forwarded-Host: evil", "X-Host: evil", "X-Original-URL: /evil", "X-HTTP-Method-Override: EVIL", "Accept: evil", "Accept-Encoding: evil",
		"Accept-Language: evil", "X-Anything: evil", "Authorization: Bearer evil", "Cookie: a=evil", "Content-Type: evil", "X_Y: evil", "X-Key: evil",
		"Connection: evil", "X-Request-ID: evil", "Origin: evil", "Referer: evil", "Via: evil", "Host: evil",
	} {
		c := newCachedBench(t, nil)
		c.script.Store(new(func(request string) string { return reply("200 OK", request) }))
		head := "GET /api/x?a=1 HTTP/1.1\r\nHost: proxy\r\n"
		if strings.HasPrefix(field, "Host") {
			head = "GET /api/x?a=1 HTTP/1.1\r\n"
		}
		c.do(head + field + "\r\n\r\n")
		if _, body := c.do(request("GET /api/x?a=1")); strings.Contains(strings.ToLower(body), "evil") {
			t.Errorf("%s: a clean client gets %q", field, body)
		}
	}
}
