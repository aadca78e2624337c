package lease

import (
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/shared/quota"
)

// Save is what the next incarnation may go on with when it finds no leader: the
// rate, room for one token at most, and the end. When it has become less than
// what was kept last, it has to be kept before a report leaves that hands the
// difference back; a plain write is enough, because a saved lease is worth
// nothing after the machine has crashed too. Its boot clock began anew then, so
// keep the machine's boot id beside it.
func (l *Lease) Save() quota.Saved {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.leased {
		return quota.Saved{}
	}
	return quota.Saved{
		Holding: quota.Holding{Rate: l.have.Rate, Room: min(l.have.Room, quota.Token)},
		Until:   l.until,
	}
}

// Less reports whether a is not covered by what was kept as b.
func Less(a, b quota.Saved) bool {
	return a.Rate < b.Rate || a.Room < b.Room || a.Until < b.Until
}

// Restore lets a new lease go on at a saved rate, with no token in hand. It does
// nothing after the end or after the first answer. Do not call it for a node
// that the members' list calls dead: its share has been given away.
func (l *Lease) Restore(t Time, s quota.Saved) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.leased || !s.Possible() || t.Boot >= s.Until {
		return
	}
	s.Room = min(s.Room, quota.Token)
	l.leased, l.aged = true, true
	l.renewed, l.until = t.Boot-quota.Fresh, s.Until
	l.have = s.Holding
	l.got = l.got.Plus(quota.Part{Holding: s.Holding})
	l.last.Hand, l.last.Keep = s.Rate, s.Room
	l.reshape(t, 0)
	l.end(t)
}

// Status is a lease at one moment.
type Status struct {
	Mode     Mode
	Have     quota.Holding // what the node may use from now on
	Level    int64         // micro-tokens of it in hand
	Demand   int64         // micro-tokens per second
	Admitted int64         // micro-tokens taken and not refunded so far
	Refused  uint64        // requests so far
	Silent   int64         // nanoseconds since the newest report that was answered; limit.Never
	Left     int64         // nanoseconds until the lease ends; limit.Never
	Open     bool          // it goes on without end and may exceed the limit
	Term     uint64        // of its books, and all that went in and out
	Got      quota.Sum
	Back     quota.Sum
}

// Status is how the lease stands at t. It changes nothing.
func (l *Lease) Status(t Time) Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := Status{
		Demand: whole(l.demand.slow), Silent: limit.Never,
		Term: l.last.Term, Got: l.got, Back: l.back,
	}
	s.Admitted, s.Refused = l.bucket.Counts()
	if !l.leased {
		return s
	}
	s.Silent = t.Boot - l.renewed
	s.Left = limit.Never
	if l.until != quota.Forever {
		s.Left = max(l.until-t.Boot, 0)
	}
	s.Have = l.have
	switch {
	case s.Left == 0:
		s.Mode, s.Have = Closed, quota.Holding{}
	case l.aged || s.Silent >= quota.Fresh:
		s.Mode, s.Have = Holding, l.have.Aged()
		s.Open = l.until == quota.Forever
	default:
		s.Mode = Leased
	}
	s.Level = min(l.bucket.Level(t.Mono), s.Have.Room)
	return s
}
