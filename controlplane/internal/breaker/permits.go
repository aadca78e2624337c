package breaker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"apiproxy.internal/shared/wire"
)

// node is what the leader knows of a node.
type node struct {
	Node
	heard    time.Time
	evidence wire.Evidence
	granted  uint64 // permits given since the node's start, by this leader or an earlier one
	dealt    uint64 // Machine.deals at the last permit
}

// most bounds what a report may say: nonsense must not overflow a sum.
const most = 1 << 30

// take replaces the evidence. A node that knows of more permits than its leader
// has them from an earlier leader, or from before it was silent for too long.
func (n *node) take(now time.Time, from Node, e wire.Evidence) {
	for _, count := range []*int{&e.Failures, &e.OK, &e.Bad, &e.Own, &e.Wants} {
		*count = min(max(*count, 0), most)
	}
	e.Done = min(e.Done, e.Granted)
	n.Node, n.heard, n.evidence = from, now, e
	n.granted = max(n.granted, e.Granted)
}

// out is how many probes the node may be sending.
func (n *node) out() uint64 {
	return min(n.granted-n.evidence.Done, most) + uint64(n.evidence.Own)
}

// Outstanding is how many probes the nodes may be sending at now, as far as
// anyone can know.
func (m *Machine) Outstanding(now time.Time) uint64 {
	var sum uint64
	for _, n := range m.nodes {
		if !m.silent(now, n) {
			sum += n.out()
		}
	}
	return sum
}

// silent says that whatever node n was given has ended by now, heard of or not,
// so that others may have it. What never reached the node is void: told after
// its return, it would be in use twice.
func (m *Machine) silent(now time.Time, n *node) bool {
	return now.Sub(n.heard) > m.silence()
}

// deal gives free permits to nodes, and returns who got some: first to those
// that want them, one each and those first that had none for longest; then to
// nodes drawn by lot that have none, so that a request finds one wherever it
// comes. A want that cannot be met recalls the permits that lie unused: they
// are not renewed until all of them have ended, even if the want ends before.
func (m *Machine) deal(now time.Time) []string {
	if m.state != wire.BreakerHalfOpen || len(m.missing) > 0 {
		return nil
	}
	free, ready := m.free(now), m.ready(now)
	var got []string
	give := func(n *node) {
		m.deals++
		n.granted++
		n.dealt = m.deals
		free--
		if !slices.Contains(got, n.ID) {
			got = append(got, n.ID)
		}
	}
	slices.SortFunc(ready, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.dealt, b.dealt), cmp.Compare(a.ID, b.ID))
	})
	for before := uint64(0); free > 0 && free != before; {
		before = free
		for _, n := range ready {
			if free > 0 && n.wanting() > 0 {
				give(n)
			}
		}
	}
	if free == 0 {
		if slices.ContainsFunc(ready, func(n *node) bool { return n.wanting() > 0 }) {
			m.recall = now.Add(wire.PermitLease)
		}
		return got
	}
	m.random.Shuffle(len(ready), func(i, j int) { ready[i], ready[j] = ready[j], ready[i] })
	for _, n := range ready {
		if free > 0 && n.out() == 0 {
			give(n)
		}
	}
	return got
}

func (m *Machine) free(now time.Time) uint64 {
	limit := uint64(m.config.HalfOpenRequests)
	return limit - min(limit, m.Outstanding(now))
}

// wanting is how many permits the node wants beyond those on the way to it.
func (n *node) wanting() uint64 {
	wants := uint64(n.evidence.Wants)
	return wants - min(wants, n.granted-n.evidence.Granted)
}

// ready are the nodes that can make use of a permit at now. One that has not
// answered to this leader's epoch would still listen to the one before.
func (m *Machine) ready(now time.Time) []*node {
	return slices.DeleteFunc(slices.Collect(maps.Values(m.nodes)), func(n *node) bool {
		return n.Epoch != m.epoch || n.evidence.Generation != m.gen || n.Draining || now.Sub(n.heard) > dealWithin
	})
}

// Probes is what an answer at now to the last report of node id tells of this
// breaker, but for the provider's name. It is told again until the node knows of
// all permits, and to renew unused ones as long as nobody waits for one.
func (m *Machine) Probes(now time.Time, id string) (p wire.Probes, ok bool) {
	n := m.nodes[id]
	if n == nil || n.Epoch != m.epoch || n.granted == n.evidence.Done {
		return p, false
	}
	if n.granted == n.evidence.Granted && (m.state != wire.BreakerHalfOpen || n.Draining || now.Before(m.recall)) {
		return p, false
	}
	return wire.Probes{Generation: m.gen, Granted: n.granted}, true
}
