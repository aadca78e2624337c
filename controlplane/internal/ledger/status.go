package ledger

import "apiproxy.internal/shared/quota"

// Status is the books at one moment.
type Status struct {
	Pool      quota.Holding // what nobody holds; below 0 while a lowered limit is still held
	Level     int64         // micro-tokens in the pool
	Held      quota.Holding // by all nodes, at most
	Unknown   quota.Holding // reserved after a takeover
	InHand    int64         // micro-tokens at the nodes by their last reports
	Admitted  uint64        // sum over nodes, each in its incarnation
	Refused   uint64
	Demand    int64 // micro-tokens per second
	Live      int   // nodes that keep books with this leader
	Unheard   int   // members that have not been heard since the takeover
	Thin      bool  // see quota.Thin
	Overshoot int64 // tokens beyond rate×T + burst at present, at most
	Accounts  []Account
}

// Account is one node in the books.
type Account struct {
	ID                string
	Incarnation       uint64
	Live              bool
	Held              quota.Holding
	Gave, Back        quota.Sum
	Term              uint64
	Level             int64 // micro-tokens, by its last report
	Demand            int64 // micro-tokens per second
	Admitted, Refused uint64
	Silent            int64 // nanoseconds since the last answer
}

// Status tells how the books stand. It does not change them.
func (l *Ledger) Status(now int64) Status {
	s := Status{
		Pool: l.free(), Level: l.level, Held: l.held, Unknown: l.unknown,
		Demand: l.demand, Live: l.live, Unheard: l.unheard,
		Accounts: make([]Account, 0, len(l.order)),
	}
	s.Thin = quota.IsThin(l.rate, l.room, l.live)
	for _, m := range l.order {
		s.InHand += m.level
		s.Admitted += m.admitted
		s.Refused += m.refused
		s.Accounts = append(s.Accounts, Account{
			ID: m.id, Incarnation: m.incarnation, Live: m.live, Held: m.held, Gave: m.gave, Back: m.back,
			Term: m.term, Level: m.level, Demand: m.demand, Admitted: m.admitted, Refused: m.refused,
			Silent: now - m.said,
		})
	}
	s.Overshoot = (max(-s.Pool.Room, 0) + l.astray(now) + quota.Token - 1) / quota.Token
	return s
}

// Refused is how many requests the nodes have refused since they keep books with this
// leader. What they had refused before is no news.
func (l *Ledger) Refused() uint64 { return l.refused }

// Lowering reports whether the nodes that keep books with this leader hold more
// than there is: the limit was lowered, and they hand back with their next reports.
// Those that are silent are not waited for; see Status.Overshoot.
func (l *Ledger) Lowering() bool {
	var held quota.Holding
	for _, m := range l.order {
		if m.live {
			held.Rate += m.held.Rate
			held.Room += m.held.Room
		}
	}
	return held.Rate > l.rate || held.Room > l.room
}

// Deposed is the epoch of a later leader with whom a node was seen to keep books; 0
// = none was. This one answers nobody any more.
func (l *Ledger) Deposed() uint64 { return l.later }
