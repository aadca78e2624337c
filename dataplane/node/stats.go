package node

import (
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

// stats is what the status page of the cluster shows of this node.
func (n *Node) stats() *wire.Stats {
	pub := n.inForce()
	s := &wire.Stats{
		Address:  n.advertised(),
		TLS:      n.options.TLSCert != "",
		Version:  n.options.Version,
		Mode:     n.mode(),
		InFlight: n.proxy.InFlight(),
	}
	for _, p := range pub.Plans {
		m := p.Metrics.Stats()
		s.Passed += m.PerSecond(m.Recent.Passed)
		s.Providers = append(s.Providers, providerStats(p.Name, m, n.state.Cache().Usage(p.CacheOwner), p.Credential != nil))
	}
	return s
}

func providerStats(name string, m metrics.Stats, cached store.Usage, credential bool) wire.ProviderStats {
	rate := m.PerSecond
	return wire.ProviderStats{
		Name:             name,
		Requests:         rate(m.Recent.Requests),
		Success:          rate(m.Recent.Success),
		Retries:          rate(m.Recent.Retries),
		Attempts:         rate(m.Recent.Attempts),
		RejectedGlobal:   rate(m.Recent.Rejected[verdict.Global]),
		RejectedPerIP:    rate(m.Recent.Rejected[verdict.PerIP]),
		RejectedProvider: rate(m.Recent.Rejected[verdict.PerProvider]),
		CacheHits:        rate(m.Recent.CacheHits),
		CacheMisses:      rate(m.Recent.CacheMisses),
		CacheEntries:     cached.Entries,
		CacheBytes:       cached.Bytes,
		CacheEvictions:   cached.Evictions,
		Latency:          m.Histogram,
		Credential:       credential,
	}
}
