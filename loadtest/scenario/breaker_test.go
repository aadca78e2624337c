package scenario

import (
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

const openLimits = `
rate_limit:
  per_ip: {rate: 100000}
  per_provider: {zerion: {rate: 100000}, coingecko: {rate: 100000}, alchemy: {rate: 100000}}
`

// A provider that always fails: five attempts open the breaker, then nothing is
// sent; after the timeout at most three probes are out at once; two successes
// close it.
func TestBreakerLifeCycle(t *testing.T) {
	b := start(t, 1, openLimits+`
circuit_breaker: {failure_threshold: 5, success_threshold: 2, timeout: 1s, half_open_requests: 3}
`)
	b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1, Status: 500})
	for i := range 5 {
		if a := b.get("/zerion/test"); a.status != 500 {
			t.Errorf("request %d: %d, want the provider's own 500", i, a.status)
		}
	}
	for range 20 {
		a := b.get("/zerion/test")
		if a.status != 503 || a.header.Get("Retry-After") == "" || a.header.Get("Content-Type") != "application/problem+json" {
			t.Fatalf("open: %d %v %s", a.status, a.header, a.body)
		}
	}
	if got := b.Provider.Stats(fakeprovider.Zerion).Arrivals; got != 5 {
		t.Errorf("%d requests arrived, want the 5 that opened the breaker", got)
	}

	state := func() string { return b.Nodes[0].Status().Providers["zerion"].State }
	b.eventually("half_open", func() bool { return state() == "half_open" })
	// Slow answers keep the probes out together.
	b.fault(fakeprovider.Fault{Provider: "zerion", Latency: "300ms"})
	statuses, _ := b.volley(30, "GET", "/zerion/test")
	stats := b.Provider.Stats(fakeprovider.Zerion)
	if stats.MaxInFlight != 3 || statuses[200] != 3 || statuses[503] != 27 {
		t.Errorf("half-open: %v with at most %d in flight, want 3 probes and 27 refusals", statuses, stats.MaxInFlight)
	}
	if state() != "closed" {
		t.Errorf("after three good probes: %s", state())
	}
	if a := b.get("/zerion/test"); a.status != 200 {
		t.Errorf("closed: %d", a.status)
	}
}
