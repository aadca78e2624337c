// Package membership knows which nodes there are: who reports, who has fallen
// silent, and of whom it is proven that he is dead. It decides; the caller probes
// addresses, writes the bucket and tells the world (Outcome says what).
//
// A node is live while it reports, suspect after 1.5 s of silence and gone after
// 10 s or proof of death. Silence is no proof: a node that is cut off goes on
// serving. Proof is that it said goodbye, that its id started again, that its
// address refuses connections or answers as another process, or that an operator
// says so.
//
// Two processes with one id: while the first is heard, the second one is let in
// only if a probe finds that the first is dead.
package membership

import (
	"maps"
	"slices"
	"time"

	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

const (
	// SuspectAfter is the silence after which a node is suspect.
	SuspectAfter = 1500 * time.Millisecond
	// GoneAfter is the silence after which it is gone.
	GoneAfter = 10 * time.Second
	// ForgetAfter is how long a node that is gone is still listed.
	ForgetAfter = time.Hour
	// MaxNodes bounds the memory against a flood of ids: beyond it the node that has
	// been gone longest is forgotten, and if none is gone, new ones are refused.
	MaxNodes = 4096

	reprobe     = time.Second      // between two probes of a suspect
	reprobeGone = 10 * time.Second // of a node that is gone without proof
	bothAlive   = 500 * time.Millisecond
	maxProbes   = 32  // outstanding at once
	maxDead     = 8   // incarnations remembered per node
	maxText     = 256 // bytes of an address or a version
)

// Report is what membership reads of a node's report.
type Report struct {
	Node        string
	Incarnation string
	Nonce       int64  // grows within an incarnation
	State       string // status.Live, Draining, or Gone for a goodbye
	Address     string // host:port of /health; empty: as before
	TLS         bool   // of that address
	Version     string // empty: as before
}

// Node is one node as it is known.
type Node struct {
	ID          string
	Incarnation string
	Address     string // empty: not known
	TLS         bool
	Version     string
	State       string // status.Live, Suspect, Draining or Gone
	Seen        int64  // the last sign of life, in the caller's nanoseconds
	Reason      string // for Gone
}

// Dead reports whether the node's death is proven.
func (n Node) Dead() bool { return n.State == status.Gone && n.Reason != ReasonSilent }

// Left reports whether the node is gone as was meant, so that nobody has to look
// for it.
func (n Node) Left() bool {
	return n.State == status.Gone && (n.Reason == ReasonLeft || n.Reason == ReasonConfirmed)
}

// Members are all nodes. The zero value has none. Not safe for simultaneous use;
// every now is in nanoseconds of one clock that does not go back.
type Members struct {
	nodes  map[string]*member
	probes int // outstanding
}

type member struct {
	Node
	nonce    int64
	draining bool     // said so; a suspect that is back is draining again
	changed  int64    // when State became what it is
	probed   int64    // when the last probe was asked for; valid if hasProbed
	probing  string   // the incarnation that is being probed; empty: none
	dead     []corpse // processes that it has replaced, newest last

	rival challenge
}

// corpse is a process that has been replaced.
type corpse struct {
	incarnation string
	told        bool // that it is not dead after all
}

// challenge is a second process with the id of a node that is heard.
type challenge struct {
	report  Report // its newest; Incarnation is empty if there is none
	since   int64
	seen    int64
	refused bool // the node is alive; stays until the node is silent
	told    bool // the world knows
}

func (n *member) corpse(incarnation string) *corpse {
	for i := range n.dead {
		if n.dead[i].incarnation == incarnation {
			return &n.dead[i]
		}
	}
	return nil
}

// Observe takes a report.
func (m *Members) Observe(r Report, now int64) (out Outcome) {
	if !wire.ValidNode(r.Node) || r.Incarnation == "" || len(r.Incarnation) > 64 {
		return out
	}
	r.Address, r.Version = r.Address[:min(len(r.Address), maxText)], r.Version[:min(len(r.Version), maxText)]
	n := m.nodes[r.Node]
	switch {
	case n == nil:
		m.join(r, now, &out)
	case n.Incarnation == r.Incarnation:
		m.heard(n, r, now, &out)
	case n.State == status.Gone || silence(n, now) >= SuspectAfter:
		m.replace(n, r, ReasonRestarted, now, &out)
	case n.corpse(r.Incarnation) != nil:
		// It has been replaced, so it was late news or proven wrong about its death.
		n.refuse(r, &n.corpse(r.Incarnation).told, &out)
	default:
		m.challenge(n, r, now, &out)
	}
	return out
}

func silence(n *member, now int64) time.Duration { return time.Duration(now - n.Seen) }

// join takes a node in that is not known.
func (m *Members) join(r Report, now int64, out *Outcome) {
	if r.State == status.Gone {
		return // a goodbye of somebody who never was here
	}
	if len(m.nodes) >= MaxNodes && !m.forgetOldest(out) {
		out.Rejected = "the cluster has as many nodes as it can have; remove some, or confirm the death of those that are gone"
		out.Events = append(out.Events, Event{Kind: Refused, Node: r.Node, Incarnation: r.Incarnation, Address: r.Address, Reason: ReasonFull})
		return
	}
	if m.nodes == nil {
		m.nodes = map[string]*member{}
	}
	n := &member{Node: Node{ID: r.Node}}
	m.nodes[r.Node] = n
	n.begin(r, now)
	out.Accepted = true
	out.tell(n, Joined, "")
	out.write(n)
}

// begin makes a process the node.
func (n *member) begin(r Report, now int64) {
	n.Node = Node{ID: r.Node, Incarnation: r.Incarnation}
	n.probing, n.probed, n.rival = "", 0, challenge{}
	n.update(r, now)
	n.set(n.wanted(), now)
}

// update takes over what a report says, and reports whether the address is news.
func (n *member) update(r Report, now int64) (moved bool) {
	n.Seen, n.nonce, n.draining = now, r.Nonce, r.State == status.Draining
	if r.Version != "" {
		n.Version = r.Version
	}
	moved = r.Address != "" && (r.Address != n.Address || r.TLS != n.TLS)
	if moved {
		n.Address, n.TLS = r.Address, r.TLS
	}
	return moved
}

// wanted is the state of a node that is heard.
func (n *member) wanted() string {
	if n.draining {
		return status.Draining
	}
	return status.Live
}

func (n *member) set(state string, now int64) {
	n.State, n.changed, n.Reason = state, now, ""
}

// heard takes a report of the process that is the node.
func (m *Members) heard(n *member, r Report, now int64, out *Outcome) {
	if r.Nonce <= n.nonce {
		return // late, or for a second time
	}
	out.Accepted = true
	before, wasDraining := n.State, n.draining
	moved := n.update(r, now)
	if r.State == status.Gone {
		m.bury(n, ReasonLeft, now, out)
		return
	}
	wanted := n.wanted()
	if before != wanted {
		n.set(wanted, now)
	}
	switch before {
	case status.Gone:
		out.tell(n, Joined, "")
		out.write(n)
		return
	case status.Suspect:
		out.tell(n, Back, "")
	}
	if n.draining && !wasDraining {
		out.tell(n, Draining, "")
	}
	if moved || n.draining != wasDraining {
		out.write(n)
	}
}

// bury declares a node gone. A death by silence may be proven later.
func (m *Members) bury(n *member, reason string, now int64, out *Outcome) {
	if n.Dead() || n.State == status.Gone && reason == ReasonSilent {
		return
	}
	n.set(status.Gone, now)
	n.Reason = reason
	out.tell(n, Gone, reason)
	out.write(n)
}

// replace lets a new process have the id of one that is dead.
func (m *Members) replace(n *member, r Report, reason string, now int64, out *Outcome) {
	if r.State == status.Gone {
		return
	}
	if !n.Dead() {
		n.set(status.Gone, now)
		n.Reason = reason
		out.tell(n, Gone, reason)
	}
	n.dead = slices.DeleteFunc(n.dead, func(c corpse) bool { return c.incarnation == r.Incarnation })
	n.dead = append(n.dead, corpse{incarnation: n.Incarnation})
	n.dead = slices.Clone(n.dead[max(0, len(n.dead)-maxDead):])
	m.unprobe(n)
	n.begin(r, now)
	out.Accepted = true
	out.tell(n, Joined, ReasonRestarted)
	out.write(n)
}

// Confirm is an operator's word that a node is dead. It reports whether there is
// such a node.
func (m *Members) Confirm(id string, now int64) (out Outcome, found bool) {
	n := m.nodes[id]
	if n == nil {
		return out, false
	}
	if n.Dead() && !n.Left() { // known, and now somebody has seen to it
		n.Reason = ReasonConfirmed
		out.write(n)
	}
	m.bury(n, ReasonConfirmed, now, &out)
	return out, true
}

// Seed takes over what an earlier leader has written. Everybody gets the time to
// be heard; nothing is told. Call it before anything else.
func (m *Members) Seed(members []wire.Member, now int64) {
	m.nodes = map[string]*member{}
	for _, w := range members {
		if !wire.ValidNode(w.Node) || w.Incarnation == "" || len(m.nodes) >= MaxNodes {
			continue
		}
		n := &member{Node: Node{ID: w.Node, Incarnation: w.Incarnation, Address: w.Address, TLS: w.TLS, Version: w.Version}, nonce: -1 << 63}
		n.Seen, n.draining = now, w.State == status.Draining
		n.set(n.wanted(), now)
		if w.State == status.Gone {
			n.set(status.Gone, now)
			n.Reason = w.Reason
		}
		m.nodes[w.Node] = n
	}
}

// Excuse forgives all silence until now: it was the caller who did not hear.
func (m *Members) Excuse(now int64) {
	for _, n := range m.nodes {
		if n.State != status.Gone {
			n.Seen = now
		}
	}
}

// List is all nodes by id.
func (m *Members) List() []Node {
	all := make([]Node, 0, len(m.nodes))
	for _, id := range m.ids() {
		all = append(all, m.nodes[id].Node)
	}
	return all
}

// Present is how many nodes are not gone.
func (m *Members) Present() (count int) {
	for _, n := range m.nodes {
		if n.State != status.Gone {
			count++
		}
	}
	return count
}

// Get is one node.
func (m *Members) Get(id string) (Node, bool) {
	if n := m.nodes[id]; n != nil {
		return n.Node, true
	}
	return Node{}, false
}

func (m *Members) ids() []string { return slices.Sorted(maps.Keys(m.nodes)) }
