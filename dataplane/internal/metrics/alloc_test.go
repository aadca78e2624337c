//go:build !race

package metrics

import (
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

func TestARequestAllocatesNothing(t *testing.T) {
	p := New(Info{}).Provider("zerion")
	o := Observation{
		Method: verdict.MethodGet, Status: 200, Latency: 30 * time.Millisecond, Error: verdict.DegradedCache,
		Limit: verdict.Global, Cache: CacheDegraded, Degraded: DegradedUpstreamError,
	}
	if n := testing.AllocsPerRun(1000, func() {
		p.Observe(o)
		p.Attempt(verdict.AttemptTimeout)
		p.Retry()
	}); n != 0 {
		t.Errorf("a request allocates %v times, want 0", n)
	}
}

func TestATickAllocatesOnlyItsList(t *testing.T) {
	n := New(Info{})
	n.Provider("zerion")
	now := int64(0)
	if got := testing.AllocsPerRun(1000, func() { now += second; n.Tick(now) }); got > 1 {
		t.Errorf("a tick allocates %v times, want at most 1", got)
	}
}
