package proxy

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/shared/config"
)

// crowdOf lets n clients send the request of their number at once, releases the
// provider when all of them wait for it or for the one who asks it, hands each
// answer to check, and returns how many were merged.
func (b rpcBench) crowdOf(n int, release chan struct{}, request func(i int) string, check func(i int, resp *http.Response, body string)) (merged int64) {
	b.t.Helper()
	var all sync.WaitGroup
	var count atomic.Int64
	for i := range n {
		all.Go(func() {
			resp, body := b.do(request(i))
			check(i, resp, body)
			if strings.Contains(resp.Header.Get("Cache-Status"), "collapsed") {
				count.Add(1)
			}
		})
	}
	for deadline := time.Now().Add(time.Minute); b.asked.Load()+int64(b.proxy.flights.Waiting()) < int64(n) && time.Now().Before(deadline); {
		<-time.After(time.Millisecond)
	}
	close(release)
	all.Wait()
	return count.Load()
}

// Simultaneous calls that ask the same are one call to the provider, whatever it
// says, and each has the answer under its own id.
func TestCallsAreMerged(t *testing.T) {
	const clients = 500
	for name, what := range map[string]string{
		"a result":           "eth_blockNumber",
		"an error":           `eth_call [{"to":"fail"},"latest"]`,
		"nothing yet":        `eth_getTransactionReceipt ["0xab"]`,
		"too large to store": `eth_call [{"to":"` + strings.Repeat("x", 2000) + `"},"latest"]`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, func(doc *config.Document) { doc.Proxy.CacheMaxBodySize = 1000 })
			release := make(chan struct{})
			b.script.Store(new(func(request string) string {
				<-release
				return reply("200 OK", echoRPC(bodyOf(request)), jsonType)
			}))
			merged := b.crowdOf(clients, release, func(i int) string {
				return post(call(strconv.Itoa(i), what), "Accept-Encoding: "+strconv.Itoa(i%3))
			}, func(i int, resp *http.Response, body string) {
				if want := echoRPC(call(strconv.Itoa(i), what)); resp.StatusCode != 200 || body != want || resp.Header.Get("Content-Type") != "application/json" {
					t.Errorf("%d %.100s, want %.100s", resp.StatusCode, body, want)
				}
			})
			if asked := b.asked.Load(); asked != 1 || merged != clients-1 {
				t.Errorf("asked %d times, %d merged", asked, merged)
			}
		})
	}
}

// While the provider fails it is asked twice at most, and nobody gets the id of
// another one.
func TestFailuresOfCallsAreMerged(t *testing.T) {
	const clients = 200
	leader := func(request string) string { // the id in a place that is not known
		id, _, _ := strings.Cut(request[strings.Index(request, `"id":`)+len(`"id":`):], ",")
		return reply("503 Service Unavailable", `{"failed":{"id":`+id+`},"id":`+id+`}`)
	}
	for name, tc := range map[string]struct {
		answer func(request string) string
		status int
		body   func(id string) string
	}{
		"text":    {func(string) string { return errorReply }, 503, func(string) string { return "busy" }},
		"no word": {func(string) string { return "" }, 502, nil},
		"JSON": {func(request string) string { return reply("503 Service Unavailable", echoRPC(bodyOf(request))) }, 503,
			func(id string) string { return echoRPC(call(id, `eth_call [{"to":"fail"}]`)) }},
		"nameless": {func(string) string { return reply("500 Oops", invalidRequest) }, 500, func(string) string { return invalidRequest }},
		"odd":      {leader, 503, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, func(doc *config.Document) { doc.CircuitBreaker.FailureThreshold = 1000 })
			release := make(chan struct{})
			b.script.Store(new(func(request string) string { <-release; return tc.answer(request) }))
			b.crowdOf(clients, release, func(i int) string {
				return post(call(strconv.Itoa(1000+i), `eth_call [{"to":"fail"}]`))
			}, func(i int, resp *http.Response, body string) {
				id := strconv.Itoa(1000 + i)
				if resp.StatusCode != tc.status || tc.body != nil && body != tc.body(id) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if at := strings.Index(body, `"id":1`); at >= 0 && !strings.HasPrefix(body[at:], `"id":`+id) {
					t.Errorf("%s got %s", id, body)
				}
			})
			if asked := b.asked.Load(); asked > 2 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}

// What must not be shared is not: everybody asks alone.
func TestCallsThatAreNotMerged(t *testing.T) {
	const clients = 10
	same := func(i int) string { return post(call(strconv.Itoa(i), "eth_chainId")) }
	long := func(i int) string {
		return post(call(strconv.Itoa(i), `eth_call [{"to":"`+strings.Repeat("x", 50<<10)+`"}]`))
	}
	for name, tc := range map[string]struct {
		request func(i int) string
		fields  string // of the answer
	}{
		"batches":                {func(i int) string { return post(batch(call(strconv.Itoa(i), "eth_chainId"))) }, "A: b"},
		"other methods":          {func(i int) string { return post(call(strconv.Itoa(i), "eth_sendRawTransaction")) }, "A: b"},
		"other parameters":       {func(i int) string { return post(call("1", fmt.Sprintf(`eth_call [{"to":%d}]`, i))) }, "A: b"},
		"authorization":          {func(i int) string { return post(call("1", "eth_chainId"), fmt.Sprintf("Authorization: %d", i)) }, "A: b"},
		"cookies":                {func(i int) string { return post(call("1", "eth_chainId"), fmt.Sprintf("Cookie: a=%d", i)) }, "A: b"},
		"no-store":               {same, "Cache-Control: no-store"},
		"private":                {same, "Cache-Control: private"},
		"a cookie in the answer": {same, "Set-Cookie: a=b"},
		"varies":                 {same, "Vary: User-Agent"},
		"stale":                  {same, "Cache-Control: max-age=0"},
		"no-cache":               {same, "Cache-Control: no-cache"},
		"purged meanwhile":       {same, "A: b"},
		"large":                  {long, "A: b"}, // a copy for each who waits would be too much
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, func(doc *config.Document) { doc.Proxy.CacheMaxBodySize = 1000 })
			release := make(chan struct{})
			b.script.Store(new(func(request string) string {
				<-release
				if name == "purged meanwhile" {
					b.proxy.Cache.Purge(cache.Selection{}.Matches)
				}
				if name == "large" {
					return reply("200 OK", strings.Replace(echoRPC(bodyOf(request)), "xx", strings.Repeat("x", 30<<10), 1), jsonType)
				}
				return reply("200 OK", echoRPC(bodyOf(request)), jsonType, tc.fields)
			}))
			merged := b.crowdOf(clients, release, tc.request, func(i int, resp *http.Response, body string) {
				if want := echoRPC(bodyOf(tc.request(i))); body != want && name != "large" {
					t.Errorf("%s, want %s", body, want)
				}
			})
			if merged != 0 {
				t.Errorf("%d merged", merged)
			}
		})
	}
}

// A client that waits for another one's answer and leaves is noticed, and so is
// one that must not wait for ever; the others get theirs.
func TestWaitersLeaveAndGiveUp(t *testing.T) {
	for name, ask := range map[string]string{"call": post(call("1", "eth_blockNumber")), "GET": request("GET /api/y")} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, nil)
			release := make(chan struct{})
			free := sync.OnceFunc(func() { close(release) })
			t.Cleanup(free)
			b.script.Store(new(func(request string) string { <-release; return reply("200 OK", echoRPC(bodyOf(request)), jsonType) }))
			lead, wait := b.dial(), b.dial()
			_, _ = io.WriteString(lead, ask)
			for b.asked.Load() == 0 {
				runtime.Gosched()
			}
			_, _ = io.WriteString(wait, ask)
			for b.proxy.InFlight() < 2 {
				runtime.Gosched()
			}
			_ = wait.Close()
			for deadline := time.Now().Add(10 * time.Second); b.proxy.InFlight() == 2 && time.Now().Before(deadline); {
				b.clients.Sweep()
			}
			if line := b.lines(1)[0]; !strings.Contains(line, `"status":499`) || !strings.Contains(line, `"error_type":"client_gone"`) {
				t.Error(line)
			}
			// The leader's client leaves: another one leads.
			second := b.dial()
			_, _ = io.WriteString(second, ask)
			for b.proxy.InFlight() < 2 {
				runtime.Gosched()
			}
			_ = lead.Close()
			for deadline := time.Now().Add(10 * time.Second); b.asked.Load() == 1 && time.Now().Before(deadline); {
				b.clients.Sweep()
			}
			free()
			buf := make([]byte, 4096)
			if n, err := second.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200") {
				t.Errorf("%q %v", buf[:n], err)
			}
		})
	}
	// Whoever has waited for as long as he might wait for his own answer gives up.
	b := newRPCBench(t, func(doc *config.Document) {
		api := doc.Providers["api"]
		api.Timeout.Total = config.Duration(50 * time.Millisecond)
		doc.Providers["api"] = api
	})
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	b.script.Store(new(func(string) string { <-release; return "" }))
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			if resp, body := b.do(post(call(strconv.Itoa(i), "eth_blockNumber"))); resp.StatusCode != 504 {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
		})
	}
	all.Wait()
}
