package metrics

import (
	"fmt"
	"sync/atomic"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/latency"
)

// NoProvider is the name under which requests to no provider are counted. It
// has counters, but no gauges.
const NoProvider = "none"

// Cache says how the cache took part in an answer. The zero value means not at
// all.
type Cache uint8

// The parts of the cache. Those before CacheMiss are hits.
const (
	CacheNone Cache = iota
	CacheFresh
	CacheStale
	CacheDegraded
	CacheMiss
	caches // how many there are
)

var cacheNames = [caches]string{"", "fresh", "stale", "degraded", "miss"}

// String is the word of labels; empty for CacheNone.
func (c Cache) String() string { return cacheNames[c] }

// Degraded says why a stored copy was served in place of an answer. The zero
// value means that it was not.
type Degraded uint8

// The reasons for a degraded answer.
const (
	DegradedNone Degraded = iota
	DegradedCircuitBreaker
	DegradedUpstreamError
	DegradedQuota
	degradeds // how many there are
)

var degradedNames = [degradeds]string{"", "circuit_breaker", "upstream_error", "quota"}

// String is the word of labels; empty for DegradedNone.
func (d Degraded) String() string { return degradedNames[d] }

// Observation is what the metrics keep of one finished request.
type Observation struct {
	Method   verdict.Method
	Status   int // any number; one outside 100..999 is counted as "other"
	Latency  time.Duration
	Error    verdict.ErrorType
	Limit    verdict.LimitScope // the limit that refused the request
	Degraded Degraded
	Cache    Cache
	Passed   bool // the fairness limits were charged for it
}

// The places of a status in a table: 100 to 999, then all other numbers.
const (
	minStatus   = 100
	otherStatus = 900
	statuses    = otherStatus + 1
)

// Provider holds the handles of one provider's metrics. Look it up once per
// plan, not per request. Safe for simultaneous use; Observe, Attempt and Retry
// take no lock and do not allocate, but for the first request of a method and
// status.
type Provider struct {
	set    *vm.Set
	name   string
	labels string // provider="name"

	requests    counters[verdict.Method]
	success     *vm.Counter
	failure     *vm.Counter
	byStatus    [verdict.Methods][statuses]atomic.Pointer[vm.Counter]
	errors      counters[verdict.ErrorType]
	rateLimited counters[verdict.LimitScope]
	attempts    counters[verdict.AttemptOutcome]
	retries     *vm.Counter
	cacheHits   counters[Cache]
	cacheMisses *vm.Counter
	degraded    counters[Degraded]
	latency     latency.Histogram
	passed      atomic.Uint64 // for Counts only

	gauges  atomic.Pointer[func() ProviderGauges]
	history *history
}

// newProvider registers all counters but those by status, so that an alert has
// a zero to start from. The set must not hold the provider yet.
func newProvider(set *vm.Set, name string, now int64) *Provider {
	labels := label("provider", name)
	single := func(family string) *vm.Counter { return set.NewCounter(family + "{" + labels + "}") }
	p := &Provider{
		set:         set,
		name:        name,
		labels:      labels,
		requests:    newCounters(set, verdict.Methods, "api_proxy_requests_total", labels, "method"),
		success:     single("api_proxy_requests_success_total"),
		failure:     single("api_proxy_requests_failure_total"),
		errors:      newCounters(set, verdict.ErrorTypes, "api_proxy_requests_error_total", labels, "error_type"),
		rateLimited: newCounters(set, verdict.LimitScopes, "api_proxy_rate_limited_total", labels, "limit"),
		attempts:    newCounters(set, verdict.AttemptOutcomes, "api_proxy_upstream_attempts_total", labels, "outcome"),
		retries:     single("api_proxy_retries_total"),
		cacheHits:   newCounters(set, CacheMiss, "api_proxy_cache_hits_total", labels, "cache_type"),
		cacheMisses: single("api_proxy_cache_misses_total"),
		degraded:    newCounters(set, degradeds, "api_proxy_degraded_responses_total", labels, "reason"),
		history:     newHistory(now),
	}
	if name != NoProvider {
		p.Gauges(func() ProviderGauges { return ProviderGauges{} })
	}
	return p
}

// Observe counts one finished request. Call it exactly once for each.
func (p *Provider) Observe(o Observation) {
	if o.Method >= verdict.Methods {
		o.Method = verdict.MethodOther
	}
	p.requests.inc(o.Method)
	if o.Status/100 == 2 {
		p.success.Inc()
	} else {
		p.failure.Inc()
	}
	p.status(o.Method, o.Status).Inc()
	p.latency.Observe(o.Latency)
	if o.Passed {
		p.passed.Add(1)
	}
	p.errors.inc(o.Error)
	p.rateLimited.inc(o.Limit)
	p.cacheHits.inc(o.Cache)
	if o.Cache == CacheMiss {
		p.cacheMisses.Inc()
	}
	p.degraded.inc(o.Degraded)
}

// status is the counter of a method and status, made at its first use: most of
// the 7,208 that are possible are never seen.
func (p *Provider) status(method verdict.Method, status int) *vm.Counter {
	place, word := otherStatus, "other"
	if status >= minStatus && status < minStatus+otherStatus {
		place = status - minStatus
	}
	handle := &p.byStatus[method][place]
	if c := handle.Load(); c != nil {
		return c
	}
	if place != otherStatus {
		word = fmt.Sprint(status)
	}
	c := p.set.GetOrCreateCounter(fmt.Sprintf(`api_proxy_requests_by_status{%s,method="%s",status="%s"}`, p.labels, method, word))
	handle.Store(c) // two first requests at once store the same one
	return c
}

// Attempt counts one attempt to reach the upstream, by its outcome.
func (p *Provider) Attempt(outcome verdict.AttemptOutcome) { p.attempts.inc(outcome) }

// Retry counts one attempt after the first of a request.
func (p *Provider) Retry() { p.retries.Inc() }

// Stats copies the counters, the counts of the last seconds and the latencies
// of the last minute.
func (p *Provider) Stats() Stats {
	s := Stats{Total: p.counts()}
	s.Latency, s.Histogram = p.recentLatency()
	s.Recent, s.Window = p.history.recent()
	return s
}

func (p *Provider) counts() Counts {
	c := Counts{
		Success:     p.success.Get(),
		Retries:     p.retries.Get(),
		Passed:      p.passed.Load(),
		Attempts:    p.attempts.sum(),
		CacheHits:   p.cacheHits.sum(),
		CacheMisses: p.cacheMisses.Get(),
		Degraded:    p.degraded.sum(),
	}
	c.Requests = c.Success + p.failure.Get()
	for limit, counter := range p.rateLimited {
		if counter != nil {
			c.Rejected[limit] = counter.Get()
		}
	}
	return c
}

func (p *Provider) recentLatency() (Latency, latency.Snapshot) {
	base := p.history.latencyBase()
	s := p.latency.Snapshot()
	s.Subtract(&base)
	return Latency{Avg: s.MeanMillis(), P50: s.Quantile(0.50), P95: s.Quantile(0.95), P99: s.Quantile(0.99)}, s
}
