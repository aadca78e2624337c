// Package snapshot turns a configuration document into the tables that the
// request path reads, and keeps apart from them what must outlive a change:
// buckets, breakers, connection pools, counters. No stage imports it.
package snapshot

import (
	"net/netip"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/clientaddr"
	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/retry"
	"apiproxy.internal/dataplane/internal/route"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/shared/config"
)

// Snapshot is one configuration, compiled. Immutable: a request loads it once
// and uses it to its end.
type Snapshot struct {
	Document *config.Document
	Routes   *route.Table[*Plan]
	Plans    []*Plan // by name

	PerIP       *limit.AddrTable // nil = unlimited
	PerIPPolicy limit.Policy
	Suspects    *lease.Suspects // notes what addresses take; nil = the node is on its own
	Global      *Limit          // nil = unlimited

	Trusted     clientaddr.Trusted
	Allowed     []netip.Prefix // empty = everyone
	MaxBody     int64          // bytes
	MaxInFlight int64          // requests
	ServeStale  bool           // a copy where a provider's limit refuses
}

// Plan is all that a request to one provider needs.
type Plan struct {
	Name string

	Limit *Limit // nil = unlimited

	Breaker *breaker.Breaker
	Retry   retry.Policy
	Budget  *retry.Budget

	Pool     *upstream.Pool
	Timeouts upstream.Timeouts
	Total    time.Duration // of a whole request; 0 = no bound

	Credential      *credential.Credential // nil while the key is missing
	CredentialError error                  // says what to set

	Cache      cache.Rules
	CacheOwner store.Owner
	RPC        *RPC // nil = the provider does not speak JSON-RPC

	Metrics *metrics.Provider
}

// Allows reports whether the allow list lets the client in.
func (s *Snapshot) Allows(client netip.Addr) bool {
	for _, p := range s.Allowed {
		if p.Contains(client) {
			return true
		}
	}
	return len(s.Allowed) == 0
}
