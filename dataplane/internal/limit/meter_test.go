package limit

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

const year = 365 * 86400 * second

func TestParamsValid(t *testing.T) {
	for _, tt := range []struct {
		p    Params
		want bool
	}{
		// the zero value: refuses all
		{Params{}, true},
		// earns nothing, whatever the denominator
		{Params{Num: 0, Den: 0, Burst: 10}, true},
		// an ordinary limit
		{Params{Num: 300, Den: 1, Burst: 500}, true},
		// the slowest rate and the fastest, both ways of writing it
		{Params{Num: 1, Den: MaxDen, Burst: 1}, true},
		{Params{Num: MaxRate, Den: 1, Burst: MaxBurst}, true},
		{Params{Num: math.MaxUint64, Den: MaxDen, Burst: 1}, true},
		// a hair above the greatest rate
		{Params{Num: 2*MaxRate + 1, Den: 2, Burst: 1}, false},
		// no denominator
		{Params{Num: 1, Den: 0, Burst: 1}, false},
		// a denominator that would not fit
		{Params{Num: 1, Den: MaxDen + 1, Burst: 1}, false},
		// bursts outside
		{Params{Num: 1, Den: 1, Burst: -1}, false},
		{Params{Num: 1, Den: 1, Burst: MaxBurst + 1}, false},
	} {
		if got := tt.p.Valid(); got != tt.want {
			t.Errorf("%+v: Valid() = %v, want %v", tt.p, got, tt.want)
		}
		if got := NewBucket(0, tt.p).Take(0).OK; got && !tt.want {
			t.Errorf("%+v: invalid params admitted a request", tt.p)
		}
	}
}

func TestMeterHoldsTwentyYears(t *testing.T) {
	for _, tt := range []struct {
		p    Params
		unit int64
	}{
		// ordinary rates count micro-tokens
		{Params{300, 1, 500}, 1e6},
		{Params{5, 60, 5}, 1e6},
		{Params{1, MaxDen, MaxBurst}, 1e6},
		// the last rate with micro-tokens, and the first without
		{Params{1e4, 1, 1}, 1e6},
		{Params{1e4 + 1, 1, 1}, 1e5},
		{Params{1e5, 1, 1}, 1e5},
		{Params{1e6, 1, 1}, 1e4},
		{Params{1e7, 1, 1}, 1e3},
		{Params{1e8, 1, 1}, 100},
		{Params{1e8*7 + 1, 7, 1}, 10},
		// the fastest, with the plainest and with the widest fraction
		{Params{MaxRate, 1, MaxBurst}, 10},
		{Params{math.MaxUint64, 18446744074, MaxBurst}, 10},
		{Params{math.MaxUint64, MaxDen, MaxBurst}, 10},
	} {
		m := newMeter(-5, tt.p)
		if m.unit != tt.unit {
			t.Errorf("%+v: unit = %d, want %d", tt.p, m.unit, tt.unit)
		}
		for _, now := range []int64{-5, 0, 1, second, year, 20 * year} {
			got, _ := m.read(now)
			want := exactEarned(tt.p, m.unit, now+5)
			if big.NewInt(got).Cmp(want) != 0 {
				t.Errorf("%+v: earned %d at %d, want %v", tt.p, got, now, want)
			}
			if got-m.full(0) <= 0 && tt.p.Burst > 0 {
				t.Errorf("%+v: int64 overflows at %d", tt.p, now)
			}
		}
		// a moment before the origin counts as the origin
		if got, rest := m.read(math.MinInt64); got != 0 || rest != 0 {
			t.Errorf("%+v: earned %d before the origin", tt.p, got)
		}
		// and the end of time stays in range
		if got, _ := m.read(math.MaxInt64); got < 0 || got > maxEarned {
			t.Errorf("%+v: earned %d at the end of time", tt.p, got)
		}
	}
}

// exactEarned is floor(elapsed × rate × unit).
func exactEarned(p Params, unit, elapsed int64) *big.Int {
	x := new(big.Int).SetUint64(p.Num)
	x.Mul(x, big.NewInt(elapsed)).Mul(x, big.NewInt(unit))
	den := new(big.Int).SetUint64(p.Den)
	return x.Div(x, den.Mul(den, big.NewInt(second)))
}

// drawParams draws any legal rate, evenly over its orders of magnitude.
func drawParams(t *rapid.T) Params {
	den := rapid.SampledFrom([]uint64{1, 7, 60, 3600, 86400, 1e6, MaxDen}).Draw(t, "den")
	order := rapid.SampledFrom([]uint64{1, 100, 1e4, 1e6, MaxRate}).Draw(t, "order")
	var most uint64 = math.MaxUint64
	if den < most/order {
		most = den * order
	}
	return Params{
		Num:   rapid.Uint64Range(0, most).Draw(t, "num"),
		Den:   den,
		Burst: rapid.SampledFrom([]int64{0, 1, 2, 10, 500, 1e6, MaxBurst}).Draw(t, "burst"),
	}
}

// A wait is exactly as long as it has to be.
func TestWaitIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMeter(0, drawParams(t))
		now := rapid.Int64Range(0, year).Draw(t, "now")
		missing := rapid.Int64Range(1, 1e15).Draw(t, "missing")
		earned, rest := m.read(now)
		w := m.wait(missing, rest)
		if w > 19*year { // beyond the range of a meter, Never included
			return
		}
		if got, _ := m.read(now + w); got-earned < missing {
			t.Fatalf("after %d ns only %d units of %d", w, got-earned, missing)
		}
		if got, _ := m.read(now + w - 1); got-earned >= missing {
			t.Fatalf("%d units were there before %d ns", missing, w)
		}
	})
}

// A change of parameters adds nothing, and takes less than a unit of the
// coarser kind.
func TestCarryRoundsDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := drawParams(t), drawParams(t)
		m := newMeter(0, p)
		m.rest = rapid.Uint64Range(0, m.den-1).Draw(t, "rest")
		now := rapid.Int64Range(0, year).Draw(t, "now")
		n := m.next(now, newMeter(now, q))
		earned, rest := m.read(now)
		spent := earned - rapid.Int64Range(-1e13, m.burst).Draw(t, "level")
		mark := m.carry(spent, &n)

		before := exactLevel(m, earned-spent, rest)
		after := exactLevel(n, -mark, n.rest)
		if uncut := -mark < n.burst; uncut && after.Cmp(before) > 0 {
			t.Fatalf("level rose from %v to %v", before, after)
		}
		slack := big.NewRat(1, min(m.unit, n.unit))
		if lost := before.Sub(before, after); -mark < n.burst && lost.Cmp(slack) >= 0 {
			t.Fatalf("lost %v tokens", lost)
		}
	})
}

// exactLevel is level + rest/den units in tokens.
func exactLevel(m meter, level int64, rest uint64) *big.Rat {
	r := new(big.Rat).SetFrac(new(big.Int).SetUint64(rest), new(big.Int).SetUint64(m.den))
	r.Add(r, new(big.Rat).SetInt64(level))
	return r.Mul(r, big.NewRat(1, m.unit))
}
