// Package ledger is the leader's side of one limit of the cluster: it knows
// which part of the limit each node can be holding at most, keeps what nobody
// holds in a pool, and divides by demand. Pure: times and messages are arguments
// and nothing is sent from here. Not safe for simultaneous use.
//
// The account of a node is what was handed to it minus what it said it handed
// back: an upper bound of what it holds, whatever was lost on the way. What
// keeps the sum of all accounts and the pool at the limit, exactly, is that every
// change of one is a change of the other. See package quota and docs/MODEL.md.
package ledger

import (
	"apiproxy.internal/shared/quota"
)

// Lead is how long a leader goes on without a confirmation that it still leads.
// It is longer than the four to nine seconds that NATS takes to elect a new
// Raft leader.
const Lead = 15 * quota.Second

// Takeover is what a new leader finds.
type Takeover struct {
	// Epoch is higher than that of every leader before, 1..2^32-1.
	Epoch uint64
	// Members are all nodes that may hold a part of the limit: the durable list,
	// without those that are written down as dead. A node is on it before it may
	// Join.
	Members []Member
	// Hold is the longest Params.Reclaim that an earlier leader may have used;
	// the present one counts anyway.
	Hold int64
	// Lost says that the list may lack some, because it was lost or is an old one.
	// Whoever Joins within Lead may hold a part as well, and nothing is free before.
	Lost bool
	// New says that no leader ever was: nobody holds anything, and the pool may
	// begin full.
	New bool
}

// IsLater reports whether a leader's epoch comes after ours. One that is far ahead
// is nonsense.
func IsLater(epoch, ours uint64) bool {
	return epoch > ours && epoch-ours < 1<<20 && epoch < 1<<32-1
}

// Member is a node and which start of it. Incarnations of a node only grow: of
// two, the lower one is over.
type Member struct {
	ID          string
	Incarnation uint64
}

// Ledger keeps the books of one limit.
type Ledger struct {
	params quota.Params
	rate   int64 // of the limit
	room   int64

	began     int64  // New's now
	term      uint64 // the newest given out
	confirmed int64  // the newest moment at which this leader surely led
	opened    int64  // when the newest term was given out
	later     uint64 // the epoch of a leader after this one that was seen; 0 = none

	members map[string]*member
	order   []*member     // the same
	held    quota.Holding // sum of members' held
	unknown quota.Holding // reserved for members that have not been heard yet
	unheard int           // how many those are
	missing int64         // until then there may be more that nobody has listed; 0 = there are none
	stray   stray         // what was reserved for those that were never heard
	longest int64         // what an earlier leader may have promised
	live    int           // members that keep books with us

	level int64 // tokens in the pool
	rest  int64 // of the last Earned
	at    int64 // the pool has earned up to here

	demand int64 // sum of members' demand
	need   int64 // sum of members' need

	refused uint64 // see Refused
}

// member is the account of one node.
type member struct {
	id          string
	incarnation uint64
	term        uint64 // of its books; 0 = the next report opens new ones
	opened      int64  // when term was given out
	came        int64  // when its incarnation began to keep books; 0 = not yet
	live        bool   // it has confirmed term
	unheard     bool   // after a takeover: what it holds is part of Ledger.unknown
	aged        bool   // held is what remains without an answer
	drop        bool   // it claimed too much: tell it to hand everything back
	dead        int64  // proof of death came then; 0 = none
	open        bool   // it may go on without end when it hears nobody
	stray       stray

	held quota.Holding // at most
	gave quota.Sum
	back quota.Sum

	report   uint64 // Seq of the newest
	answer   uint64 // Seq of the newest
	said     int64  // when this leader sent its newest answer
	promised int64  // until when the node may use its share by our answers
	answered int64  // said, or when an earlier leader may have answered last
	until    int64  // promised, or what an earlier leader may have promised

	demand, need      int64
	admitted, refused uint64
	counted           uint64 // of its refusals, all that are in Ledger.refused or older
	level             int64
	over              bool // it was told a bound of what to keep
}

// New opens the books at time now.
func New(now int64, p quota.Params, t Takeover) *Ledger {
	l := &Ledger{
		began: now, params: p, rate: p.Rate(), room: p.Room(),
		term: t.Epoch << 32, confirmed: now, at: now,
		members: make(map[string]*member),
	}
	if t.New {
		l.level = l.room
		return l
	}
	l.longest = t.Hold
	for _, member := range t.Members {
		if l.members[member.ID] == nil {
			l.inherit(l.add(member))
		}
	}
	if t.Lost {
		l.missing = later(now, Lead)
	}
	if l.unheard > 0 || t.Lost {
		l.unknown = quota.Holding{Rate: l.rate, Room: l.room}
	}
	return l
}

// inherit counts on it that m holds what an earlier leader promised.
func (l *Ledger) inherit(m *member) {
	m.unheard, m.open = true, l.params.OnDisconnect == quota.Open
	m.answered = later(l.began, Lead) // by that leader, at the latest
	m.until = later(m.answered, quota.Stretch(max(l.longest, l.params.Reclaim())))
	l.unheard++
}

func later(t, d int64) int64 {
	if d > quota.Forever-max(t, 0) {
		return quota.Forever
	}
	return t + d
}

func (l *Ledger) add(x Member) *member {
	m := &member{id: x.ID, incarnation: x.Incarnation}
	l.members[m.id] = m
	l.order = append(l.order, m)
	return m
}

// Join lets a node take part, in an incarnation that was written into the
// durable list of members before. Whatever the one before held, it uses no more,
// but that is free only when the new one has said what it goes on with.
func (l *Ledger) Join(x Member) {
	m := l.members[x.ID]
	switch {
	case m == nil:
		if m = l.add(x); l.missing != 0 {
			l.inherit(m)
		}
	case x.Incarnation > m.incarnation:
		l.close(m)
		m.incarnation, m.came, m.report, m.dead = x.Incarnation, 0, 0, 0
	}
}

// Confirm says that this leader surely led at the time at: the renewal of its
// leadership that was begun then has succeeded. Only what was due by that time
// is taken away from silent nodes; for another leader may keep their books.
// Renew at once when Opening says so: a node waits for it.
func (l *Ledger) Confirm(at int64) { l.confirmed = max(l.confirmed, at) }

// Opening reports whether a node was told a new term and this leader was not
// confirmed since.
func (l *Ledger) Opening() bool { return l.opened > l.confirmed }

// Leads reports whether answers may be given at now.
func (l *Ledger) Leads(now int64) bool {
	return l.later == 0 && now < later(l.confirmed, Lead)
}

// Configure changes the limit. Counters are kept, nothing is refilled: a higher
// rate or burst is free at once, a lower one takes effect as nodes hand back,
// within a report and an answer, or when their lease ends.
func (l *Ledger) Configure(now int64, p quota.Params) {
	l.accrue(now)
	for _, m := range l.order { // what was promised stays promised
		if m.unheard {
			m.open = m.open || p.OnDisconnect == quota.Open
			m.until = max(m.until, later(m.answered, quota.Stretch(p.Reclaim())))
		}
	}
	l.params, l.rate, l.room = p, p.Rate(), p.Room()
	l.spill()
}

// free is what nobody holds. Below 0 in both parts while a lowered limit is
// still held.
func (l *Ledger) free() quota.Holding {
	return quota.Holding{
		Rate: l.rate - l.held.Rate - l.unknown.Rate,
		Room: l.room - l.held.Room - l.unknown.Room,
	}
}

// accrue lets the pool earn up to now.
func (l *Ledger) accrue(now int64) {
	if now <= l.at {
		return
	}
	var earned int64
	earned, l.rest = quota.Earned(l.free().Rate, now-l.at, l.rest)
	l.at = now
	l.level += earned
	l.spill()
}

// spill drops the tokens for which there is no room.
func (l *Ledger) spill() {
	if most := max(l.free().Room, 0); l.level >= most {
		l.level, l.rest = most, 0
	}
}

// hold sets what m can be holding at most.
func (l *Ledger) hold(m *member, h quota.Holding) {
	l.held.Rate += h.Rate - m.held.Rate
	l.held.Room += h.Room - m.held.Room
	m.held = h
}

// Dead says that a node's incarnation is proven dead, or was deleted by an
// operator, and that this was written into the durable list, for good: only a
// later incarnation clears it. The share is free as soon as this leader is
// confirmed.
func (l *Ledger) Dead(now int64, x Member) {
	if m := l.members[x.ID]; m != nil && x.Incarnation == m.incarnation && m.dead == 0 {
		m.dead = max(now, 1)
		l.Tick(now)
	}
}

// Forget removes a member that is Free, after it was removed from the durable
// list.
func (l *Ledger) Forget(id string) bool {
	m := l.members[id]
	if m == nil || m.live || m.unheard || m.held != (quota.Holding{}) {
		return false
	}
	delete(l.members, id)
	for i := range l.order {
		if l.order[i] == m {
			l.order = append(l.order[:i], l.order[i+1:]...)
			break
		}
	}
	return true
}

// Tick takes back what silent nodes cannot be holding any more. Call it a few
// times a second, and after Confirm.
func (l *Ledger) Tick(now int64) {
	l.accrue(now)
	if !l.Leads(now) {
		return
	}
	due := min(now, l.confirmed)
	if l.missing != 0 && due >= l.missing {
		l.missing = 0
		l.release()
	}
	for _, m := range l.order {
		l.review(m, due)
	}
}

// review takes back what was due from m.
func (l *Ledger) review(m *member, due int64) {
	switch {
	case m.dead != 0 && due >= m.dead:
		m.stray = stray{}
		l.forfeit(m, quota.Holding{})
	case due >= m.until:
		l.lose(m, due)
		l.forfeit(m, quota.Holding{})
	case !m.aged && !m.unheard && due >= later(m.answered, quota.Stretch(quota.Fresh)):
		l.forfeit(m, m.held.Aged())
	}
}

func (l *Ledger) forfeit(m *member, left quota.Holding) {
	if m.live {
		l.close(m)
	}
	m.aged = true
	l.hold(m, left)
	if m.unheard && left == (quota.Holding{}) {
		l.heard(m)
	}
}

func (l *Ledger) wants(m *member, demand, need int64) {
	l.demand += demand - m.demand
	l.need += need - m.need
	m.demand, m.need = demand, need
}
