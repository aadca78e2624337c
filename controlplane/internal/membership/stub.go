// Package membership is a stand-in until the real one is there.
package membership

import (
	"sort"
	"time"

	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

type Sighting struct {
	Node, Incarnation, State, Address, Version string
	TLS                                        bool
}
type Probe struct {
	Node, Incarnation, Address string
	TLS                        bool
}
type Event struct {
	Joined, Left bool
	Node, Reason string
}
type Member struct {
	Sighting
	Silence time.Duration
}
type Members struct {
	m map[string]*rec
}
type rec struct {
	Sighting
	heard time.Time
}

func New() *Members                                       { return &Members{m: map[string]*rec{}} }
func (m *Members) Restore(now time.Time, r []wire.Member) {}
func (m *Members) Observe(now time.Time, s Sighting) ([]Event, string) {
	old := m.m[s.Node]
	if old == nil {
		m.m[s.Node] = &rec{s, now}
		return []Event{{Joined: true, Node: s.Node}}, ""
	}
	if s.Address == "" {
		s.Address, s.Version = old.Address, old.Version
	}
	old.Sighting, old.heard = s, now
	if s.State == status.Gone {
		delete(m.m, s.Node)
		return []Event{{Left: true, Node: s.Node, Reason: "said goodbye"}}, ""
	}
	return nil, ""
}
func (m *Members) Sweep(now time.Time) (all []Event) {
	for id, r := range m.m {
		if now.Sub(r.heard) > 10*time.Second {
			delete(m.m, id)
			all = append(all, Event{Left: true, Node: id, Reason: "silent"})
		}
	}
	return all
}
func (m *Members) Live() (ids []string) {
	for id := range m.m {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}
func (m *Members) List(now time.Time) (all []Member) {
	for _, id := range m.Live() {
		all = append(all, Member{m.m[id].Sighting, now.Sub(m.m[id].heard)})
	}
	return all
}
