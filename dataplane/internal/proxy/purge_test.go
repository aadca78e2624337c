package proxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// What was asked for before a purge is not kept after it, however the answer came
// about; what the purge is not meant for is.
func TestPurgeWhileAnAnswerIsOnItsWay(t *testing.T) {
	const fresh, stale = "Cache-Control: max-age=60", "Cache-Control: max-age=10, stale-while-revalidate=600"
	for name, tc := range map[string]struct {
		before string // an answer that is stored first, and 20 s old then
		answer string // that is on its way
	}{
		"a miss":                {"", reply("200 OK", "old", fresh)},
		"a streamed answer":     {"", reply("200 OK", strings.Repeat("x", 200<<10), fresh)},
		"a copy is confirmed":   {reply("200 OK", "old", `ETag: "a"`, "Cache-Control: max-age=10"), "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n" + fresh + "\r\n\r\n"},
		"a copy is replaced":    {reply("200 OK", "old", "Cache-Control: max-age=10"), reply("200 OK", "old", fresh)},
		"a copy is refreshed":   {reply("200 OK", "old", stale), reply("200 OK", "old", fresh)},
		"a refresh is streamed": {reply("200 OK", "old", stale), reply("200 OK", strings.Repeat("x", 200<<10), fresh)},
	} {
		for purge, meant := range map[wire.Purge]bool{{Provider: "api"}: true, {Exact: "/api/x"}: true, {Prefix: "/"}: true, {Exact: "/api/y"}: false} {
			t.Run(fmt.Sprintf("%s, %+v", name, purge), func(t *testing.T) {
				c := newCachedBench(t, nil)
				if tc.before != "" {
					c.answer(tc.before)
					c.get("/api/x")
					c.skip(20 * time.Second)
				}
				arrived, release := make(chan struct{}), make(chan struct{})
				c.script.Store(new(func(string) string { close(arrived); <-release; return tc.answer }))
				var client sync.WaitGroup
				client.Go(func() { c.get("/api/x") })
				<-arrived
				c.state.Purge(purge)
				close(release)
				client.Wait()
				c.proxyIdle()
				asked := c.asked.Load()
				c.answer(reply("200 OK", "new", fresh))
				if resp, body := c.get("/api/x"); (body == "new") != meant || (c.asked.Load() > asked) != meant {
					t.Errorf("%.20q, %q", body, resp.Header.Get("Cache-Status"))
				}
			})
		}
	}
}

// Under load a request that begins after a purge never gets an answer from before.
func TestPurgeUnderLoad(t *testing.T) {
	c := newCachedBench(t, func(doc *config.Document) { doc.Proxy.CacheTTL = config.Duration(time.Hour) })
	var truth atomic.Int64
	c.script.Store(new(func(request string) string {
		now := truth.Load()
		etag := fmt.Sprintf(`ETag: "%d"`, now%2) // so that old answers are confirmed
		if strings.Contains(request, "If-None-Match: "+etag[6:]+"\r\n") {
			return "HTTP/1.1 304 Not Modified\r\n" + etag + "\r\n\r\n"
		}
		return reply("200 OK", strconv.FormatInt(now, 10), etag)
	}))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				fields := []string{"Accept: " + strconv.Itoa(i%2)}
				if n%3 == 0 {
					fields = append(fields, "Cache-Control: no-cache")
				}
				c.do(request("GET /api/x", fields...))
			}
		})
	}
	for range 200 {
		now := truth.Add(1)
		c.state.Purge(wire.Purge{Exact: "/api/x"})
		for variant := range 2 {
			resp, body := c.do(request("GET /api/x", fmt.Sprint("Accept: ", variant)))
			if got, err := strconv.ParseInt(body, 10, 64); resp.StatusCode != http.StatusOK || err != nil || got < now {
				t.Errorf("the provider says %d, the answer is %d %q, %q", now, resp.StatusCode, body, resp.Header.Get("Cache-Status"))
			}
		}
	}
	close(stop)
	clients.Wait()
}
