package ledger

import "apiproxy.internal/shared/quota"

// Report books a report of a node's incarnation, which has joined, and answers
// it. Without ok there is nothing to say.
func (l *Ledger) Report(now int64, id string, incarnation uint64, r quota.Report) (a quota.Answer, ok bool) {
	r = r.Sane()
	m := l.members[id]
	if m == nil || incarnation != m.incarnation || !l.Leads(now) {
		return a, false
	}
	if epoch := r.Term >> 32; epoch > l.term>>32 { // it keeps books with a later leader
		if IsLater(epoch, l.term>>32) { // or it talks nonsense
			l.later = epoch
		}
		return a, false
	}
	l.accrue(now)
	l.review(m, min(now, l.confirmed))
	if r.Seq <= m.report || m.dead > l.confirmed {
		return a, false
	}
	m.report, m.dead = r.Seq, 0
	if m.live && r.Term == m.term && !l.book(m, r) {
		return a, false
	}
	switch {
	case r.Last:
		l.leave(m)
		return a, false
	case m.live && r.Term == m.term, m.term != 0 && r.Term == m.term && l.adopt(m, r):
		return l.answer(now, m, r)
	}
	return l.open(now, m, r), true
}

// open begins new books with a node: it is told a new term, and what it says
// in that term is where they begin.
func (l *Ledger) open(now int64, m *member, r quota.Report) quota.Answer {
	if m.live {
		l.close(m)
	}
	if m.term == 0 {
		l.term = max(l.term, r.Term) + 1
		m.term, m.opened, m.answer = l.term, now, 0
		if m.came == 0 {
			m.came = max(now, 1)
		}
		l.opened = now
	}
	return l.promise(now, m, quota.Answer{Nonce: r.Nonce, Now: true, Drop: m.drop})
}

// promise completes an answer that is about to be sent.
func (l *Ledger) promise(now int64, m *member, a quota.Answer) quota.Answer {
	a.Term = m.term
	a.Lease = l.params.Lease()
	a.Every = l.params.Every()
	m.open = l.params.OnDisconnect == quota.Open
	m.said = now
	m.promised = max(m.promised, later(now, quota.Stretch(l.params.Reclaim())))
	m.answered, m.until = max(m.answered, m.said), max(m.until, m.promised)
	return a
}

// adopt begins the books with what the node says it holds.
//
// Only a leader that was confirmed after it gave the term out may do that.
// Another leader may have come: it counts on it that whoever is not in its books
// is in nobody's, or was in the books of its predecessor when it took over.
func (l *Ledger) adopt(m *member, r quota.Report) bool {
	h := r.Holding()
	if !h.Possible() || l.confirmed < m.opened {
		return false
	}
	switch {
	case m.unheard:
		if h.Rate > quota.MaxRate-l.held.Rate || h.Room > quota.MaxRoom-l.held.Room {
			return false
		}
		l.unknown.Rate = max(l.unknown.Rate-h.Rate, 0)
		l.unknown.Room = max(l.unknown.Room-h.Room, 0)
		l.hold(m, h)
		l.heard(m)
		m.answered, m.until = m.said, m.promised // it goes by our answers alone
	case h.Rate > m.held.Rate || h.Room > m.held.Room:
		m.term, m.drop = 0, true // more than is reserved for it: it was not dead, or a clock is broken
		return false
	default:
		l.hold(m, h)
	}
	m.gave, m.back = r.Got, r.Back
	m.refused, m.counted = r.Refused, r.Refused // who waits now is not known
	if r.Urgent {
		m.refused--
	}
	m.live, m.aged, m.drop, m.stray = true, false, false, stray{}
	l.live++
	return true
}

func (l *Ledger) heard(m *member) {
	m.unheard = false
	l.unheard--
	l.release()
}

// release ends the reserve when all that it was for are known.
func (l *Ledger) release() {
	if l.unheard == 0 && l.missing == 0 {
		l.stray = stray{since: l.at, hold: l.unknown}
		l.unknown = quota.Holding{}
	}
}

// book takes in what a node hands back.
func (l *Ledger) book(m *member, r quota.Report) bool {
	p := r.Back.Minus(m.back)
	if !p.Possible() || p.Rate > m.held.Rate || p.Room > m.held.Room {
		return false
	}
	m.back = r.Back
	l.hold(m, quota.Holding{Rate: m.held.Rate - p.Rate, Room: m.held.Room - p.Room})
	l.level += p.Tokens
	l.spill()
	return true
}

// close ends the books with a node. What it can be holding stays reserved.
func (l *Ledger) close(m *member) {
	if m.live {
		m.live = false
		l.live--
	}
	m.term, m.level = 0, 0
	l.wants(m, 0, 0)
}

// leave books a node out that has handed everything back and takes nothing in.
func (l *Ledger) leave(m *member) {
	l.close(m)
	m.stray = stray{}
	l.forfeit(m, quota.Holding{})
}
