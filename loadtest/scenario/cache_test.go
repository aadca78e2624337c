package scenario

import (
	"strings"
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// 500 clients ask a node the same at the same moment: the provider is asked
// once, and everybody gets its answer.
func TestEqualMissesAreAskedOnce(t *testing.T) {
	b := start(t, 1, "rate_limit: {}\nproxy: {cache_ttl: 10m}\n")
	statuses, _ := b.volley(500, "GET", "/zerion/delay/200")
	if arrived := b.Provider.Stats(fakeprovider.Zerion).Arrivals; statuses[200] != 500 || arrived != 1 {
		t.Errorf("statuses %v, %d arrived, want 500 and 1", statuses, arrived)
	}
}

// The same with a provider that fails: one more try, and everybody hears of it.
func TestEqualFailuresAreAskedTwice(t *testing.T) {
	b := start(t, 1, "rate_limit: {}\nproxy: {cache_ttl: 10m}\n")
	b.fault(fakeprovider.Fault{ErrorRate: 1, Status: 503, Latency: "200ms"})
	statuses, _ := b.volley(500, "GET", "/zerion/test")
	if arrived := b.Provider.Stats(fakeprovider.Zerion).Arrivals; statuses[503] != 500 || arrived > 2 {
		t.Errorf("statuses %v, %d arrived, want 500 × 503 and at most 2", statuses, arrived)
	}
}

// The operator's walk: a miss, a hit, and copies while the breaker is open.
func TestOperatorsCacheWalk(t *testing.T) {
	b := start(t, 1, "circuit_breaker: {failure_threshold: 3, timeout: 10m}\nproxy: {cache_ttl: 10m}\n")
	for i, want := range []string{"api-proxy; fwd=miss; stored", "api-proxy; hit; ttl="} {
		a := b.get("/zerion/v1/test")
		if got := a.header.Get("Cache-Status"); !strings.HasPrefix(got, want) {
			t.Errorf("request %d: %d, %q, want %q", i, a.status, got, want)
		}
	}
	for range 5 {
		b.get("/zerion/status/500")
	}
	a := b.get("/zerion/v1/test")
	if a.header.Get("X-Degraded") != "cache" || a.header.Get("X-Cache-Age") == "" || a.status/100 == 5 {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := b.get("/zerion/v1/other"); a.status != 503 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	series := b.series()
	for name, want := range map[string]float64{
		`api_proxy_cache_entries{provider="zerion"}`:                                     1,
		`api_proxy_cache_hits_total{provider="zerion",cache_type="fresh"}`:               1,
		`api_proxy_cache_hits_total{provider="zerion",cache_type="degraded"}`:            1,
		`api_proxy_degraded_responses_total{provider="zerion",reason="circuit_breaker"}`: 1,
		`api_proxy_requests_error_total{provider="zerion",error_type="degraded_cache"}`:  1,
	} {
		if series[name] != want {
			t.Errorf("%s = %v, want %v", name, series[name], want)
		}
	}
}
