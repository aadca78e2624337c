package overview

import (
	"testing"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/latency"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

func node(id, state string, s *wire.Stats) Node {
	return Node{status.Node{ID: id, State: state}, s}
}

func histogram(latencies ...time.Duration) latency.Snapshot {
	var h latency.Histogram
	for _, l := range latencies {
		h.Observe(l)
	}
	return h.Snapshot()
}

func TestSums(t *testing.T) {
	const ms = time.Millisecond
	stats := func(passed float64, p wire.ProviderStats) *wire.Stats {
		p.Name = "zerion"
		return &wire.Stats{Mode: status.Leased, InFlight: 2, Passed: passed, Providers: []wire.ProviderStats{p}}
	}
	doc := Status(Cluster{
		Document: config.Default(),
		Nodes: []Node{
			node("b", status.Live, stats(20, wire.ProviderStats{Requests: 10, Success: 9, Attempts: 12, Retries: 2, CacheHits: 1, CacheMisses: 3,
				CacheEntries: 5, CacheBytes: 100, CacheEvictions: 3, Latency: histogram(10*ms, 10*ms, 10*ms), Credential: true})),
			node("a", status.Suspect, stats(10, wire.ProviderStats{Requests: 10, Success: 1, Attempts: 18, RejectedGlobal: 4, RejectedPerIP: 5, RejectedProvider: 6,
				Latency: histogram(1000 * ms)})),
			node("c", status.Gone, stats(1000, wire.ProviderStats{Requests: 1000})),
			node("d", status.Live, nil),
		},
		Breakers: map[string]status.Breaker{"zerion": {State: "open", Failures: 5}},
		Limits:   map[string]Tokens{"global": {Available: 77, Overshoot: 3}},
	})
	p := doc.Providers["zerion"]
	for name, ok := range map[string]bool{
		"nodes by id":                len(doc.Nodes) == 4 && doc.Nodes[0].ID == "a" && doc.Nodes[1].RequestsPerSecond == 10 && doc.Nodes[2].RequestsPerSecond == 0,
		"the dead count for nothing": p.RequestsPerSecond == 20,
		"ratio of sums":              p.SuccessRatio == 0.5 && p.Cache.HitRatio == 0.25 && p.Cache.Entries == 5 && p.Cache.Bytes == 100,
		"the cache of a node":        doc.Nodes[1].Cache == (status.Cache{HitRatio: 0.25, Entries: 5, Bytes: 100, Evictions: 3}) && p.Cache == doc.Nodes[1].Cache,
		"percentiles of all":         p.LatencyMS.P50 < 11 && p.LatencyMS.P99 > 900,
		"one node lacks the key":     p.Credential == "missing",
		"breaker":                    p.State == "open" && p.Failures == 5 && doc.Providers["alchemy"].State == "closed",
		"provider's limit":           p.Limit.AdmittedPerSecond == 30 && p.Limit.RejectedPerSecond == 6 && p.Limit.Utilisation == 0.1,
		"global limit":               doc.Limits.Global.AdmittedPerSecond == 30 && doc.Limits.Global.RejectedPerSecond == 4 && doc.Limits.Global.Available == 77 && doc.Limits.Global.OvershootBound == 3,
		"limit of addresses":         doc.Limits.PerIP.RejectedPerSecond == 5 && doc.Limits.PerIP.Available == 200,
		"no traffic is no failure":   doc.Providers["alchemy"].SuccessRatio == 1 && doc.Providers["alchemy"].Credential == "ok",
	} {
		if !ok {
			t.Errorf("%s: %+v", name, doc)
		}
	}
}

func TestNothingYet(t *testing.T) {
	doc := Status(Cluster{})
	if doc.Nodes == nil || doc.Providers == nil || len(doc.Nodes)+len(doc.Providers) > 0 {
		t.Errorf("%+v", doc)
	}
}
