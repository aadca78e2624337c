package proxy

import (
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
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

// Copies outlast a time in which the cache is off, so a change then counts, too.
func TestChangeWhileOff(t *testing.T) {
	c := newCachedBench(t, nil)
	c.want("/api/x", 200, "{}", miss, 1)
	c.snap.Plans[0].Cache.Mode = cache.Off
	c.want(request("PUT /api/x", "Content-Length: 0"), 200, "{}", "api-proxy; fwd=bypass", 2)
	c.snap.Plans[0].Cache.Mode = cache.Default
	c.want("/api/x", 200, "{}", miss, 3)
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
