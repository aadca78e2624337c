package scenario

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// rpcCall is a JSON-RPC call; params are the inside of its array.
func rpcCall(id any, method, params string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%v,"method":"%s","params":[%s]}`, id, method, params)
}

func (b *bench) post(body string) answer {
	b.t.Helper()
	return b.send("POST", b.URL(0)+"/alchemy", body)
}

// crowd sends the same call n times at once under the ids 0 to n-1.
func (b *bench) crowd(n int, method string) []answer {
	answers := make([]answer, n)
	begin := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-begin
			answers[i] = b.post(rpcCall(i, method, ""))
		})
	}
	close(begin)
	all.Wait()
	return answers
}

// 500 clients make the same call under ids of their own at the same moment: the
// provider is asked once, and everybody has the answer to his own.
func TestEqualCallsAreAskedOnce(t *testing.T) {
	b := start(t, 1, "rate_limit: {}\nproxy: {cache_ttl: 10m}\n")
	b.fault(fakeprovider.Fault{Provider: "alchemy", Latency: "200ms"})
	for i, a := range b.crowd(500, "eth_blockNumber") {
		if want := fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":"0x134e82a"}`, i); a.status != 200 || strings.TrimSpace(a.body) != want {
			t.Errorf("%d %s, want %s", a.status, a.body, want)
		}
	}
	if arrived := b.Provider.Stats(fakeprovider.Alchemy).Arrivals; arrived != 1 {
		t.Errorf("%d arrived, want 1", arrived)
	}
}

// The same with a provider that fails: one more try, and everybody hears of it.
func TestEqualFailingCallsAreAskedTwice(t *testing.T) {
	b := start(t, 1, "rate_limit: {}\nproxy: {cache_ttl: 10m}\n")
	b.fault(fakeprovider.Fault{Provider: "alchemy", ErrorRate: 1, Status: 503, Latency: "200ms"})
	for _, a := range b.crowd(500, "eth_blockNumber") {
		if a.status != 503 || strings.Contains(a.body, `"id":1`) {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	if arrived := b.Provider.Stats(fakeprovider.Alchemy).Arrivals; arrived > 2 {
		t.Errorf("%d arrived, want 2 at most", arrived)
	}
}

// The operator's walk with the preset: a miss, a hit, a batch of which a part is
// there, and copies while the provider fails and while its breaker is open.
func TestOperatorsCallWalk(t *testing.T) {
	b := start(t, 1, "circuit_breaker: {failure_threshold: 3, timeout: 10m}\nproxy: {cache_ttl: 10m}\n")
	chain := func(id any) string { return rpcCall(id, "eth_chainId", "") }
	price := func(id any) string { return rpcCall(id, "eth_gasPrice", "") }
	balance := func(id any) string { return rpcCall(id, "eth_getBalance", `"0xa","0x10"`) }
	both := `[{"jsonrpc":"2.0","id":"a","result":"0x1"},{"jsonrpc":"2.0","id":"a","result":"0x1bc16d674ec80000"}]`
	failed := `{"jsonrpc":"2.0","id":8,"error":{"code":-32601,"message":"The method x does not exist/is not available"}}`
	want := func(body string, status int, answer, cacheStatus string, arrived int64) {
		t.Helper()
		a := b.post(body)
		if got := b.Provider.Stats(fakeprovider.Alchemy).Arrivals; a.status != status || answer != "" && strings.TrimSpace(a.body) != answer || !strings.Contains(a.header.Get("Cache-Status"), cacheStatus) || got != arrived {
			t.Errorf("%s: %d %s %q, %d arrived; want %d %s %q, %d", body, a.status, a.body, a.header.Get("Cache-Status"), got, status, answer, cacheStatus, arrived)
		}
	}
	want(chain(1), 200, `{"jsonrpc":"2.0","id":1,"result":"0x1"}`, "fwd=miss; stored", 1)
	want(chain(`"x"`), 200, `{"jsonrpc":"2.0","id":"x","result":"0x1"}`, "hit; ttl=", 1)
	want("["+chain(`"a"`)+","+balance(`"a"`)+"]", 200, both, "fwd=partial; stored", 2)
	want("["+chain(`"a"`)+","+balance(`"a"`)+"]", 200, both, "hit; ttl=", 2)
	want(rpcCall(8, "x", ""), 200, failed, "fwd=method", 3)
	b.fault(fakeprovider.Fault{Provider: "alchemy", ErrorRate: 1, Status: 503})
	want("["+chain(1)+","+price(2)+"]", 503, "", "fwd=partial", 4)
	want(price(1), 503, "", "fwd=miss", 5)
	want(price(1), 503, "", "fwd=miss", 6) // opens the breaker
	want("["+chain(`"a"`)+","+balance(`"a"`)+"]", 200, both, "detail=circuit_breaker", 6)
	want(price(1), 503, "", "", 6)
	series := b.series()
	for name, want := range map[string]float64{
		`api_proxy_cache_entries{provider="alchemy"}`:                                     2,
		`api_proxy_cache_hits_total{provider="alchemy",cache_type="fresh"}`:               2,
		`api_proxy_cache_hits_total{provider="alchemy",cache_type="degraded"}`:            1,
		`api_proxy_degraded_responses_total{provider="alchemy",reason="circuit_breaker"}`: 1,
		`api_proxy_requests_by_status{provider="alchemy",method="POST",status="200"}`:     6,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}
