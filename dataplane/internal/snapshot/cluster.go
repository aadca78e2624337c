package snapshot

import (
	"cmp"
	"slices"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/wire"
)

// Membership is what a state needs as part of a cluster.
type Membership struct {
	Notify func()                 // called when something about a breaker cannot wait for the next report; must return at once
	Bell   chan<- struct{}        // rung when a lease runs low
	Time   func() lease.Time      // the node's clock and the machine's
	Saved  map[string]quota.Saved // leases of the process before; see Leases.Resume

	// AddrKey is the key with which client addresses are hashed for the wire, the
	// same on all nodes.
	AddrKey [16]byte
}

// Join makes the state part of a cluster: breakers then follow the leader's word,
// and limits are leased. It comes before the first Apply.
func (s *State) Join(m Membership) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = m.Notify
	s.imposed = make(map[string]wire.BreakerEntry)
	s.suspects = lease.NewSuspects(m.AddrKey)
	s.leases = &leases{bell: m.Bell, time: m.Time, saved: m.Saved, byName: make(map[string]*lease.Lease)}
}

// newBreaker is a provider's breaker, with what the leader has said about it
// before the configuration named the provider.
func (s *State) newBreaker(name string, config breaker.Config, now int64) *breaker.Breaker {
	b := breaker.New(config)
	if s.notify == nil {
		return b
	}
	b.Join(s.notify)
	if e, ok := s.imposed[name]; ok {
		b.Impose(now, e)
	}
	return b
}

// Impose passes on the leader's word about a provider's breaker.
func (s *State) Impose(provider string, now int64, e wire.BreakerEntry) breaker.Transition {
	s.mu.Lock()
	if e.Compare(s.imposed[provider].Generation) > 0 {
		s.imposed[provider] = e
	}
	st := s.providers[provider]
	s.mu.Unlock()
	if st == nil {
		return breaker.Transition{}
	}
	return st.breaker.Impose(now, e)
}

// Grant passes on permits to probe, given in the answer to the report with that
// nonce.
func (s *State) Grant(now, nonce int64, p wire.Probes) {
	s.mu.Lock()
	st := s.providers[p.Provider]
	s.mu.Unlock()
	if st != nil {
		st.breaker.Grant(now, nonce, p)
	}
}

// Follow tells all breakers whether the leader is heard and how many nodes there
// are. tell hears of what changes by it.
func (s *State) Follow(heard bool, nodes int, tell func(provider string, t breaker.Transition)) {
	for _, b := range s.breakers() {
		tell(b.name, b.Follow(heard, nodes))
	}
}

// Evidence is what a report says of the breakers, by provider; those that have
// nothing to tell are left out.
func (s *State) Evidence(now int64) []wire.Evidence {
	var all []wire.Evidence
	for _, b := range s.breakers() {
		e := b.Evidence(now)
		if e != (wire.Evidence{}) {
			e.Provider = b.name
			all = append(all, e)
		}
	}
	return all
}

type namedBreaker struct {
	name string
	*breaker.Breaker
}

// breakers are those of all providers that there are or were, by name.
func (s *State) breakers() []namedBreaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]namedBreaker, 0, len(s.providers))
	for name, st := range s.providers {
		all = append(all, namedBreaker{name, st.breaker})
	}
	slices.SortFunc(all, func(a, b namedBreaker) int { return cmp.Compare(a.name, b.name) })
	return all
}
