package ledger

import "apiproxy.internal/shared/quota"

// stray is what silent nodes may go on with although it was given away. Only where
// the limit is on_disconnect: open there is any: their shares have no end.
type stray struct {
	since  int64 // 0 = there is none
	hold   quota.Holding
	common bool // after a takeover: what it holds is part of Ledger.stray
}

// beyond is how much that comes to, in micro-tokens.
func (s stray) beyond(now int64) int64 {
	earned, _ := quota.Earned(s.hold.Rate, now-s.since, 0)
	return s.hold.Room + earned
}

// lose notes that m's part is about to be free for no other reason than its silence.
func (l *Ledger) lose(m *member, due int64) {
	if m.open && m.stray.since == 0 && (m.unheard || m.held != quota.Holding{}) {
		m.stray = stray{due, m.held, m.unheard}
	}
}

// astray is what all of them may use beyond the limit, in micro-tokens. It ends with
// each that is heard again, proven dead or forgotten.
func (l *Ledger) astray(now int64) (sum int64) {
	common := false
	for _, m := range l.order {
		switch s := m.stray; {
		case s.since == 0:
		case s.common:
			common = true
		default:
			sum += s.beyond(now)
		}
	}
	if common && l.stray.since != 0 {
		sum += l.stray.beyond(now)
	}
	return sum
}
