// Package leader is the mind of the cluster: it takes in what nodes report,
// operators order and time brings, and says what follows. It puts the pure
// machines of membership, breakers, limits and rollouts together, and does no
// input or output: what is to be done goes to its Effects.
package leader

import (
	"time"

	"apiproxy.internal/controlplane/internal/breaker"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/controlplane/internal/rollout"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Effects carry out what the leader decides. They must not call it back and
// should return at once.
type Effects interface {
	// Answer sends an answer to a node. One that is lost does no harm.
	Answer(node string, a wire.Answer)
	// WriteBreaker and DropHold and WriteMember store something, in the order of
	// the calls.
	WriteBreaker(provider string, e wire.BreakerEntry)
	DropHold(provider string)
	WriteMember(m wire.Member)
	// Probe finds out whether an incarnation still lives at its address and
	// reports that by Leader.Probed.
	Probe(p membership.Probe)
	// Event announces something; data has a "time".
	Event(name string, data any)
	// Refused counts a report that was not believed.
	Refused(reason string)
}

// Leader is what a leader knows. Not safe for simultaneous use: see Loop. Times
// come from time.Now, with their monotonic clock.
type Leader struct {
	effects Effects
	epoch   uint64
	random  func() uint64

	members  *membership.Members
	rollout  *rollout.Rollout
	nodes    map[string]*node
	breakers map[string]*breaker.Machine
	restored Restored

	doc    *config.Document // in force; nil = none
	origin status.Config
}

// node is the last that a node said.
type node struct {
	last     wire.Report
	stats    *wire.Stats
	answered time.Time
}

// Restored is what a leader finds when it begins.
type Restored struct {
	Epoch    uint64 // its own: higher than any before
	Members  []wire.Member
	Breakers map[string]wire.BreakerEntry
	Holds    map[string]wire.Hold
}

// New begins to lead at now.
func New(now time.Time, r Restored, e Effects) *Leader {
	l := &Leader{
		effects:  e,
		epoch:    r.Epoch,
		members:  membership.New(),
		rollout:  rollout.New(),
		nodes:    make(map[string]*node),
		breakers: make(map[string]*breaker.Machine),
		restored: r,
	}
	l.members.Restore(now, r.Members)
	return l
}

// Epoch is the number of this leader's term.
func (l *Leader) Epoch() uint64 { return l.epoch }

// Report takes in what the node that NATS knows by the name of from reports.
func (l *Leader) Report(now time.Time, from string, r wire.Report) {
	if r.Node != from || !wire.ValidNode(from) {
		l.effects.Refused("foreign")
		return
	}
	seen, rejected := l.members.Observe(now, membership.Sighting{
		Node: r.Node, Incarnation: r.Incarnation, State: r.State, Address: address(r), TLS: r.Stats != nil && r.Stats.TLS, Version: version(r),
	})
	l.membership(now, seen)
	if rejected != "" {
		l.effects.Refused("duplicate_id")
		l.effects.Answer(from, wire.Answer{Head: wire.Now(), Incarnation: r.Incarnation, Nonce: r.Nonce, Epoch: l.epoch, Rejected: rejected})
		return
	}
	n := l.nodes[r.Node]
	switch {
	case n == nil || n.last.Incarnation != r.Incarnation:
		n = &node{}
		l.nodes[r.Node] = n
	case r.Nonce <= n.last.Nonce:
		return // doubled, or overtaken by a newer one
	}
	n.last = r
	if r.Stats != nil {
		n.stats = r.Stats
	}
	l.applied(now, r)
	for name, b := range l.breakers {
		l.breaker(now, name, b.Report(now, breaker.Node{
			ID: r.Node, Incarnation: r.Incarnation, Nonce: r.Nonce, Epoch: r.Epoch, Draining: r.State != status.Live,
		}, r.Evidence(name)))
	}
	if r.State != status.Gone {
		l.answer(now, n, false)
	}
}

// applied notes which configuration a node runs.
func (l *Leader) applied(now time.Time, r wire.Report) {
	var refused wire.Refusal
	if r.Refused != nil {
		refused = *r.Refused
	}
	if !l.rollout.Report(r.Node, r.Revision, refused.Revision, refused.Reason) || r.Revision == 0 && refused.Revision == 0 {
		return
	}
	l.effects.Event(events.ConfigApplied, configApplied{now.UTC(), r.Node, r.Revision, refused.Revision, refused.Reason})
}

type configApplied struct {
	Time     time.Time `json:"time"`
	Node     string    `json:"node"`
	Revision uint64    `json:"revision"`
	Refused  uint64    `json:"refused,omitempty"` // a newer one that the node could not use
	Reason   string    `json:"reason,omitempty"`
}

// Tick does what the time brings: call it about every 50 ms.
func (l *Leader) Tick(now time.Time) {
	l.membership(now, l.members.Sweep(now))
	for name, b := range l.breakers {
		l.breaker(now, name, b.Tick(now))
	}
}

// Configure brings a published configuration into force.
func (l *Leader) Configure(now time.Time, doc *config.Document, origin status.Config) {
	if origin.Revision <= l.origin.Revision {
		return
	}
	l.doc, l.origin = doc, origin
	l.rollout.Published(origin.Revision, l.members.Live())
	l.configureBreakers(now)
}

// answerEvery is how often a node hears of the leader when there is nothing to
// tell: a quarter of the time after which it takes the leader for silent.
const answerEvery = 500 * time.Millisecond

// answer answers the node's last report if there is something to learn from
// that, or if it has not heard of the leader for a while.
func (l *Leader) answer(now time.Time, n *node, must bool) {
	a := wire.Answer{
		Head:        wire.Now(),
		Incarnation: n.last.Incarnation,
		Nonce:       n.last.Nonce,
		Epoch:       l.epoch,
		Revision:    l.rollout.Newest(),
		Nodes:       len(l.members.Live()),
	}
	for name, b := range l.breakers {
		if p, ok := b.Probes(now, n.last.Node); ok {
			p.Provider = name
			a.Probes = append(a.Probes, p)
		}
		if entry := b.Entry(now); n.last.Evidence(name).Compare(entry.Generation) < 0 {
			a.Breakers = append(a.Breakers, wire.NamedEntry{Provider: name, BreakerEntry: entry})
		}
	}
	news := len(a.Probes)+len(a.Breakers) > 0 || n.last.Epoch != l.epoch || n.last.Revision != a.Revision
	if must || news || now.Sub(n.answered) >= answerEvery {
		n.answered = now
		l.effects.Answer(n.last.Node, a)
	}
}

func address(r wire.Report) string {
	if r.Stats == nil {
		return ""
	}
	return r.Stats.Address
}

func version(r wire.Report) string {
	if r.Stats == nil {
		return ""
	}
	return r.Stats.Version
}
