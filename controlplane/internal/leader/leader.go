// Package leader is the mind of the cluster: it takes in what nodes report,
// operators order and time brings, and says what follows. It puts the pure
// machines of membership, breakers, limits and rollouts together, and does no
// input or output: what is to be done goes to its Effects.
package leader

import (
	"time"

	"apiproxy.internal/controlplane/internal/breaker"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/ledger"
	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/controlplane/internal/rollout"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Effects carry out what the leader decides. They must not call it back and
// should return at once.
type Effects interface {
	// Answer sends an answer to a node. One that is lost does no harm.
	Answer(node string, a wire.Answer)
	// WriteBreaker, DropHold, WriteMember and DropMember store something, in the
	// order of the calls. A WriteMember that succeeds is followed by
	// Leader.MemberStored.
	WriteBreaker(provider string, e wire.BreakerEntry)
	DropHold(provider string)
	WriteMember(m wire.Member)
	DropMember(node string)
	// Renew renews the leadership at once, and calls Leader.Confirmed.
	Renew()
	// Probe finds out who lives at an address, and calls Leader.Probed.
	Probe(p membership.Probe)
	// Event announces something; data has a "time".
	Event(name string, data any)
	// Ahead says that a node runs a revision that this leader has never seen: the
	// store has lost some.
	Ahead(revision uint64)
	// Refused counts a report that was not believed.
	Refused(reason string)
}

// Leader is what a leader knows. Not safe for simultaneous use: see Loop. Times
// come from time.Now, with their monotonic clock.
type Leader struct {
	effects  Effects
	restored Restored
	epoch    uint64
	began    time.Time

	members   membership.Members
	forgotten map[string]bool // gone for long; deleted when they hold nothing
	rollout   *rollout.Rollout
	nodes     map[string]*node
	breakers  map[string]*breaker.Machine // by provider
	limits    map[string]*ledger.Ledger   // by name on the wire
	refusing  map[string]refusing         // by the same
	addresses *ledger.Addresses           // nil = there is no limit per address
	purges    []wire.Purge                // as stored

	later uint64 // see Outranked

	deaf   bool             // there is no connection to NATS: silence says nothing
	doc    *config.Document // in force; nil = none
	origin status.Config

	ticks  int
	ticked time.Time // the last one
}

// node is the newest incarnation of a node and the last that it said.
type node struct {
	incarnation string
	ordinal     uint64 // of the incarnation
	stored      bool   // the incarnation is in the durable list of members
	dead        bool   // by proof
	buried      bool   // and that is in the durable list
	last        wire.Report
	stats       *wire.Stats
	answered    time.Time
}

// Restored is what a leader finds when it begins.
type Restored struct {
	Epoch    uint64 // its own: higher than any before
	Members  []wire.Member
	Breakers map[string]wire.BreakerEntry
	Holds    map[string]wire.Hold
	Purges   []wire.Purge
	Longest  time.Duration // the longest hold of a limit that an earlier leader may have promised
	Lost     bool          // some Members may be missing
}

// New begins to lead at now.
func New(now time.Time, r Restored, e Effects) *Leader {
	l := &Leader{
		effects:   e,
		restored:  r,
		epoch:     r.Epoch,
		began:     now,
		ticked:    now,
		forgotten: make(map[string]bool),
		rollout:   rollout.New(),
		nodes:     make(map[string]*node),
		breakers:  make(map[string]*breaker.Machine),
		limits:    make(map[string]*ledger.Ledger),
		refusing:  make(map[string]refusing),
		purges:    r.Purges,
	}
	l.members.Seed(r.Members, l.clock(now))
	for _, m := range l.members.List() {
		l.begin(m.ID, m.Incarnation)
		n := l.nodes[m.ID]
		n.stored, n.dead, n.buried = !m.Dead(), m.Dead(), m.Dead()
	}
	return l
}

// Again begins to lead anew at now, above the epoch that outranked this one. As after
// any takeover what the nodes hold is theirs until they say less. Why there was such
// an epoch is not known; it may be that the store is older than the nodes.
func (l *Leader) Again(now time.Time, r Restored) {
	doc, origin, deaf := l.doc, l.origin, l.deaf
	r.Lost = true
	*l = *New(now, r, l.effects)
	l.deaf = deaf
	if doc != nil {
		l.Configure(now, doc, origin)
	}
}

// clock is now in nanoseconds since this leader began.
func (l *Leader) clock(now time.Time) int64 { return int64(now.Sub(l.began)) }

// restoredMembers are the nodes that an earlier leader may have given something.
func (l *Leader) restoredMembers() (all []ledger.Member) {
	for _, m := range l.members.List() {
		if n := l.nodes[m.ID]; n != nil && !m.Dead() {
			all = append(all, ledger.Member{ID: m.ID, Incarnation: n.ordinal})
		}
	}
	return all
}

// Epoch is the number of this leader's term.
func (l *Leader) Epoch() uint64 { return l.epoch }

// Outranked is the epoch of another leader that nodes obey, which is not below this
// one's; 0 = there is none. From then on this one promises nothing. If nobody else
// leads, it is to lead Again.
func (l *Leader) Outranked() uint64 { return l.later }

// lost is how long after its begin a leader looks for nodes that know its epoch from
// another. Later they would be nodes that it has known itself and has forgotten.
const lost = time.Minute

// notice looks whom n obeys.
func (l *Leader) notice(now time.Time, n *node) {
	other := n.last.Epoch == l.epoch && n.answered.IsZero() && now.Sub(l.began) < lost
	if other || ledger.IsLater(n.last.Epoch, l.epoch) {
		l.later = max(l.later, n.last.Epoch)
	}
}

// Report takes in what the node that NATS knows by the name of from reports.
func (l *Leader) Report(now time.Time, from string, r wire.Report) {
	if r.Node != from {
		l.effects.Refused("foreign")
		return
	}
	seen := l.members.Observe(sighting(r), l.clock(now))
	l.membership(now, seen)
	if seen.Rejected != "" {
		l.effects.Answer(from, wire.Answer{Head: wire.Now(), Incarnation: r.Incarnation, Nonce: r.Nonce, Epoch: l.epoch, Rejected: seen.Rejected})
		return
	}
	n := l.nodes[r.Node]
	if !seen.Accepted || n == nil {
		return
	}
	n.last = r
	l.notice(now, n)
	if r.Stats != nil {
		n.stats = r.Stats
	}
	if r.Revision > l.rollout.Newest() {
		l.effects.Ahead(r.Revision)
	}
	l.applied(now, r)
	for name, b := range l.breakers {
		l.breaker(now, name, b.Report(now, breaker.Node{
			ID: r.Node, Incarnation: r.Incarnation, Nonce: r.Nonce, Epoch: r.Epoch, Draining: r.State != status.Live,
		}, r.Evidence(name)))
	}
	limits := l.book(now, n, &r)
	if r.State != status.Gone {
		l.answer(now, n, told{limits, l.judge(now, &r)}, false)
	}
}

func sighting(r wire.Report) membership.Report {
	s := membership.Report{Node: r.Node, Incarnation: r.Incarnation, Nonce: r.Nonce, State: r.State}
	if r.Stats != nil {
		s.Address, s.TLS, s.Version = r.Stats.Address, r.Stats.TLS, r.Stats.Version
	}
	return s
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

// ticksPerSecond is how often Tick is called, more or less.
const ticksPerSecond = 50

// late is the pause between two ticks after which it was this process that did
// not run: the reports of that time lie unread, and their senders were not silent.
const late = 500 * time.Millisecond

// Tick does what the time brings: call it every 20 ms.
func (l *Leader) Tick(now time.Time) {
	if l.deaf || now.Sub(l.ticked) > late {
		l.members.Excuse(l.clock(now))
	}
	l.ticked = now
	l.membership(now, l.members.Sweep(l.clock(now)))
	for name, b := range l.breakers {
		l.breaker(now, name, b.Tick(now))
	}
	if l.ticks++; l.ticks%ticksPerSecond == 0 {
		for _, b := range l.limits {
			b.Tick(l.clock(now))
		}
		if l.addresses != nil {
			l.addresses.Tick(l.clock(now))
		}
		l.exhausted(now)
		l.forget()
		l.storeAgain(now)
	}
}

// Connected says whether NATS can be heard. When it can be heard again, what the
// nodes missed to say is forgiven, and the memory of NATS may be gone.
func (l *Leader) Connected(now time.Time, connected bool) {
	l.deaf = !connected
	if connected {
		l.members.Excuse(l.clock(now))
		for name, b := range l.breakers {
			l.effects.WriteBreaker(name, b.Entry(now))
		}
	}
}

// Configure brings a published configuration into force.
func (l *Leader) Configure(now time.Time, doc *config.Document, origin status.Config) {
	if origin.Revision <= l.origin.Revision {
		return
	}
	first := l.doc == nil
	l.doc, l.origin = doc, origin
	l.rollout.Published(origin.Revision, l.live())
	l.configureBreakers(now)
	l.configureLimits(now, first)
}

// told is what the books answer to one report.
type told struct {
	limits   map[string]quota.Answer
	verdicts []quota.Verdict
}

// answerEvery is how often a node hears of the leader when there is nothing to
// tell: a quarter of the time after which it takes the leader for silent.
const answerEvery = 500 * time.Millisecond

// answer answers the node's last report if there is something to learn from
// that, or if it has not heard of the leader for a while.
func (l *Leader) answer(now time.Time, n *node, t told, must bool) {
	a := wire.Answer{
		Head:        wire.Now(),
		Incarnation: n.last.Incarnation,
		Nonce:       n.last.Nonce,
		Epoch:       l.epoch,
		Revision:    l.rollout.Newest(),
		Nodes:       l.members.Present(),
		Limits:      t.limits,
		Verdicts:    t.verdicts,
		Purges:      l.untold(&n.last),
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
	news := len(a.Probes)+len(a.Breakers)+len(a.Limits)+len(a.Verdicts)+len(a.Purges) > 0 || n.last.Epoch != l.epoch || n.last.Revision != a.Revision
	if must || news || now.Sub(n.answered) >= answerEvery {
		n.answered = now
		l.effects.Answer(n.last.Node, a)
	}
}
