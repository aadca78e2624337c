package proxy

import (
	"testing"

	"apiproxy.internal/dataplane/internal/cache/ladder"
)

// hitBench is a bench with one stored answer, the exchange of a request for it,
// and what serves that.
func hitBench(t testing.TB) func() {
	b := newBench(t, fixedUpstream(jsonReply), limited)
	b.proxy.Cache = b.state.Cache()
	dialClient(t, b).roundTrip(t)
	ctx := requestCtx(t, typicalHead+"\r\n")
	x := new(exchange)
	return func() {
		x.begin(ctx, b.proxy.Snapshot(), b.proxy.Clock())
		if b.proxy.accept(x) || x.cache.status.Step != ladder.Fresh {
			t.Fatal("no hit")
		}
		x.clear()
		ctx.Response.Reset()
	}
}

func TestHitAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIP: the race detector allocates; the run without it checks this")
	}
	serve := hitBench(t)
	serve()
	if n := testing.AllocsPerRun(1000, serve); n != 0 {
		t.Errorf("a hit allocates %v times, want 0", n)
	}
}

// BenchmarkHit is a hit at the stage: all decisions, the copy, the answer's
// fields.
func BenchmarkHit(b *testing.B) {
	serve := hitBench(b)
	b.ReportAllocs()
	for b.Loop() {
		serve()
	}
}

// BenchmarkHitEndToEnd is a hit over a connection in memory.
func BenchmarkHitEndToEnd(b *testing.B) {
	bench := newBenchOn(b, newMemoryNetwork(), fixedUpstream(jsonReply), limited)
	bench.proxy.Cache = bench.state.Cache()
	c := dialClient(b, bench)
	c.roundTrip(b)
	b.ReportAllocs()
	for b.Loop() {
		c.roundTrip(b)
	}
}
