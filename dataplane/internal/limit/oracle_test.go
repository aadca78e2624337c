package limit

import (
	"encoding/binary"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

// oracle is the slow, obvious token bucket, in fractions.
type oracle struct {
	rate, burst   *big.Rat // tokens per nanosecond; tokens
	level, earned *big.Rat // earned: since the beginning, spilled or not
	now           int64
}

func newOracle(p Params) *oracle {
	return &oracle{
		rate:   rateOf(p),
		burst:  tokens(p.Burst),
		level:  tokens(p.Burst),
		earned: new(big.Rat),
	}
}

func tokens(n int64) *big.Rat { return new(big.Rat).SetInt64(n) }

func rateOf(p Params) *big.Rat {
	if p.Num == 0 {
		return new(big.Rat)
	}
	den := new(big.Int).SetUint64(p.Den)
	return new(big.Rat).SetFrac(new(big.Int).SetUint64(p.Num), den.Mul(den, big.NewInt(second)))
}

func (o *oracle) advance(now int64) {
	gain := new(big.Rat).Mul(o.rate, tokens(now-o.now))
	o.earned.Add(o.earned, gain)
	o.add(gain)
	o.now = now
}

func (o *oracle) add(gain *big.Rat) {
	if o.level.Add(o.level, gain); o.level.Cmp(o.burst) > 0 {
		o.level.Set(o.burst)
	}
}

func (o *oracle) configure(now int64, p Params) {
	o.advance(now)
	o.rate, o.burst = rateOf(p), tokens(p.Burst)
	o.add(new(big.Rat))
}

// The bucket decides as the oracle does, but for less than one unit: it admits
// only what is there, and refuses only what is not.
func TestBucketAgainstOracle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawParams(t)
		b, o := NewBucket(0, p), newOracle(p)
		coarsest := newMeter(0, p).unit
		below := int64(1) // units that the bucket may be short of
		var now int64
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now += rapid.SampledFrom([]int64{0, 1, 1e3, 1e6, 1e9, 1e13}).Draw(t, "scale") *
				rapid.Int64Range(0, 20).Draw(t, "step")
			o.advance(now)
			n := rapid.SampledFrom([]int64{1, 1, 1, 2, 10, 500, 1e6}).Draw(t, "n")
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0:
				p = drawParams(t)
				b.Configure(now, p)
				o.configure(now, p)
				coarsest = min(coarsest, newMeter(0, p).unit)
				below++
			case 1:
				b.Refund(n)
				o.add(tokens(n))
			default:
				slack := big.NewRat(1, coarsest)
				after := new(big.Rat).Sub(o.level, tokens(n))
				ok := b.TakeN(now, n).OK
				if ok && new(big.Rat).Add(after, slack).Sign() < 0 {
					t.Fatalf("admitted %d with %v tokens at %d", n, o.level.FloatString(7), now)
				}
				if short := slack.Mul(slack, tokens(below)); !ok && after.Cmp(short) >= 0 {
					t.Fatalf("refused %d with %v tokens at %d", n, o.level.FloatString(7), now)
				}
				if ok {
					o.level = after
				}
			}
		}
	})
}

// In no window, of any length, more is admitted than the burst of its beginning
// and what its rates earn, and one unit.
func FuzzBucketNeverOverAdmits(f *testing.F) {
	f.Add([]byte("\x00\x10\x01\x01\x02\x01\x01\x05\x01\x07\xff\x01\x02\x00\x09\x01\x03\x00\x00\x07\x01"))
	f.Add([]byte("0008200010002\x00\x000"))
	f.Add([]byte("a clock that goes back, a refund, a change; and again, and again, and again"))
	all := []Params{
		{10, 1, 2}, {1, 3, 1}, {1e9, 1, 50}, {1e9, 1, MaxBurst}, {123456789, 1000, 7}, {0, 1, 5},
		{1, MaxDen, 3}, {}, {5e8 + 1, 2, 1}, {99999, 7, 20}, {1e6, 1, 0},
	}
	type admission struct {
		at, n         int64    // n < 0: a refund
		burst, earned *big.Rat // up to at
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, o := NewBucket(0, all[0]), newOracle(all[0])
		coarsest := newMeter(0, all[0]).unit
		var now, untimed int64 // untimed: the last change or refund, which have no lag
		var log []admission
		for ; len(data) >= 4 && len(log) < 30; data = data[4:] {
			now += int64(binary.LittleEndian.Uint16(data[1:])) << (data[0] >> 4 * 2)
			n := int64(data[3])
			switch op := data[0] & 15; {
			case op < 1:
				p := all[data[3]%byte(len(all))]
				b.Configure(now, p)
				o.configure(now, p)
				coarsest = min(coarsest, newMeter(0, p).unit)
				untimed = now
			case op == 1:
				b.Refund(n)
				o.advance(now)
				untimed = now
				log = append(log, admission{now, -n, o.burst, new(big.Rat).Set(o.earned)})
			case op == 2: // a clock that was read earlier
				at := max(untimed, now-n)
				if b.Take(at).OK {
					earned := new(big.Rat).Mul(o.rate, tokens(at-o.now))
					log = append(log, admission{at, 1, o.burst, earned.Add(earned, o.earned)})
				}
			default:
				if b.TakeN(now, n).OK {
					o.advance(now)
					log = append(log, admission{now, n, o.burst, new(big.Rat).Set(o.earned)})
				}
			}
		}
		for _, from := range log {
			for _, to := range log {
				if to.at < from.at {
					continue
				}
				bound := new(big.Rat).Sub(to.earned, from.earned)
				bound.Add(bound, from.burst).Add(bound, big.NewRat(1, coarsest))
				var sum int64
				for _, a := range log {
					if from.at <= a.at && a.at <= to.at {
						sum += a.n
					}
				}
				if tokens(sum).Cmp(bound) > 0 {
					t.Fatalf("admitted %d in [%d, %d], bound %v", sum, from.at, to.at, bound.FloatString(7))
				}
			}
		}
	})
}
