package proxy

import (
	"fmt"
	"strings"
	"testing"

	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/shared/config"
)

// callHitBench is a bench with stored results, the exchange of a request for them,
// and what serves that from the moment that its body is there.
func callHitBench(t testing.TB, body string) func() {
	b := newRPCBench(t, limited)
	b.do(post(body))
	ctx := requestCtx(t, strings.TrimSuffix(post(body), body))
	x := new(exchange)
	return func() {
		x.begin(ctx, b.proxy.Snapshot(), b.proxy.Clock())
		x.body = append(x.bodyBuf, body...)
		if !b.proxy.accept(x) || b.proxy.lookupCalls(x) || x.cache.status.Step != ladder.Fresh {
			t.Fatal("no hit")
		}
		x.bodyBuf = x.body
		x.clear()
		ctx.Response.Reset()
	}
}

var typicalCalls = map[string]string{
	"call":  call("1", `eth_call [{"to":"0x6b175474e89094c44da98b954eedeac495271d0f","data":"0x70a08231"},"0x10"]`),
	"batch": batch(call("1", "eth_chainId"), call("2", `eth_getBlockByNumber ["0x10",false]`), call("3", `eth_getBalance ["0x6b175474e89094c44da98b954eedeac495271d0f","0x10"]`)),
}

func TestCallHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: the race detector allocates; the run without it checks this")
	}
	for name, body := range typicalCalls {
		serve := callHitBench(t, body)
		serve()
		if n := testing.AllocsPerRun(1000, serve); n != 0 {
			t.Errorf("a hit (%s) allocates %v times, want 0", name, n)
		}
	}
}

// A whole request that is answered from copies, and one that is asked and stored.
func TestCallAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: the race detector allocates; the run without it checks this")
	}
	for name, tc := range map[string]struct {
		field string
		most  float64
	}{
		"hit":        {"", 1}, // fasthttp, for the body
		"asked anew": {"Cache-Control: no-cache", 1},
	} {
		c := newCallClient(t, loopbackNetwork{}, tc.field)
		c.roundTrip(t)
		if n := testing.AllocsPerRun(1000, func() { c.roundTrip(t) }); n > tc.most {
			t.Errorf("%s: a call allocates %v times, want at most %v", name, n, tc.most)
		}
	}
}

// BenchmarkCallHit is a hit at the stage: parse, key, copy, the answer with the
// caller's id.
func BenchmarkCallHit(b *testing.B) {
	for name, body := range typicalCalls {
		b.Run(name, func(b *testing.B) {
			serve := callHitBench(b, body)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}

// BenchmarkCallEndToEnd is a whole request over a connection in memory.
func BenchmarkCallEndToEnd(b *testing.B) {
	for name, field := range map[string]string{"hit": "", "asked": "Cache-Control: no-cache"} {
		b.Run(name, func(b *testing.B) {
			c := newCallClient(b, newMemoryNetwork(), field)
			b.ReportAllocs()
			for b.Loop() {
				c.roundTrip(b)
			}
		})
	}
}

// newCallClient is a client of one call, whose answer is as long as a client's
// others.
func newCallClient(tb testing.TB, on network, field string) *client {
	answer := `{"jsonrpc":"2.0","id":1,"result":"`
	answer += strings.Repeat("x", 562-len(answer)-2) + `"}`
	reply := fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 562\r\n\r\n%s", answer)
	bench := newBenchOn(tb, on, answersAfter("]}", reply), func(doc *config.Document) {
		limited(doc)
		speaksRPC(doc)
	})
	bench.proxy.Cache = bench.state.Cache()
	c := dialClient(tb, bench)
	fields := []string{}
	if field != "" {
		fields = append(fields, field)
	}
	c.request = []byte(post(typicalCalls["call"], fields...))
	c.roundTrip(tb)
	return c
}
