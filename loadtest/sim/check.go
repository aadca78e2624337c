package sim

import (
	"fmt"
	"math"

	"apiproxy.internal/shared/quota"
)

// Result is what a run showed.
type Result struct {
	Offered, Admitted, Ideal int
	Excess                   float64 // admitted - (rate×T + burst) in the worst window, in tokens; never below 0
	OverRate                 float64 // worst sum of earnable rates above the rate, tokens per second
	OverTokens               float64 // worst sum of tokens above the burst
	First                    string  // what went wrong first
	Utilisation              float64 // % of what one central bucket admits
	FalseRejects             float64 // % of offered
	Jain                     float64 // fairness index of the nodes' acceptance
	Messages                 float64 // per second
	Back                     float64 // ms from Config.From until admitted at 95 % for good
	During                   float64 // utilisation within From..To, %
	Settled                  bool
}

// bucket is one central bucket with zero delay, in exact integers.
type bucket struct {
	rate, room  int64
	level, rest int64
	at          int64
}

func (b *bucket) accrue(now int64) {
	t, rest := quota.Earned(b.rate, now-b.at, b.rest)
	b.at = now
	if b.level += t; b.level >= b.room {
		b.level, b.rest = b.room, 0
		return
	}
	b.rest = rest
}

// meter compares what is admitted with the ideal and with the bound.
type meter struct {
	w       *World
	ideal   bucket
	bound   bucket
	worst   int64
	bins    []int // admitted in each 20 ms
	idealIn []int
}

const bin = 20 * ms

func newMeter(w *World) meter {
	m := meter{w: w, bins: make([]int, (Start+w.Length)/bin+1), idealIn: make([]int, (Start+w.Length)/bin+1)}
	p := w.Params
	m.ideal = bucket{rate: p.Rate(), room: p.Room(), level: p.Room()}
	m.bound = m.ideal
	m.bound.rate = w.fastest(p.Rate())
	return m
}

// fastest is a rate by the fastest clock.
func (w *World) fastest(rate int64) int64 {
	if w.Drift {
		rate += rate / 2000
	}
	return rate
}

func (m *meter) configure() {
	m.ideal.accrue(m.w.now)
	m.ideal.rate, m.ideal.room = m.w.params.Rate(), m.w.params.Room()
	m.ideal.level = min(m.ideal.level, m.ideal.room)
	m.widen()
}

// widen lets the bound be the wider of the old and the new limit until the
// nodes have handed back what is too much.
func (m *meter) widen() {
	m.bound.accrue(m.w.now)
	p := m.w.loose
	m.bound.level += max(p.Room()-m.bound.room, 0) // a window may have begun with the new burst
	m.bound.rate, m.bound.room = m.w.fastest(p.Rate()), p.Room()
	m.bound.level = min(m.bound.level, m.bound.room)
}

func (m *meter) offer() {
	m.w.result.Offered++
	m.ideal.accrue(m.w.now)
	if m.ideal.level >= quota.Token {
		m.ideal.level -= quota.Token
		m.w.result.Ideal++
		m.idealIn[m.w.now/bin]++
	}
}

func (m *meter) admit() {
	m.w.result.Admitted++
	m.bins[m.w.now/bin]++
	m.bound.accrue(m.w.now)
	m.bound.level -= quota.Token // below 0 it IS the excess of the worst window
	if -m.bound.level > m.worst {
		m.worst = -m.bound.level
		if m.worst > slack(m.w) {
			m.w.fail("window", "%d micro-tokens too many", m.worst)
		}
	}
}

// slack is the documented rounding: a micro-token per node, of which rates above
// 10 000 a second have coarser ones.
func slack(w *World) int64 {
	return int64(len(w.nodes)) * max(1, w.params.Rate()/(10_000*quota.PerSecond))
}

func (w *World) fail(what, format string, args ...any) {
	if w.result.First == "" {
		w.result.First = fmt.Sprintf("%.4f s: %s: %s", float64(w.now)/1e9, what, fmt.Sprintf(format, args...))
	}
}

// check compares the true state with the two invariants from which the bound
// follows: the rates at which anybody can be earning add up to the limit's at
// most, and so do the tokens, those on their way included, to its burst.
func (w *World) check() {
	if w.Kind != Leases {
		return
	}
	var rate, tokens, room int64
	states := make(map[string]int, len(w.nodes))
	held := make([]quotaState, len(w.nodes))
	for i, n := range w.nodes {
		states[n.id] = i
		if !n.up {
			continue
		}
		s := n.lease.Status(n.time(w.now))
		held[i] = quotaState{s.Term, s.Got, s.Back}
		rate += s.Have.Rate
		room += s.Have.Room
		tokens += s.Level
	}
	settled := false
	for _, l := range w.leaders {
		now := l.read(w.now)
		if !l.up || !l.ledger.Leads(now) {
			continue
		}
		s := l.ledger.Status(now)
		if l == w.newest() {
			settled = s.Pool.Rate >= 0 && s.Pool.Room >= 0 && s.Unheard == 0
		}
		heard := l == w.newest() // a deposed leader's pool is lost when no node goes by its books
		for _, a := range s.Accounts {
			n := held[states[a.ID]]
			if !a.Live || a.Term != n.term || !w.nodes[states[a.ID]].up {
				continue
			}
			heard = true
			down, up := a.Gave.Minus(n.got), n.back.Minus(a.Back)
			tokens += max(down.Tokens, 0) + max(up.Tokens, 0)
			rate += max(down.Rate, 0) + max(up.Rate, 0)
		}
		if heard {
			rate += max(s.Pool.Rate, 0)
			tokens += s.Level
		}
	}
	if settled && w.loose != w.params {
		w.loose = w.params
		w.meter.widen()
	}
	w.result.Settled = settled
	if over := float64(rate-w.loose.Rate()) / quota.PerSecond; over > w.result.OverRate {
		w.result.OverRate = over
		w.fail("rates", "%g/s above the limit", over)
	}
	if over := tokens - w.loose.Room(); over > slack(w) && float64(over)/quota.Token > w.result.OverTokens {
		w.result.OverTokens = float64(over) / quota.Token
		w.fail("tokens", "%d micro-tokens above the burst", over)
	}
}

type quotaState struct {
	term      uint64
	got, back quota.Sum
}

func (w *World) finish() Result {
	r := &w.result
	if w.meter.worst > slack(w) {
		r.Excess = float64(w.meter.worst) / quota.Token
	}
	r.Utilisation, r.FalseRejects = 100, 0
	if r.Ideal > 0 {
		missed := float64(max(r.Ideal-r.Admitted, 0))
		r.Utilisation = 100 - 100*missed/float64(r.Ideal)
		r.FalseRejects = 100 * missed / float64(r.Offered)
	}
	var sum, squares, k float64
	for _, n := range w.nodes {
		if n.offered > 0 {
			x := float64(n.admitted) / float64(n.offered)
			sum, squares, k = sum+x, squares+x*x, k+1
		}
	}
	r.Jain = sum * sum / (k * squares)
	r.Messages = float64(w.messages) / (float64(Start+w.Length) / 1e9)
	r.Back, r.During = w.meter.recovery()
	return *r
}

// recovery looks at Config.From..To: after what time no 200 ms were admitted at
// less than 95 % any more, and the utilisation in it.
func (m *meter) recovery() (back, during float64) {
	from, to := m.w.From/bin, m.w.To/bin
	if to <= from {
		return -1, math.NaN()
	}
	sum := func(a, b int64) (got, ideal float64) {
		for i := a; i < b; i++ {
			got, ideal = got+float64(m.bins[i]), ideal+float64(m.idealIn[i])
		}
		return got, ideal
	}
	got, ideal := sum(from, to)
	const span = 10
	for i := from; i+span <= to; i++ {
		if got, ideal := sum(i, i+span); got < 0.95*ideal {
			back = float64((i-from+1)*bin) / float64(ms)
		}
	}
	return back, 100 * got / max(ideal, 1)
}
