// Package overview sums up what the nodes report into the status document of the
// whole cluster. It is pure.
package overview

import (
	"cmp"
	"math"
	"slices"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/latency"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Cluster is all that the document is made of.
type Cluster struct {
	Now      time.Time
	Config   status.Config
	Document *config.Document // in force; nil = none
	Nodes    []Node
	Breakers map[string]status.Breaker
	Limits   map[string]Tokens // by wire.GlobalLimit or wire.ProviderLimit
}

// Node is one node and the last that it said of itself; Stats is nil if it has
// not said anything yet.
type Node struct {
	status.Node
	Stats *wire.Stats
}

// Tokens is what is known of a cluster-wide limit beyond what the nodes count.
type Tokens struct {
	Available int64   // requests that would be admitted now, over all nodes
	Overshoot float64 // see status.Limit
}

// Status is the view of the cluster.
func Status(c Cluster) status.Document {
	doc := status.Document{GeneratedAt: c.Now, Config: c.Config, Nodes: []status.Node{}, Providers: map[string]status.Provider{}}
	total := sums{}
	byProvider := map[string]*sums{}
	for _, n := range c.Nodes {
		doc.Nodes = append(doc.Nodes, describe(n))
		if n.Stats == nil || n.State == status.Gone {
			continue
		}
		total.passed += n.Stats.Passed
		for _, p := range n.Stats.Providers {
			s := byProvider[p.Name]
			if s == nil {
				s = &sums{}
				byProvider[p.Name] = s
			}
			s.add(&p)
			total.rejectedGlobal += p.RejectedGlobal
			total.rejectedPerIP += p.RejectedPerIP
		}
	}
	slices.SortFunc(doc.Nodes, func(a, b status.Node) int { return cmp.Compare(a.ID, b.ID) })
	if c.Document == nil {
		return doc
	}
	if l := c.Document.RateLimit.Global; l != nil {
		doc.Limits.Global = limit(*l, c.Limits[wire.GlobalLimit], total.passed, total.rejectedGlobal)
	}
	if l := c.Document.RateLimit.PerIP; l != nil {
		// How much is left differs from client to client; a new one has it all.
		doc.Limits.PerIP = limit(l.Limit, Tokens{Available: l.Burst}, total.passed, total.rejectedPerIP)
		doc.Limits.PerIP.Utilisation = 0
	}
	for name := range c.Document.Providers {
		s := byProvider[name]
		if s == nil {
			s = &sums{}
		}
		doc.Providers[name] = provider(c, name, s)
	}
	return doc
}

// sums are counts over the nodes, or over the providers of one.
type sums struct {
	wire.ProviderStats
	missing bool // a node lacks the key

	passed, rejectedGlobal, rejectedPerIP float64
}

func (s *sums) add(p *wire.ProviderStats) {
	s.addToNode(p)
	s.Success += p.Success
	s.Retries += p.Retries
	s.Attempts += p.Attempts
	s.RejectedProvider += p.RejectedProvider
	s.Latency.Merge(&p.Latency)
	s.missing = s.missing || !p.Credential
}

// addToNode adds what is shown of a node.
func (s *sums) addToNode(p *wire.ProviderStats) {
	s.Requests += p.Requests
	s.CacheHits += p.CacheHits
	s.CacheMisses += p.CacheMisses
	s.CacheEntries += p.CacheEntries
	s.CacheBytes += p.CacheBytes
	s.CacheEvictions += p.CacheEvictions
}

func (s *sums) cache() status.Cache {
	return status.Cache{
		HitRatio: ratio(s.CacheHits, s.CacheHits+s.CacheMisses, 0),
		Entries:  s.CacheEntries, Bytes: s.CacheBytes, Evictions: s.CacheEvictions,
	}
}

func describe(n Node) status.Node {
	out := n.Node
	if s := n.Stats; s != nil && n.State != status.Gone {
		out.Mode, out.InFlight = s.Mode, s.InFlight
		var all sums
		for _, p := range s.Providers {
			all.addToNode(&p)
		}
		out.RequestsPerSecond, out.Cache = round(all.Requests), all.cache()
	}
	return out
}

func provider(c Cluster, name string, s *sums) status.Provider {
	b, ok := c.Breakers[name]
	if !ok {
		b = status.Breaker{State: "closed"}
	}
	p := status.Provider{
		State:             b.State,
		Failures:          b.Failures,
		Breaker:           b,
		RequestsPerSecond: round(s.Requests),
		SuccessRatio:      ratio(s.Success, s.Requests, 1),
		LatencyMS:         percentiles(&s.Latency),
		Cache:             s.cache(),
		RetriesPerSecond:  round(s.Retries),
		Credential:        "ok",
	}
	if s.missing {
		p.Credential = "missing"
	}
	if l := c.Document.RateLimit.PerProvider[name]; l != nil {
		p.Limit = limit(*l, c.Limits[wire.ProviderLimit(name)], s.Attempts, s.RejectedProvider)
	}
	return p
}

func percentiles(h *latency.Snapshot) status.Latency {
	return status.Latency{
		Avg: round(h.MeanMillis()), P50: round(h.Quantile(0.50)),
		P95: round(h.Quantile(0.95)), P99: round(h.Quantile(0.99)),
	}
}

func limit(l config.Limit, t Tokens, admitted, rejected float64) *status.Limit {
	num, den := l.Rate.PerSecond()
	rate := float64(num) / float64(den)
	out := &status.Limit{
		Rate:              rate,
		Burst:             l.Burst,
		Available:         t.Available,
		AdmittedPerSecond: round(admitted),
		RejectedPerSecond: round(rejected),
		OvershootBound:    t.Overshoot,
	}
	if rate > 0 {
		out.Utilisation = min(round(admitted/rate), 1) // a burst is admitted faster than it is earned
	}
	return out
}

func ratio(part, whole, without float64) float64 {
	if whole <= 0 {
		return without
	}
	return min(round(part/whole), 1)
}

// round keeps three decimals: more is noise to whoever reads the page.
func round(f float64) float64 { return math.Round(f*1000) / 1000 }
