package metrics

import (
	"fmt"
	"io"
	"strconv"
	"sync/atomic"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/latency"
)

// ProviderGauges is the state of a provider at a scrape.
type ProviderGauges struct {
	ActiveConnections int64 // to the upstream, in use
	BreakerState      verdict.BreakerState
	BreakerFailures   int64 // consecutive
	HalfOpenSlots     int64 // probes in flight
	CacheEntries      int64
	CacheBytes        int64
}

// NodeGauges is the state of the node at a scrape.
type NodeGauges struct {
	ConfigRevision uint64
	Mode           string // leased, holding, closed or standalone
	NATSConnected  bool
	ConfigRefused  uint64 // published configurations since the start
	LogDropped     uint64 // log lines since the start
	InFlight       int64  // requests
	CacheEvicted   uint64 // stored answers that had to make room since the start
	CachePurged    uint64 // stored answers that were purged since the start
	AddrEvicted    uint64 // addresses forgotten by the per_ip limit since the start
	Limits         []LimitGauge
}

// LimitGauge is the part of one limit that the node may spend.
type LimitGauge struct {
	Limit    string  // global or per_provider
	Provider string  // empty for global
	Share    float64 // requests per second
	Tokens   float64 // requests that could be admitted at once
}

// Gauges sets the function that a scrape asks for the provider's state; nil
// hides all gauges of a provider that left the configuration. It must be safe
// for simultaneous use.
func (p *Provider) Gauges(state func() ProviderGauges) { storeFunc(&p.gauges, state) }

func storeFunc[T any](place *atomic.Pointer[func() T], f func() T) {
	if f == nil {
		place.Store(nil)
		return
	}
	place.Store(&f)
}

// writeOwn writes everything that the set does not hold itself: gauges and
// histograms. The order of families does not matter here, see writeFamilies.
func (n *Node) writeOwn(w io.Writer) {
	s := sampleWriter{w}
	s.one("api_proxy_build_info", label("version", n.info.Version)+","+label("node", n.info.NodeID), 1)
	if state := n.gauges.Load(); state != nil {
		s.node((*state)())
	}
	for _, p := range n.sorted() {
		s.histogram("api_proxy_latency", p.labels, p.latency.Snapshot())
		if state := p.gauges.Load(); state != nil {
			recent, _ := p.recentLatency()
			s.provider(p.labels, (*state)(), recent)
		}
	}
}

// sampleWriter writes single lines of the text format.
type sampleWriter struct{ w io.Writer }

func (s sampleWriter) one(name, labels string, value float64) {
	if labels != "" {
		labels = "{" + labels + "}"
	}
	// Whole numbers without an exponent: this is read by people too.
	fmt.Fprintf(s.w, "%s%s %s\n", name, labels, strconv.FormatFloat(value, 'f', -1, 64))
}

var modes = [...]string{"leased", "holding", "closed", "standalone"}

func (s sampleWriter) node(g NodeGauges) {
	s.one("api_proxy_config_revision", "", float64(g.ConfigRevision))
	s.one("api_proxy_config_refused_total", "", float64(g.ConfigRefused))
	s.one("api_proxy_nats_connected", "", oneIf(g.NATSConnected))
	s.one("api_proxy_log_dropped_total", "", float64(g.LogDropped))
	s.one("api_proxy_requests_in_flight", "", float64(g.InFlight))
	s.one("api_proxy_per_ip_evicted_total", "", float64(g.AddrEvicted))
	s.one("api_proxy_cache_evictions_total", "", float64(g.CacheEvicted))
	s.one("api_proxy_cache_purged_total", "", float64(g.CachePurged))
	for _, mode := range modes {
		s.one("api_proxy_coordination_mode", label("mode", mode), oneIf(mode == g.Mode))
	}
	for _, l := range g.Limits {
		labels := label("limit", l.Limit)
		if l.Provider != "" {
			labels += "," + label("provider", l.Provider)
		}
		s.one("api_proxy_limit_share", labels, l.Share)
		s.one("api_proxy_limit_tokens", labels, l.Tokens)
	}
}

func (s sampleWriter) provider(labels string, g ProviderGauges, l Latency) {
	s.one("api_proxy_active_connections", labels, float64(g.ActiveConnections))
	s.one("api_proxy_provider_health", labels, health(g.BreakerState))
	s.one("api_proxy_circuit_breaker_failures", labels, float64(g.BreakerFailures))
	s.one("api_proxy_circuit_breaker_half_open_slots", labels, float64(g.HalfOpenSlots))
	s.one("api_proxy_cache_entries", labels, float64(g.CacheEntries))
	s.one("api_proxy_cache_bytes", labels, float64(g.CacheBytes))
	for state := range verdict.BreakerStates {
		s.one("api_proxy_circuit_breaker_state", labels+","+label("state", state.String()), oneIf(state == g.BreakerState))
	}
	s.one("api_proxy_latency_avg_ms", labels, l.Avg)
	s.one("api_proxy_latency_p50_ms", labels, l.P50)
	s.one("api_proxy_latency_p95_ms", labels, l.P95)
	s.one("api_proxy_latency_p99_ms", labels, l.P99)
}

// exposed are the bounds that become le labels, in milliseconds. Each is also a
// bound of latency.Histogram, so the exposed counts are exact.
var exposed = [...]time.Duration{1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000}

// histogram writes counts that include those of all smaller bounds, as the
// format asks.
func (s sampleWriter) histogram(name, labels string, h latency.Snapshot) {
	for _, le := range exposed {
		s.one(name+"_bucket", labels+","+label("le", strconv.Itoa(int(le))), float64(h.Below(le*time.Millisecond)))
	}
	count := float64(h.Count())
	s.one(name+"_bucket", labels+","+label("le", "+Inf"), count)
	s.one(name+"_sum", labels, h.SumMillis())
	s.one(name+"_count", labels, count)
}

func health(s verdict.BreakerState) float64 {
	switch s {
	case verdict.Closed:
		return 1
	case verdict.HalfOpen:
		return 0.5
	}
	return 0
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
