package limit

import "math/bits"

// finestUnit is how many units a token has at ordinary rates: micro-tokens.
const finestUnit = 1e6

// maxEarned is where a meter stops earning. It leaves room in an int64 for
// earned - spent, spent being never below -MaxBurst × finestUnit = -1e15.
const maxEarned = 922e16

// meter is the exact arithmetic of one set of parameters: what a bucket has
// earned since origin, in units of 1/unit token,
//
//	earned(now) = floor(((now - origin) × num + rest) / den)
//
// in 128 bits, computed anew from the absolute time, so that no rounding ever
// accumulates. A bucket on a meter is one number, the spent mark: its level is
// min(burst, earned - spent). This is the continuous-state leaky bucket (GCRA)
// of ITU-T I.371, turned from time to tokens to stay exact at rates that do
// not divide a second.
//
// Range: unit is the greatest power of ten up to finestUnit with
// rate × unit <= 1e10 per second. So every legal rate earns at most 1e10 units
// a second and maxEarned lasts for 9.22e8 seconds, 29 years, between two
// changes of parameters; after that the bucket earns nothing more.
//
// A meter does not change: methods may run at the same time.
type meter struct {
	origin int64
	num    uint64
	den    uint64 // tokenDen × 1e9 / unit <= 864e8 × 1e9 / 10 < 2^63
	rest   uint64 // the fraction of a unit, in 1/den, earned before origin

	unit     int64
	burst    int64 // in units, <= 1e15
	tokenDen uint64
}

func newMeter(now int64, p Params) meter {
	if !p.Valid() {
		p = Params{}
	}
	if p.Num == 0 {
		p.Den = 1
	}
	unit, limit := uint64(finestUnit), uint64(1e10/finestUnit)
	for p.Num > 0 && p.rateCeil() > limit {
		unit, limit = unit/10, limit*10
	}
	return meter{
		origin:   now,
		num:      p.Num,
		den:      p.Den * (second / unit),
		unit:     int64(unit),
		burst:    p.Burst * int64(unit),
		tokenDen: p.Den,
	}
}

// read is the amount earned up to now and the fraction of a unit beyond it, in
// 1/den. A moment before origin reads as origin.
func (m *meter) read(now int64) (earned int64, rest uint64) {
	var elapsed uint64
	if now > m.origin {
		elapsed = uint64(now) - uint64(m.origin)
	}
	hi, lo := bits.Mul64(elapsed, m.num)
	lo, carry := bits.Add64(lo, m.rest, 0)
	hi += carry
	if hi >= m.den {
		return maxEarned, 0
	}
	quo, rest := bits.Div64(hi, lo, m.den)
	if quo > maxEarned {
		return maxEarned, 0
	}
	return int64(quo), rest
}

// full is the spent mark of a bucket that is full at earned, and level the
// level of a bucket; it is below 0 for a caller that read its clock before one
// that has spent since.
func (m *meter) full(earned int64) int64         { return earned - m.burst }
func (m *meter) level(earned, spent int64) int64 { return min(m.burst, earned-spent) }

// cost is n tokens in units. Any n above MaxBurst costs more than any burst.
func (m *meter) cost(n int64) int64 { return min(max(n, 0), MaxBurst+1) * m.unit }

// refund is the spent mark after n tokens came back. Below -burst it would
// only say "full at origin" once more, so it stays in range whatever comes.
func (m *meter) refund(spent, n int64) int64 { return max(spent-m.cost(n), -m.burst) }

// report describes a bucket of the given level, read together with rest, to
// somebody who wants cost.
func (m *meter) report(ok bool, level, cost int64, rest uint64) Decision {
	d := Decision{
		OK:        ok,
		Remaining: max(level, 0) / m.unit,
		Reset:     m.wait(m.burst-level, rest),
	}
	if cost > m.burst {
		d.RetryAfter = Never
	} else {
		d.RetryAfter = m.wait(cost-level, rest)
	}
	return d
}

// wait is the time until missing units more are earned: the smallest w with
// rest + w × num >= missing × den.
func (m *meter) wait(missing int64, rest uint64) int64 {
	if missing <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(missing), m.den)
	lo, borrow := bits.Sub64(lo, rest, 0)
	hi -= borrow
	if hi >= m.num {
		return Never
	}
	w, odd := bits.Div64(hi, lo, m.num)
	if odd > 0 {
		w++
	}
	return int64(min(w, uint64(Never)))
}

// next is the meter n that goes on where m stands at now: the fraction of a
// unit is carried over, so that frequent changes starve no slow rate and add
// nothing to any. A moment before m's own origin counts as that origin: time
// that was earned once is not earned again.
func (m *meter) next(now int64, n meter) meter {
	n.origin = max(now, m.origin)
	_, rest := m.read(n.origin)
	// As tokens the fraction is rest / (den × unit) = rest / (tokenDen × 1e9).
	// The quotient is below n.tokenDen × 1e9 / m.unit and fits.
	hi, lo := bits.Mul64(rest, n.tokenDen)
	n.rest, _ = bits.Div64(hi, lo, m.tokenDen)
	return n
}

// carry turns m's spent mark into that of its successor n with the same level,
// rounded down and cut to n's burst. What rounding takes, less than one unit of
// n and only where n's units are coarser, n earns in a nanosecond.
func (m *meter) carry(spent int64, n *meter) int64 {
	earned, _ := m.read(n.origin)
	level := m.level(earned, spent)
	if n.unit >= m.unit {
		k := n.unit / m.unit
		level = max(level, -maxEarned/k) * k // no clock is 1000 s late: no debt is cut
	} else {
		k := m.unit / n.unit
		if level < 0 {
			level -= k - 1 // rounds a debt up
		}
		level /= k
	}
	return -min(level, n.burst)
}
