package node

import (
	"math"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// Status is the node's own view, in the shape that the whole cluster has.
func (n *Node) Status() status.Document {
	pub := n.inForce()
	now := n.clock()
	doc := status.Document{
		GeneratedAt: time.Now().UTC(),
		Config:      status.Config{Revision: pub.Document.Revision, UpdatedAt: pub.at.UTC(), Author: pub.author},
		Providers:   make(map[string]status.Provider, len(pub.Plans)),
	}
	var cached status.Cache
	var hits, asked uint64
	var total, passedFairness, rejectedGlobal, rejectedPerIP float64
	for _, p := range pub.Plans {
		s := p.Metrics.Stats()
		provider := n.providerStatus(pub.Document, p, s, now)
		doc.Providers[p.Name] = provider
		cached.Entries += provider.Cache.Entries
		cached.Bytes += provider.Cache.Bytes
		cached.Evictions += provider.Cache.Evictions
		hits += s.Recent.CacheHits
		asked += s.Recent.CacheHits + s.Recent.CacheMisses
		total += s.PerSecond(s.Recent.Requests)
		rejectedPerIP += s.PerSecond(s.Recent.Rejected[verdict.PerIP])
		rejectedGlobal += s.PerSecond(s.Recent.Rejected[verdict.Global])
		passedFairness += s.PerSecond(s.Recent.Passed)
	}
	if l := pub.Document.RateLimit.Global; l != nil {
		doc.Limits.Global = limitStatus(*l, pub.Global.Peek(now), passedFairness, rejectedGlobal)
	}
	if l := pub.Document.RateLimit.PerIP; l != nil {
		// How much is left differs from client to client; a new one has it all.
		fresh := limit.Decision{Remaining: l.Burst}
		if perSecond(l.Rate) == 0 {
			fresh.Remaining = 0
		}
		doc.Limits.PerIP = limitStatus(l.Limit, fresh, passedFairness, rejectedPerIP)
		doc.Limits.PerIP.Utilisation = 0
	}
	cached.HitRatio = ratio(hits, asked)
	self := n.nodeStatus(pub, total)
	self.Cache = cached
	doc.Nodes = []status.Node{self}
	return doc
}

func (n *Node) nodeStatus(pub *published, rate float64) status.Node {
	s := status.Node{
		ID:                n.id,
		Incarnation:       n.incarnation,
		State:             status.Live,
		Version:           n.options.Version,
		Revision:          pub.Document.Revision,
		Mode:              n.mode(),
		RequestsPerSecond: round(rate),
		InFlight:          n.proxy.InFlight(),
	}
	s.Address = n.advertised()
	if n.draining.Load() {
		s.State = status.Draining
	}
	return s
}

func (n *Node) providerStatus(doc *config.Document, p *snapshot.Plan, s metrics.Stats, now int64) status.Provider {
	b := p.Breaker.Stats(now)
	out := status.Provider{
		State:             b.State.String(),
		Failures:          b.Failures,
		Breaker:           n.breakerStatus(b),
		RequestsPerSecond: round(s.PerSecond(s.Recent.Requests)),
		SuccessRatio:      1,
		LatencyMS:         status.Latency{Avg: round(s.Latency.Avg), P50: round(s.Latency.P50), P95: round(s.Latency.P95), P99: round(s.Latency.P99)},
		RetriesPerSecond:  round(s.PerSecond(s.Recent.Retries)),
		Credential:        "ok",
	}
	used := n.state.Cache().Usage(p.CacheOwner)
	out.Cache = status.Cache{
		HitRatio: ratio(s.Recent.CacheHits, s.Recent.CacheHits+s.Recent.CacheMisses),
		Entries:  used.Entries, Bytes: used.Bytes, Evictions: used.Evictions,
	}
	if s.Recent.Requests > 0 {
		out.SuccessRatio = ratio(s.Recent.Success, s.Recent.Requests)
	}
	if p.Credential == nil {
		out.Credential = "missing"
	}
	if l := doc.RateLimit.PerProvider[p.Name]; l != nil {
		out.Limit = limitStatus(*l, p.Limit.Peek(now), s.PerSecond(s.Recent.Attempts), s.PerSecond(s.Recent.Rejected[verdict.PerProvider]))
	}
	return out
}

func (n *Node) breakerStatus(b breaker.Stats) status.Breaker {
	s := status.Breaker{State: b.State.String(), Failures: b.Failures}
	at := func(ns int64) *time.Time {
		t := n.started.Add(time.Duration(ns)).UTC()
		return &t
	}
	if b.State != verdict.Closed {
		s.OpenedAt = at(b.OpenedAt)
	}
	if b.State == verdict.Open && b.RetryAt != 0 {
		s.RetryAt = at(b.RetryAt)
	}
	if f := b.Forced; f != nil {
		s.Forced = &status.Forced{State: f.State, Reason: f.Reason, Author: f.Author, Until: f.Until}
	}
	return s
}

func limitStatus(l config.Limit, d limit.Decision, admitted, rejected float64) *status.Limit {
	rate := perSecond(l.Rate)
	s := &status.Limit{
		Rate:              rate,
		Burst:             l.Burst,
		Available:         d.Remaining,
		AdmittedPerSecond: round(admitted),
		RejectedPerSecond: round(rejected),
	}
	if rate > 0 {
		s.Utilisation = min(round(admitted/rate), 1) // a burst is admitted faster than it is earned
	}
	return s
}

func perSecond(r config.Rate) float64 {
	num, den := r.PerSecond()
	return float64(num) / float64(den)
}

func ratio(part, whole uint64) float64 {
	if whole == 0 {
		return 0
	}
	return round(float64(part) / float64(whole))
}

// round keeps three decimals: more is noise to whoever reads the page.
func round(f float64) float64 { return math.Round(f*1000) / 1000 }
