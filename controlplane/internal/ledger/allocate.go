package ledger

import (
	"math"

	"apiproxy.internal/shared/quota"
)

const (
	headroom = 1.05  // a share is so much more than the demand that it follows
	base     = 0.001 // of the rate that is divided evenly, wanted or not
	spare    = 0.25  // of the rate that nobody wants, likewise: what a node goes on with when the leader falls silent
	scarce   = 50    // a pool below 1/50 of the burst has nothing to lend
	low      = 10    // below 1/10 it lends only what is missing

	// settling is how long the demand of a node that has just come is not known, its
	// average is over up to two seconds; and how long a new leader's pool fills.
	settling = 3 * quota.Second
)

// flight is what a rate in micro-tokens per second comes to in a duration.
func flight(rate, d int64) int64 {
	t, _ := quota.Earned(rate, d, 0)
	return min(t, quota.MaxRoom/1000) * 1000
}

// answer divides what is free and tells the node its part.
func (l *Ledger) answer(now int64, m *member, r quota.Report) (quota.Answer, bool) {
	short := min(max(int64(r.Refused-m.refused), 0), quota.MaxRoom/quota.Token)
	m.level, m.admitted, m.refused = r.Level, r.Admitted, r.Refused
	l.refused += uint64(max(int64(r.Refused-m.counted), 0))
	m.counted = r.Refused
	l.wants(m, r.Demand, m.need)
	thin := quota.IsThin(l.rate, l.room, l.live)
	a := quota.Answer{Nonce: r.Nonce, Hand: m.held.Rate}
	var part quota.Part
	wanted, over := l.share(now, m, thin)
	l.moveRate(m, wanted, &a, &part)
	l.moveRoom(m, &a, &part)
	l.lend(m, r, short, thin, over, &part)
	l.bound(m, r, &a)
	if thin {
		a.Wait = 4 * quota.Delay
	}
	a.Scarce = l.isScarce(now)
	if !a.Scarce {
		a.Low = max(l.room/int64(4*l.live), flight(m.demand, 2*quota.Delay))
	}
	hand := a.Hand < m.held.Rate-l.rate/50
	lost := r.Got != m.gave && now-m.said > 4*quota.Delay
	if part == (quota.Part{}) && !r.Urgent && !lost && a.Hand == m.held.Rate &&
		a.Most == 0 && !m.over && now-m.said < quota.Fresh/4 {
		return a, false
	}
	m.over = a.Most > 0
	m.gave = m.gave.Plus(part)
	m.answer++
	a.Seq, a.Gave, a.Now = m.answer, m.gave, hand
	return l.promise(now, m, a), true
}

// share is the rate that m shall have: its demand and an even part of what nobody
// wants, or its part in proportion when all together want more than there is.
// While there is enough, one that came lately counts as an average one: requests
// are about to be sent to it, and the leader may fall silent before they come.
func (l *Ledger) share(now int64, m *member, thin bool) (wanted int64, over bool) {
	rate := float64(l.rate)
	all := headroom*float64(l.demand)*1000 + base*rate
	floor := base*rate + spare*max(rate-all, 0)
	over = all > rate
	demand := m.demand
	if !over && l.isNew(now, m) {
		demand = max(demand, l.demand/int64(l.live))
	}
	x := headroom*float64(demand)*1000 + floor/float64(l.live)
	if over {
		x *= rate / all
	}
	wanted = int64(min(x, rate))
	switch {
	case thin: // the pool keeps it all
		wanted = 0
	case l.keep(wanted) >= 2*quota.Token:
	case l.live == 1: // a small limit, and nobody to share it with
		wanted = l.rate
	default: // in a bucket that small there would always be a useless fraction
		wanted = 0
	}
	return wanted, over
}

// isScarce reports whether nodes shall hand back what they do not need at once. The
// pool of a leader that has just taken over is empty; that alone makes nothing
// scarce: what the nodes have is what they use until it fills.
func (l *Ledger) isScarce(now int64) bool {
	empty := l.level < l.room/scarce
	if now-l.began < settling {
		empty = empty && l.need > l.level
	}
	return empty || l.free().Room < 0
}

// isNew reports whether m came lately to others that are known. Where all are new,
// after a leader began, there is no average to go by; one that was cut off and is
// back is not new.
func (l *Ledger) isNew(now int64, m *member) bool {
	return now-m.came < settling && m.came-l.began >= settling
}

// keep is the room that goes with a rate: that for 0.3 s, and all nodes
// together not more than half of the burst.
func (l *Ledger) keep(rate int64) int64 {
	switch {
	case l.rate == 0:
		return 0
	case rate == l.rate && l.live == 1:
		return max(quota.Refill(rate), min(l.room, 3*quota.Token))
	}
	return min(quota.Refill(rate), int64(float64(l.room/2)*(float64(rate)/float64(l.rate))))
}

// moveRate asks for the rate above wanted, or gives what is missing and free.
func (l *Ledger) moveRate(m *member, wanted int64, a *quota.Answer, part *quota.Part) {
	free := l.free().Rate
	slack := max(wanted/50, l.rate/int64(500*l.live))
	if free < 0 {
		slack = 0
	}
	switch {
	case wanted < m.held.Rate-slack || wanted == 0:
		a.Hand = wanted
	case wanted > m.held.Rate+slack && free > slack/10:
		part.Rate = min(wanted-m.held.Rate, free)
		l.hold(m, quota.Holding{Rate: m.held.Rate + part.Rate, Room: m.held.Room})
		a.Hand = m.held.Rate
	}
}

// moveRoom gives the room for the rate to earn into, and with it the tokens for
// which the pool would have none left.
func (l *Ledger) moveRoom(m *member, a *quota.Answer, part *quota.Part) {
	a.Keep = l.keep(a.Hand)
	missing, free := a.Keep-m.held.Room, l.free().Room
	if missing <= a.Keep/10 || free <= 0 {
		return
	}
	l.give(m, part, min(missing, free), 0)
}

// give hands room to m, the tokens in it, and those for which there is no room
// in the pool any more.
func (l *Ledger) give(m *member, part *quota.Part, room, tokens int64) {
	l.hold(m, quota.Holding{Rate: m.held.Rate, Room: m.held.Room + room})
	tokens = min(max(tokens, l.level-max(l.free().Room, 0)), room)
	l.level -= tokens
	part.Room += room
	part.Tokens += tokens
}

// lend gives tokens with the room for them: while there are plenty, so that
// half of the burst lies where it may be needed; otherwise what the node's rate
// does not earn, in proportion to the need. What it was given and had not yet when
// it reported is with it, too: a node that reports twice before it hears is not
// lent twice.
func (l *Ledger) lend(m *member, r quota.Report, short int64, thin, over bool, part *quota.Part) {
	underway := max(min(m.gave.Minus(r.Got).Tokens, l.room), 0)
	hold := r.Level + underway + part.Tokens
	var target int64
	switch {
	case thin:
		target = short * quota.Token
		hold = 0
	case over || l.level < l.room/low:
		target = flight(max(r.Now-m.held.Rate/1000, 0), quota.Tick+2*quota.Delay)
		if short > 0 || r.Urgent {
			target += quota.Token
		}
	default:
		target = l.even(r)
	}
	need := min(max(target-hold, 0), l.room)
	l.wants(m, m.demand, need)
	if need <= target/4 || l.level <= 0 {
		return
	}
	tokens := min(need+quota.Token-1, int64(float64(l.level)*(float64(need)/float64(max(l.need, need)))))
	tokens -= tokens % quota.Token
	if tokens == 0 && l.level >= quota.Token && hold < quota.Token {
		tokens = quota.Token
	}
	if tokens == 0 {
		return
	}
	l.give(m, part, tokens, tokens)
	l.wants(m, m.demand, max(need-tokens, 0))
}

// bound tells how much to keep: while more is held than there is, and where
// tokens lie that a node got when there were fewer nodes.
func (l *Ledger) bound(m *member, r quota.Report, a *quota.Answer) {
	if even := l.even(r); r.Level > 2*even {
		a.Most = even
	}
	if l.free().Room < 0 && l.held.Room > 0 {
		most := float64(l.room-l.unknown.Room) * float64(m.held.Room) / float64(l.held.Room)
		a.Most = max(1, int64(math.Floor(most)))
		a.Keep = min(a.Keep, a.Most)
	}
}

// even is what a node holds in times of plenty: its part of half of the burst,
// or what it uses between two reports.
func (l *Ledger) even(r quota.Report) int64 {
	return max(l.room/int64(2*l.live), quota.Token, flight(r.Now, quota.Tick+3*quota.Delay))
}
