package metrics

import (
	"math"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

const second = int64(time.Second)

// A provider with two requests a second: what a status page shows after each
// number of ticks.
func TestRecentCounts(t *testing.T) {
	n := New(Info{})
	p := n.Provider("zerion")
	tick := 0
	for _, row := range []struct {
		ticks     int
		recent    uint64
		window    time.Duration
		perSecond float64
	}{
		// Before the first tick there is nothing to divide by.
		{0, 0, 0, 0},
		// A short history is divided by its own length.
		{1, 2, time.Second, 2},
		{4, 8, 4 * time.Second, 2},
		{10, 20, 10 * time.Second, 2},
		// From then on only the last ten seconds count.
		{11, 20, 10 * time.Second, 2},
		{100, 20, 10 * time.Second, 2},
	} {
		for ; tick < row.ticks; tick++ {
			p.Observe(Observation{Status: 200})
			p.Observe(Observation{Status: 500})
			n.Tick(int64(tick+1) * second)
		}
		s := p.Stats()
		if s.Recent.Requests != row.recent || s.Window != row.window || s.PerSecond(s.Recent.Requests) != row.perSecond {
			t.Errorf("after %d ticks: %d requests in %v, %v a second; want %+v",
				row.ticks, s.Recent.Requests, s.Window, s.PerSecond(s.Recent.Requests), row)
		}
	}
}

func TestStatsOfEveryKind(t *testing.T) {
	n := New(Info{})
	p := n.Provider("zerion")
	n.Tick(second)
	p.Observe(Observation{Status: 200, Cache: CacheFresh})
	p.Observe(Observation{Status: 200, Cache: CacheDegraded, Degraded: DegradedQuota})
	p.Observe(Observation{Status: 200, Cache: CacheMiss})
	p.Observe(Observation{Status: 429, Limit: verdict.Global})
	p.Retry()
	want := Counts{Requests: 4, Success: 3, Retries: 1, CacheHits: 2, CacheMisses: 1, Degraded: 1}
	want.Rejected[verdict.Global] = 1
	n.Tick(2 * second)
	if s := p.Stats(); s.Total != want || s.Recent != want {
		t.Errorf("total %+v, recent %+v; want both %+v", s.Total, s.Recent, want)
	}
	for i := range int64(10) {
		n.Tick((3 + i) * second)
	}
	if s := p.Stats(); s.Total != want || s.Recent != (Counts{}) {
		t.Errorf("ten quiet seconds later: total %+v, recent %+v", s.Total, s.Recent)
	}
}

// A provider that a reload adds is not measured against the node's whole life.
func TestLateProvider(t *testing.T) {
	n := New(Info{})
	n.Tick(1000 * second)
	p := n.Provider("zerion")
	p.Observe(Observation{Status: 200})
	n.Tick(1001 * second)
	if s := p.Stats(); s.PerSecond(s.Recent.Requests) != 1 {
		t.Errorf("%v requests a second, want 1", s.PerSecond(s.Recent.Requests))
	}
}

func TestSlidingLatency(t *testing.T) {
	n := New(Info{})
	p := n.Provider("zerion")
	if got := p.Stats().Latency; got != (Latency{}) {
		t.Errorf("without requests: %+v, want zeros", got)
	}
	for range 98 {
		p.Observe(Observation{Status: 200, Latency: 10 * time.Millisecond})
	}
	for range 2 {
		p.Observe(Observation{Status: 200, Latency: time.Second})
	}
	// Seen at once, without waiting for a tick; the buckets are (9, 10] and
	// (900, 1000] ms.
	want := Latency{Avg: 29.8, P50: 9 + 50./98, P95: 9 + 95./98, P99: 950}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
	if got := p.Stats().Latency; !near(got.Avg, want.Avg) || !near(got.P50, want.P50) || !near(got.P95, want.P95) || !near(got.P99, want.P99) {
		t.Errorf("latency %+v, want %+v", got, want)
	}
	for i := range int64(54) {
		n.Tick((i + 1) * second)
	}
	if got := p.Stats().Latency; !near(got.Avg, want.Avg) {
		t.Errorf("after 54 s: %+v, still want %+v", got, want)
	}
	for i := range int64(6) {
		n.Tick((55 + i) * second)
	}
	if got := p.Stats().Latency; got != (Latency{}) {
		t.Errorf("after 60 s: %+v, want zeros", got)
	}
}
