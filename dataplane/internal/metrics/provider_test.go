package metrics

import (
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// Each row is one request and every counter of its provider that it moves.
func TestObserveMoves(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		name string
		o    Observation
		want []string
	}{
		{"an answer of the upstream",
			Observation{Method: verdict.MethodGet, Status: 204, Latency: ms},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_success_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="204"}`}},
		{"a fresh copy is a success",
			Observation{Method: verdict.MethodHead, Status: 200, Latency: ms, Cache: CacheFresh},
			[]string{`requests_total{provider="p",method="HEAD"}`, `requests_success_total{provider="p"}`,
				`requests_by_status{provider="p",method="HEAD",status="200"}`,
				`cache_hits_total{provider="p",cache_type="fresh"}`}},
		{"a stale copy",
			Observation{Method: verdict.MethodGet, Status: 200, Latency: ms, Cache: CacheStale},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_success_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="200"}`,
				`cache_hits_total{provider="p",cache_type="stale"}`}},
		{"a degraded answer while the breaker is open",
			Observation{Method: verdict.MethodGet, Status: 200, Latency: ms, Cache: CacheDegraded,
				Degraded: DegradedCircuitBreaker, Error: verdict.DegradedCache},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_success_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="200"}`,
				`cache_hits_total{provider="p",cache_type="degraded"}`,
				`degraded_responses_total{provider="p",reason="circuit_breaker"}`,
				`requests_error_total{provider="p",error_type="degraded_cache"}`}},
		{"a redirect is not a success",
			Observation{Method: verdict.MethodGet, Status: 302, Latency: ms},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_failure_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="302"}`}},
		{"a miss that failed upstream",
			Observation{Method: verdict.MethodOther, Status: 502, Latency: ms, Cache: CacheMiss, Error: verdict.ConnectionRefused},
			[]string{`requests_total{provider="p",method="other"}`, `requests_failure_total{provider="p"}`,
				`requests_by_status{provider="p",method="other",status="502"}`,
				`cache_misses_total{provider="p"}`,
				`requests_error_total{provider="p",error_type="connection_refused"}`}},
		{"a refusal by a limit",
			Observation{Method: verdict.MethodPost, Status: 429, Latency: ms, Error: verdict.RateLimit, Limit: verdict.PerIP},
			[]string{`requests_total{provider="p",method="POST"}`, `requests_failure_total{provider="p"}`,
				`requests_by_status{provider="p",method="POST",status="429"}`,
				`requests_error_total{provider="p",error_type="rate_limit"}`,
				`rate_limited_total{provider="p",limit="per_ip"}`}},
		{"a client that went away: any status is only a number",
			Observation{Method: verdict.MethodGet, Status: 499, Latency: ms, Error: verdict.ClientGone},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_failure_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="499"}`,
				`requests_error_total{provider="p",error_type="client_gone"}`}},
		{"a number that is no status",
			Observation{Method: verdict.MethodGet, Status: 2000, Latency: ms},
			[]string{`requests_total{provider="p",method="GET"}`, `requests_failure_total{provider="p"}`,
				`requests_by_status{provider="p",method="GET",status="other"}`}},
	} {
		t.Run(row.name, func(t *testing.T) {
			n := New(Info{})
			n.Provider("p").Observe(row.o)
			series := scrape(t, n).series
			want := make(map[string]bool)
			for _, name := range row.want {
				want["api_proxy_"+name] = true
			}
			for name := range want {
				if series[name] != 1 {
					t.Errorf("%s is %v, want 1", name, series[name])
				}
			}
			for name, value := range series {
				family := familyOf([]byte(name + " "))
				if _, ours := promised[family]; ours && familyByName[family].kind == "counter" && value != 0 && !want[name] {
					t.Errorf("%s moved to %v", name, value)
				}
			}
		})
	}
}

func TestAttemptAndRetry(t *testing.T) {
	n := New(Info{})
	p := n.Provider("p")
	for range 3 {
		p.Attempt(verdict.AttemptStatus5xx)
	}
	p.Retry()
	series := scrape(t, n).series
	if got := series[`api_proxy_upstream_attempts_total{provider="p",outcome="status_5xx"}`]; got != 3 {
		t.Errorf("attempts %v, want 3", got)
	}
	if got := series[`api_proxy_retries_total{provider="p"}`]; got != 1 {
		t.Errorf("retries %v, want 1", got)
	}
}

func BenchmarkObserve(b *testing.B) {
	p := New(Info{}).Provider("p")
	o := Observation{Method: verdict.MethodGet, Status: 200, Latency: 30 * time.Millisecond, Cache: CacheFresh}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p.Observe(o)
		}
	})
}
