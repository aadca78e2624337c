package proxy

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/shared/config"
)

// A single call, then the same with other ids.
func TestCallsAreStored(t *testing.T) {
	b := newRPCBench(t, nil)
	b.want(post(call("1", "eth_chainId")), 200, result("1", "eth_chainId"), miss+"; stored", 1)
	if b.sent() != call("1", "eth_chainId") || !strings.Contains(*b.last.Load(), "Accept-Encoding: identity\r\n") {
		t.Errorf("sent %q", *b.last.Load())
	}
	resp := b.want(post(call(`"x"`, "eth_chainId")), 200, result(`"x"`, "eth_chainId"), hit+"; ttl=60", 1)
	if resp.Header.Get("Content-Type") != "application/json" || resp.Header.Get("Age") != "0" || resp.Header.Get("X-Degraded") != "" {
		t.Errorf("fields of a hit: %v", resp.Header)
	}
	// White space means nothing, everything else does.
	b.want(post(` { "method" : "eth_getBalance", "params" : [ "0xa", "0x1" ] , "id" : 1e3, "jsonrpc":"2.0" } `), 200, "*", miss+"; stored", 2)
	b.want(post(call("null", `eth_getBalance ["0xa","0x1"]`)), 200, result("null", `eth_getBalance ["0xa","0x1"]`), hit, 2)
	for i, other := range []string{`eth_getBalance ["0xA","0x1"]`, `eth_getBalance ["0xa","0x01"]`, `eth_getCode ["0xa","0x1"]`, `eth_getBalance ["0xa" ,"0x2"]`, `eth_getBalance ["0xa"]`} {
		b.want(post(call("1", other)), 200, "*", miss, int64(3+i))
	}
	asked := b.asked.Load()
	for _, fields := range [][]string{{"Accept: x"}, {"X-Anything: y"}} { // what the provider sees is in the key
		asked++
		b.want(post(call("1", "eth_chainId"), fields...), 200, "*", miss, asked)
	}
	for _, fields := range [][]string{{"User-Agent: x"}, {"Accept-Encoding: gzip"}, {"X-Request-ID: y"}} { // what it does not see is not
		b.want(post(call("1", "eth_chainId"), fields...), 200, "*", hit, asked)
	}
	b.want(strings.Replace(post(call("1", "eth_chainId")), "/api/x", "/api/y", 1), 200, "*", miss, asked+1)
	b.want(strings.Replace(post(call("1", "eth_chainId")), "/api/x", "/api/x?a=1", 1), 200, "*", miss, asked+2)
	b.want("/api/x", 200, "*", miss, asked+3) // a GET of the same target is another question
	lines := b.lines(2)
	if !strings.Contains(lines[0], `"cache":"miss"`) || !strings.Contains(lines[1], `"cache":"hit"`) || !strings.Contains(lines[1], `"attempts":0`) {
		t.Errorf("%s%s", lines[0], lines[1])
	}
}

// The stranger of the poisoning suite, with calls: what he sends never comes back
// to somebody else.
func TestPoisonedCallsStayWithTheirSender(t *testing.T) {
	for _, field := range []string{
		"X-Forwarded-Host: evil", "X-Host: evil", "X-HTTP-Method-Override: EVIL", "Accept: evil", "Accept-Encoding: evil", "Accept-Language: evil",
		"X-Anything: evil", "Authorization: Bearer evil", "Cookie: a=evil", "Content-Type: evil", "Content-Encoding: evil", "X_Y: evil", "X-Key: evil",
		"Connection: evil, accept-encoding, content-type", "Origin: evil", "Referer: evil", "Via: evil", "Cache-Control: evil",
	} {
		b := newRPCBench(t, nil)
		b.script.Store(new(func(request string) string { // tells each caller all that he sent
			head, _, _ := strings.Cut(request, "\r\n\r\n")
			text, _ := json.Marshal(head)
			return reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":`+string(text)+`}`, jsonType)
		}))
		b.do(post(call("1", "eth_chainId"), field))
		if _, body := b.do(post(call("1", "eth_chainId"))); strings.Contains(strings.ToLower(body), "evil") && !strings.HasPrefix(field, "Cache-Control") {
			t.Errorf("%s: a clean client gets %q", field, body)
		}
	}
}

// A purge finds the results of calls as it finds other copies.
func TestCallsArePurged(t *testing.T) {
	b := newRPCBench(t, nil)
	b.do(post(batch(call("1", "eth_chainId"), call("2", "eth_gasPrice"))))
	b.do(strings.Replace(post(call("1", "eth_chainId")), "/api/x", "/api/x/y?z", 1))
	for _, tc := range []struct {
		what cache.Selection
		want int
	}{
		{cache.Selection{Provider: "other"}, 0},
		{cache.Selection{Prefix: []byte("/api/y")}, 0},
		{cache.Selection{Provider: "api", Prefix: []byte("/api/x/")}, 1},
		{cache.Selection{Exact: []byte("/api/x")}, 2},
		{cache.Selection{Provider: "api"}, 0},
	} {
		if got := b.proxy.Cache.Purge(tc.what.Matches); got != tc.want {
			t.Errorf("%+v: %d forgotten, want %d", tc.what, got, tc.want)
		}
	}
	b.want(post(call("1", "eth_chainId")), 200, "*", miss, 3)
}

// A small batch does not make a node gather a huge answer.
func TestCopiesOfABatchAreBounded(t *testing.T) {
	b := newRPCBench(t, nil)
	big := strings.Repeat("x", 200<<10)
	b.answer(reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":"`+big+`"}`))
	b.want(post(call("1", "eth_chainId")), 200, "*", miss+"; stored", 1)
	many := batch(strings.Split(strings.Repeat(call("7", "eth_chainId")+"\n", 19)+call("7", "eth_chainId"), "\n")...)
	b.want(post(many), 200, "*", hit, 1)
	api := b.snap.Plans[0].RPC
	defer func(most int) { api.MaxBatch = most }(api.MaxBatch)
	api.MaxBatch = 1000
	many = batch(strings.Split(strings.Repeat(call("7", "eth_chainId")+"\n", 199)+call("7", "eth_chainId"), "\n")...)
	b.want(post(many), 502, "*", "api-proxy; fwd=partial", 2) // a batch of answers, which this provider does not know
	if calls := strings.Count(b.sent(), "eth_chainId"); calls != 200-maxAnswer/len(big) {
		t.Errorf("%d of 200 calls were sent", calls)
	}
}

// How long a result holds follows from its method and block.
func TestLifetimesOfResults(t *testing.T) {
	for what, holds := range map[string]time.Duration{
		"eth_chainId":                             60 * time.Second,
		`eth_getBlockByNumber ["0x10",true]`:      60 * time.Second,
		`eth_getBlockByHash ["0xab",false]`:       60 * time.Second,
		"eth_blockNumber":                         2 * time.Second,
		`eth_call [{"to":"0x1"},"latest"]`:        2 * time.Second,
		`eth_call [{"to":"0x1"}]`:                 2 * time.Second,
		`eth_call [{"to":"0x1"},"pending"]`:       0,
		`eth_call [{"to":"fail"},"latest"]`:       0,
		`eth_getTransactionReceipt ["0xab"]`:      0, // null
		`eth_getTransactionByHash ["0xab"]`:       0, // no blockHash in it
		`eth_getTransactionCount ["0x","latest"]`: 0, // not on the list
		"eth_subscribe":                           0,
		`eth_sendRawTransaction ["0x1"]`:          0,
	} {
		t.Run(what, func(t *testing.T) {
			for _, form := range []func(string) string{func(c string) string { return c }, func(c string) string { return batch(c) }} {
				b := newRPCBench(t, nil)
				asked := int64(1)
				ask := func(cached bool) {
					t.Helper()
					resp, body := b.do(post(form(call("7", what))))
					if !cached {
						asked++
					}
					if want := echoRPC(form(call("7", what))); resp.StatusCode != 200 || body != want || b.asked.Load() != asked {
						t.Errorf("%d %s, want %s; %q; asked %d times, want %d", resp.StatusCode, body, want, resp.Header.Get("Cache-Status"), b.asked.Load(), asked)
					}
				}
				asked = 0
				ask(false)
				ask(holds > 0)
				b.skip(holds - holds/10)
				ask(holds > 0)
				b.skip(holds / 5)
				ask(false)
			}
		})
	}
}

// The walk of an operator: the ladder holds for calls, alone and in batches.
func TestCallsWalk(t *testing.T) {
	for name, form := range map[string]func(...string) string{"single": func(c ...string) string { return c[0] }, "batch": batch} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, func(doc *config.Document) {
				doc.CircuitBreaker.FailureThreshold = 2
				doc.CircuitBreaker.SuccessThreshold = 1
			})
			ask, want := post(form(call("1", "eth_blockNumber"), call("2", "eth_chainId"))), form(result("1", "eth_blockNumber"), result("2", "eth_chainId"))
			other := post(form(call("1", "eth_gasPrice"), call("2", "eth_chainId")))
			b.want(post(call("1", "eth_chainId")), 200, "*", miss+"; stored", 1)
			b.want(ask, 200, want, "api-proxy; fwd=", 2)
			b.want(ask, 200, want, hit+"; ttl=2", 2)
			works := *b.script.Load()
			b.answer(errorReply)
			b.skip(3 * time.Second)
			resp := b.want(ask, 200, want, "api-proxy; fwd=", 3)
			if cs := resp.Header.Get("Cache-Status"); !strings.Contains(cs, "fwd-status=503; ttl=-") || !strings.Contains(cs, "detail=upstream_error") || resp.Header.Get("X-Degraded") != "cache" || resp.Header.Get("X-Cache-Age") != "3" {
				t.Errorf("%v", resp.Header)
			}
			b.want(other, 503, "busy", "api-proxy; fwd=", 4) // and the breaker opens
			resp = b.want(ask, 200, want, hit+"; ttl=-", 4)
			if resp.Header.Get("X-Degraded") != "cache" || !strings.Contains(resp.Header.Get("Cache-Status"), "detail=circuit_breaker") {
				t.Errorf("%v", resp.Header)
			}
			if resp := b.want(other, 503, "*", "api-proxy; fwd=", 4); resp.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			b.want(post(call("1", `eth_sendRawTransaction ["0x1"]`)), 503, "*", "api-proxy; fwd=method", 4)
			// Half-open a call goes upstream although its copy is fresh, as it came.
			b.skip(28 * time.Second)
			fresh := post(form(call("2", "eth_chainId"), call("3", "eth_chainId")))
			b.script.Store(&works)
			b.skip(3 * time.Second)
			b.want(fresh, 200, form(result("2", "eth_chainId"), result("3", "eth_chainId")), "api-proxy; fwd=request; stored", 5) // closes it
			if b.sent() != bodyOf(fresh) {
				t.Errorf("sent %s", b.sent())
			}
			b.want(fresh, 200, "*", hit, 5)
			// A copy stands in for as long as twice cache_ttl, no longer.
			b.answer(errorReply)
			b.want(ask, 200, want, "api-proxy; fwd=", 6)
			b.skip(121 * time.Second)
			b.want(ask, 503, "busy", miss, 7)
			lines := b.lines(9)
			for i, words := range map[int]string{3: `"stale","degraded":"upstream_error"`, 5: `"stale","degraded":"circuit_breaker"`} {
				if !strings.Contains(lines[i], `"cache":`+words) {
					t.Errorf("line %d: %s", i, lines[i])
				}
			}
		})
	}
}

// The provider's limit: copies cost nothing, what is sent in part costs one.
func TestCallsAndTheProvidersLimit(t *testing.T) {
	b := newRPCBench(t, func(doc *config.Document) {
		doc.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: mustRate(t, "1/h"), Burst: 4}}
	})
	left := func(want int64) {
		t.Helper()
		if got := b.snap.Plans[0].Limit.Peek(b.proxy.Clock()).Remaining; got != want {
			t.Errorf("%d tokens left, want %d", got, want)
		}
	}
	b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_blockNumber"))), 200, "*", miss, 1)
	left(3)
	b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_blockNumber"))), 200, "*", hit, 1)
	left(3)
	b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_gasPrice"))), 200, "*", "api-proxy; fwd=partial", 2)
	left(2)
	// A body that does not come, or is refused, is not charged: it has not been asked for.
	b.want(post("["+strings.Repeat("1,", 20)+"1]"), 413, "*", "api-proxy", 2)
	left(2)
	conn := b.dial()
	_, _ = io.WriteString(conn, request("POST /api/x", jsonType, "Content-Length: 10")+"{")
	_ = conn.Close()
	b.lines(5)
	left(2)
	b.want(post(call("1", "eth_feeHistory")), 200, "*", miss, 3)
	b.want(post(call("1", `eth_sendRawTransaction ["0x1"]`)), 200, "*", "api-proxy; fwd=method", 4)
	left(0)
	b.skip(3 * time.Second)
	resp := b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_blockNumber"))), 200, "*", hit+"; ttl=-", 4)
	if resp.Header.Get("X-Degraded") != "cache" || !strings.Contains(resp.Header.Get("Cache-Status"), "detail=quota") {
		t.Errorf("%v", resp.Header)
	}
	b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_getCode"))), 429, "*", "api-proxy; fwd=partial", 4)
	b.want(post(call("1", "x")), 429, "*", "api-proxy; fwd=method", 4)
}

// A body that waits for "100 Continue" is asked for before the cache is.
func TestCallsAndExpect(t *testing.T) {
	b := newRPCBench(t, nil)
	b.want(post(call("1", "eth_chainId")), 200, "*", miss, 1)
	conn := b.dial()
	body := call("2", "eth_chainId")
	head, _, _ := strings.Cut(post(body, "Expect: 100-continue"), body)
	_, _ = io.WriteString(conn, head)
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	_, _ = io.WriteString(conn, body)
	if n, err = conn.Read(buf); err != nil || !strings.Contains(string(buf[:n]), hit) || !strings.HasSuffix(string(buf[:n]), result("2", "eth_chainId")) {
		t.Errorf("%q %v", buf[:n], err)
	}
}

// cache_mode and cache_size hold for calls.
func TestCallsWithoutACache(t *testing.T) {
	for name, change := range map[string]func(*config.Document){
		"off": func(doc *config.Document) {
			api := doc.Providers["api"]
			api.CacheMode = config.CacheOff
			doc.Providers["api"] = api
		},
		"no size": func(doc *config.Document) { doc.Proxy.CacheSize = 0 },
		"no methods": func(doc *config.Document) {
			doc.Providers["api"].JSONRPC.CacheMethods = nil
		},
		"http": func(doc *config.Document) {
			api := doc.Providers["api"]
			api.Protocol, api.JSONRPC = config.ProtocolHTTP, nil
			doc.Providers["api"] = api
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, change)
			for n := range int64(2) {
				b.want(post(batch(call("1", "eth_chainId"))), 200, batch(result("1", "eth_chainId")), "api-proxy; fwd=", n+1)
			}
		})
	}
	b := newRPCBench(t, func(doc *config.Document) {
		api := doc.Providers["api"]
		api.CacheMode = config.CacheRFC9111
		doc.Providers["api"] = api
	})
	b.want(post(call("1", "eth_blockNumber")), 200, "*", miss, 1)
	b.want(post(call("1", "eth_blockNumber")), 200, "*", miss, 2)
	b.answer(reply("200 OK", result("1", "eth_blockNumber"), "Cache-Control: max-age=100"))
	b.want(post(call("1", "eth_blockNumber")), 200, "*", miss+"; stored", 3)
	b.want(post(call("2", "eth_blockNumber")), 200, result("2", "eth_blockNumber"), hit+"; ttl=2", 3) // latest_ttl at most
}

// Directives of the request mean what they mean for a GET.
func TestDirectivesOfCalls(t *testing.T) {
	b := newRPCBench(t, nil)
	b.want(post(call("1", "eth_chainId"), "Cache-Control: only-if-cached"), 504, "*", "api-proxy", 0)
	b.want(post(call("1", "eth_chainId")), 200, "*", miss, 1)
	b.want(post(call("1", "eth_chainId"), "Cache-Control: only-if-cached"), 200, "*", hit, 1)
	b.want(post(call("1", "eth_chainId"), "Cache-Control: no-cache"), 200, "*", "api-proxy; fwd=request; stored", 2)
	b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_gasPrice")), "Cache-Control: no-cache"), 200, "*", miss+"; stored", 3)
	b.want(post(call("1", "eth_blockNumber")), 200, "*", miss, 4)
	b.skip(3 * time.Second)
	b.want(post(call("1", "eth_blockNumber"), "Cache-Control: max-stale=10"), 200, "*", hit+"; ttl=-", 4)
	b.want(post(batch(call("1", "eth_blockNumber"), call("2", "eth_getCode")), "Cache-Control: max-stale=10"), 200, "*", "api-proxy; fwd=partial", 5)
	b.want(post(call("1", "eth_chainId"), "Cache-Control: max-age=1"), 200, "*", "api-proxy; fwd=request", 6)
}
