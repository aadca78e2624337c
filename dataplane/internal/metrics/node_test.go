package metrics

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/latency"
)

// promised is every family that the product promises of a node, with its type.
// The two of Redis are missing: only a node with Redis has them.
var promised = map[string]string{
	"api_proxy_requests_total":                  "counter",
	"api_proxy_requests_success_total":          "counter",
	"api_proxy_requests_failure_total":          "counter",
	"api_proxy_requests_by_status":              "counter",
	"api_proxy_latency":                         "histogram",
	"api_proxy_latency_avg_ms":                  "gauge",
	"api_proxy_latency_p50_ms":                  "gauge",
	"api_proxy_latency_p95_ms":                  "gauge",
	"api_proxy_latency_p99_ms":                  "gauge",
	"api_proxy_active_connections":              "gauge",
	"api_proxy_cache_bytes":                     "gauge",
	"api_proxy_cache_entries":                   "gauge",
	"api_proxy_cache_evictions_total":           "counter",
	"api_proxy_cache_purged_total":              "counter",
	"api_proxy_requests_error_total":            "counter",
	"api_proxy_provider_health":                 "gauge",
	"api_proxy_circuit_breaker_state":           "gauge",
	"api_proxy_circuit_breaker_failures":        "gauge",
	"api_proxy_circuit_breaker_half_open_slots": "gauge",
	"api_proxy_cache_hits_total":                "counter",
	"api_proxy_cache_misses_total":              "counter",
	"api_proxy_degraded_responses_total":        "counter",
	"api_proxy_rate_limited_total":              "counter",
	"api_proxy_retries_total":                   "counter",
	"api_proxy_upstream_attempts_total":         "counter",
	"api_proxy_limit_share":                     "gauge",
	"api_proxy_limit_tokens":                    "gauge",
	"api_proxy_coordination_mode":               "gauge",
	"api_proxy_config_revision":                 "gauge",
	"api_proxy_nats_connected":                  "gauge",
	"api_proxy_log_dropped_total":               "counter",
}

// busy is a node that has written every family at least once.
func busy() *Node {
	n := New(Info{Version: "1.2.3", NodeID: "node-1"})
	n.Gauges(func() NodeGauges {
		return NodeGauges{
			ConfigRevision: 7, Mode: "leased", NATSConnected: true, LogDropped: 3, InFlight: 5, AddrEvicted: 9, CacheEvicted: 11, CachePurged: 12,
			Limits: []LimitGauge{
				{Limit: "global", Share: 500.5, Tokens: 2_000_000},
				{Limit: "per_provider", Provider: "zerion", Share: 100, Tokens: -1},
			},
		}
	})
	p := n.Provider("zerion")
	p.Gauges(func() ProviderGauges {
		return ProviderGauges{ActiveConnections: 4, BreakerState: verdict.HalfOpen, BreakerFailures: 2, HalfOpenSlots: 1}
	})
	p.Observe(Observation{Method: verdict.MethodGet, Status: 200, Latency: 30 * time.Millisecond, Cache: CacheMiss})
	n.Provider(NoProvider).Observe(Observation{Method: verdict.MethodPost, Status: 404, Error: verdict.NotFound})
	return n
}

func TestEveryFamilyOfTheContractIsDescribedAndWritten(t *testing.T) {
	written := scrape(t, busy()).kinds
	for name, kind := range promised {
		if familyByName[name].kind != kind || written[name] != kind {
			t.Errorf("%s: described as %q, written as %q, want %q", name, familyByName[name].kind, written[name], kind)
		}
	}
}

func TestTableAndExpositionAgree(t *testing.T) {
	written := scrape(t, busy()).kinds
	for _, f := range families {
		if written[f.name] == "" {
			t.Errorf("%s is described but never written", f.name)
		}
		if f.help == "" || strings.ContainsAny(f.help, "\\\n") {
			t.Errorf("%s: help %q is empty or would have to be escaped", f.name, f.help)
		}
	}
	if len(familyByName) != len(families) {
		t.Errorf("%d names in %d rows: one is described twice", len(familyByName), len(families))
	}
	// A family without a description is "untyped", which the parser refuses.
}

func TestSeries(t *testing.T) {
	series := scrape(t, busy()).series
	for _, row := range []struct {
		series string
		want   float64
	}{
		{`api_proxy_build_info{version="1.2.3",node="node-1"}`, 1},
		{`api_proxy_config_revision`, 7},
		{`api_proxy_nats_connected`, 1},
		{`api_proxy_log_dropped_total`, 3},
		{`api_proxy_requests_in_flight`, 5},
		{`api_proxy_per_ip_evicted_total`, 9},
		{`api_proxy_cache_evictions_total`, 11},
		{`api_proxy_cache_purged_total`, 12},
		// One series for each mode and state, the current one is 1.
		{`api_proxy_coordination_mode{mode="leased"}`, 1},
		{`api_proxy_coordination_mode{mode="holding"}`, 0},
		{`api_proxy_coordination_mode{mode="closed"}`, 0},
		{`api_proxy_coordination_mode{mode="standalone"}`, 0},
		{`api_proxy_circuit_breaker_state{provider="zerion",state="half_open"}`, 1},
		{`api_proxy_circuit_breaker_state{provider="zerion",state="closed"}`, 0},
		{`api_proxy_circuit_breaker_state{provider="zerion",state="open"}`, 0},
		{`api_proxy_provider_health{provider="zerion"}`, 0.5},
		{`api_proxy_circuit_breaker_failures{provider="zerion"}`, 2},
		{`api_proxy_circuit_breaker_half_open_slots{provider="zerion"}`, 1},
		{`api_proxy_active_connections{provider="zerion"}`, 4},
		// The global limit has no provider.
		{`api_proxy_limit_share{limit="global"}`, 500.5},
		{`api_proxy_limit_tokens{limit="global"}`, 2_000_000},
		{`api_proxy_limit_share{limit="per_provider",provider="zerion"}`, 100},
		{`api_proxy_limit_tokens{limit="per_provider",provider="zerion"}`, -1},
		// A request of 30 ms is in every bucket from 50 ms on.
		{`api_proxy_latency_bucket{provider="zerion",le="25"}`, 0},
		{`api_proxy_latency_bucket{provider="zerion",le="50"}`, 1},
		{`api_proxy_latency_bucket{provider="zerion",le="30000"}`, 1},
		{`api_proxy_latency_bucket{provider="zerion",le="+Inf"}`, 1},
		{`api_proxy_latency_sum{provider="zerion"}`, 30},
		{`api_proxy_latency_count{provider="zerion"}`, 1},
		{`api_proxy_latency_avg_ms{provider="zerion"}`, 30},
		// A request to no provider is counted as any other.
		{`api_proxy_requests_total{provider="none",method="POST"}`, 1},
		{`api_proxy_requests_by_status{provider="none",method="POST",status="404"}`, 1},
		{`api_proxy_requests_error_total{provider="none",error_type="not_found"}`, 1},
	} {
		if got, ok := series[row.series]; !ok || got != row.want {
			t.Errorf("%s is %v (there: %v), want %v", row.series, got, ok, row.want)
		}
	}
	if _, ok := series[`api_proxy_provider_health{provider="none"}`]; ok {
		t.Error("no provider has a health")
	}
}

func TestANewProviderBeginsWithZeros(t *testing.T) {
	n := New(Info{})
	n.Provider("zerion")
	series := scrape(t, n).series
	for _, want := range []string{
		`api_proxy_requests_success_total{provider="zerion"}`,
		`api_proxy_requests_failure_total{provider="zerion"}`,
		`api_proxy_retries_total{provider="zerion"}`,
		`api_proxy_cache_misses_total{provider="zerion"}`,
		`api_proxy_latency_count{provider="zerion"}`,
		`api_proxy_latency_bucket{provider="zerion",le="500"}`,
		`api_proxy_latency_p95_ms{provider="zerion"}`,
		`api_proxy_active_connections{provider="zerion"}`,
		`api_proxy_rate_limited_total{provider="zerion",limit="global"}`,
		`api_proxy_requests_error_total{provider="zerion",error_type="timeout"}`,
	} {
		if got, ok := series[want]; !ok || got != 0 {
			t.Errorf("%s is %v (there: %v), want 0", want, got, ok)
		}
	}
}

func TestReloadKeepsCountersAndHidesGauges(t *testing.T) {
	n := busy()
	handles := n.Provider("zerion")
	before := scrape(t, n)
	handles.Gauges(nil)
	after := scrape(t, n)
	for _, series := range before.own() {
		name, _, _ := strings.Cut(series, "{")
		_, left := after.series[series]
		gone := familyByName[name].kind == "gauge" && strings.Contains(series, `{provider="zerion"`)
		if left == gone {
			t.Errorf("%s: there after the provider was removed: %v", series, left)
		}
	}
	if n.Provider("zerion") != handles {
		t.Error("the provider came back with other handles")
	}
}

// Whatever clients and upstreams send, the labels stay within closed sets.
func TestSeriesAreConstantUnderAnyTraffic(t *testing.T) {
	n := New(Info{})
	p := n.Provider("zerion")
	for method := range verdict.Methods {
		p.Observe(Observation{Method: method, Status: 200})
		p.Observe(Observation{Method: method, Status: -1})
	}
	before := scrape(t, n).own()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		status := 1000 + i
		if i%2 == 0 {
			status = 99 - i
		}
		o := Observation{Method: verdict.Method(random.Uint32()), Status: status, Latency: time.Duration(random.Int64())}
		o.Error, o.Limit = verdict.ErrorType(random.Uint32()), verdict.LimitScope(random.Uint32())
		o.Cache, o.Degraded = Cache(random.Uint32()), Degraded(random.Uint32())
		p.Observe(o)
		p.Attempt(verdict.AttemptOutcome(random.Uint32()))
	}
	if after := scrape(t, n).own(); !slices.Equal(before, after) {
		t.Errorf("%d series became %d", len(before), len(after))
	}
}

func TestNodesCountApart(t *testing.T) {
	first, second := New(Info{}), New(Info{})
	first.Provider("zerion").Retry()
	second.Provider("zerion")
	const series = `api_proxy_retries_total{provider="zerion"}`
	if a, b := scrape(t, first).series[series], scrape(t, second).series[series]; a != 1 || b != 0 {
		t.Errorf("retries %v and %v, want 1 and 0", a, b)
	}
}

func FuzzLabelsAreEscaped(f *testing.F) {
	f.Add("zerion", "node-1")
	f.Add(`"\`, "a\nb\xff{}\r")
	f.Fuzz(func(t *testing.T, provider, node string) {
		n := New(Info{Version: provider, NodeID: node})
		n.Provider(provider).Observe(Observation{Status: 200})
		scrape(t, n)
	})
}

func TestSimultaneousUse(t *testing.T) {
	n := busy()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 500 {
				p := n.Provider("zerion")
				p.Observe(Observation{Method: verdict.MethodGet, Status: 200 + i, Latency: time.Duration(i)})
				p.Attempt(verdict.AttemptTimeout)
				p.Gauges(func() ProviderGauges { return ProviderGauges{ActiveConnections: int64(i)} })
				p.Stats()
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			n.Tick(int64(i))
		}
	})
	for range 5 {
		scrape(t, n)
	}
	wg.Wait()
	if got := n.Provider("zerion").Stats().Total.Requests; got != 2001 {
		t.Errorf("%d requests, want 2001", got)
	}
}

// Names that promtool's linter dislikes are the predecessor's or the runtime's,
// so only its parser counts here.
func TestPromtool(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool is not installed, the exposition was checked by this package's own parser only")
	}
	var text bytes.Buffer
	busy().WritePrometheus(&text)
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = &text
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	const lintOnly = 3
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != lintOnly) {
		t.Errorf("promtool: %v\n%s", err, output)
	}
}

// A bound that is none of the histogram's would be exposed with a wrong count.
func TestExposedBounds(t *testing.T) {
	for _, le := range exposed {
		if !latency.IsBound(le * time.Millisecond) {
			t.Errorf("le %d is no bound of the histogram", le)
		}
	}
}
