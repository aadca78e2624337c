package limit

import (
	"math"
	"math/big"
	"sync"
	"sync/atomic"
	"testing"
)

const ms = int64(1e6)

// The specification of a bucket: what it answers, moment by moment.
func TestBucket(t *testing.T) {
	type row struct {
		now  int64
		do   func(b *Bucket, now int64) Decision
		want Decision
	}
	take := (*Bucket).Take
	peek := (*Bucket).Peek
	takeN := func(n int64) func(*Bucket, int64) Decision {
		return func(b *Bucket, now int64) Decision { return b.TakeN(now, n) }
	}
	refund := func(n int64) func(*Bucket, int64) Decision {
		return func(b *Bucket, now int64) Decision { b.Refund(n); return b.Peek(now) }
	}
	configure := func(p Params) func(*Bucket, int64) Decision {
		return func(b *Bucket, now int64) Decision { b.Configure(now, p); return b.Peek(now) }
	}
	for name, tt := range map[string]struct {
		p    Params
		rows []row
	}{
		"two at once, then one each 100 ms": {Params{10, 1, 2}, []row{
			// a new bucket is full
			{0, peek, Decision{true, 2, 0, 0}},
			// the burst goes at once
			{0, take, Decision{true, 1, 0, 100 * ms}},
			{0, take, Decision{true, 0, 100 * ms, 200 * ms}},
			// then nothing
			{0, take, Decision{false, 0, 100 * ms, 200 * ms}},
			// until just before the next token
			{100*ms - 1, take, Decision{false, 0, 1, 100*ms + 1}},
			// which is there to the nanosecond
			{100 * ms, take, Decision{true, 0, 100 * ms, 200 * ms}},
			// a clock that was read earlier finds less, and does no harm
			{50 * ms, take, Decision{false, 0, 150 * ms, 250 * ms}},
			{math.MinInt64, take, Decision{false, 0, 200 * ms, 300 * ms}},
			{150 * ms, peek, Decision{false, 0, 50 * ms, 150 * ms}},
			// a pause fills the bucket, and no more than that
			{1000 * ms, peek, Decision{true, 2, 0, 0}},
			{9000 * ms, take, Decision{true, 1, 0, 100 * ms}},
		}},
		"a third of a token a second": {Params{1, 3, 1}, []row{
			{0, take, Decision{true, 0, 3000 * ms, 3000 * ms}},
			{3000*ms - 1, take, Decision{false, 0, 1, 1}},
			{3000 * ms, take, Decision{true, 0, 3000 * ms, 3000 * ms}},
		}},
		"weighted cost": {Params{1, 1, 10}, []row{
			{0, takeN(7), Decision{true, 3, 4000 * ms, 7000 * ms}},
			// all or nothing: the 3 stay
			{0, takeN(4), Decision{false, 3, 1000 * ms, 7000 * ms}},
			{0, takeN(3), Decision{true, 0, 3000 * ms, 10000 * ms}},
			// nothing costs nothing, a negative cost adds nothing
			{0, takeN(0), Decision{true, 0, 0, 10000 * ms}},
			{0, takeN(-5), Decision{true, 0, 0, 10000 * ms}},
			{0, takeN(math.MinInt64), Decision{true, 0, 0, 10000 * ms}},
			// more than the burst never comes
			{0, takeN(11), Decision{false, 0, Never, 10000 * ms}},
			{0, takeN(math.MaxInt64), Decision{false, 0, Never, 10000 * ms}},
		}},
		"refund": {Params{1, 1, 3}, []row{
			{0, takeN(3), Decision{true, 0, 3000 * ms, 3000 * ms}},
			{0, refund(1), Decision{true, 1, 0, 2000 * ms}},
			// never above the burst, and nothing is remembered beyond it
			{0, refund(math.MaxInt64), Decision{true, 3, 0, 0}},
			{0, refund(1), Decision{true, 3, 0, 0}},
			{0, takeN(3), Decision{true, 0, 3000 * ms, 3000 * ms}},
			// a negative refund takes nothing
			{2000 * ms, refund(-1), Decision{true, 2, 0, 1000 * ms}},
		}},
		"refuse all": {Params{}, []row{
			{0, take, Decision{false, 0, Never, 0}},
			{1e18, take, Decision{false, 0, Never, 0}},
			// a refund does not open it
			{1e18, refund(1), Decision{false, 0, Never, 0}},
			// configured afterwards it begins empty
			{1e18, configure(Params{10, 1, 2}), Decision{false, 0, 100 * ms, 200 * ms}},
			{1e18 + 100*ms, take, Decision{true, 0, 100 * ms, 200 * ms}},
		}},
		"burst 0 refuses at any rate": {Params{1e9, 1, 0}, []row{
			{0, take, Decision{false, 0, Never, 0}},
			{1e18, take, Decision{false, 0, Never, 0}},
		}},
		"rate 0 spends its burst once": {Params{0, 1, 2}, []row{
			{0, take, Decision{true, 1, 0, Never}},
			{1e18, take, Decision{true, 0, Never, Never}},
			{2e18, take, Decision{false, 0, Never, Never}},
			{2e18, refund(1), Decision{true, 1, 0, Never}},
		}},
		"configure keeps the level": {Params{10, 1, 10}, []row{
			{0, takeN(6), Decision{true, 4, 200 * ms, 600 * ms}},
			// a greater burst fills at the rate, not at once
			{0, configure(Params{10, 1, 20}), Decision{true, 4, 0, 1600 * ms}},
			// a smaller one cuts
			{0, configure(Params{10, 1, 3}), Decision{true, 3, 0, 0}},
			// for good
			{0, configure(Params{10, 1, 10}), Decision{true, 3, 0, 700 * ms}},
			// time before the change counts at the old rate, time after it at the new one
			{100 * ms, configure(Params{1000, 1, 10}), Decision{true, 4, 0, 6 * ms}},
			{105 * ms, peek, Decision{true, 9, 0, 1 * ms}},
			// a change that was decided earlier earns no time twice
			{50 * ms, configure(Params{1000, 1, 10}), Decision{true, 4, 0, 6 * ms}},
			{105 * ms, peek, Decision{true, 9, 0, 1 * ms}},
			// in coarser units too
			{105 * ms, configure(Params{1e9, 1, 10}), Decision{true, 9, 0, 1}},
			{105 * ms, configure(Params{1, 86400, 10}), Decision{true, 9, 0, 86400 * second}},
			// nonsense refuses all
			{105 * ms, configure(Params{1, 0, 10}), Decision{false, 0, Never, 0}},
		}},
		"a spender ahead of the change leaves a debt": {Params{1000, 1, 1}, []row{
			{0, take, Decision{true, 0, 1 * ms, 1 * ms}},
			{10 * ms, take, Decision{true, 0, 1 * ms, 1 * ms}},
			// the change knows of 4 ms only: 5 of the 10 tokens were not there yet
			{4 * ms, configure(Params{1e9, 1, 1}), Decision{false, 0, 7, 7}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBucket(0, tt.p)
			for i, r := range tt.rows {
				if got := r.do(b, r.now); got != r.want {
					t.Errorf("row %d at %d:\n got %+v\nwant %+v", i, r.now, got, r.want)
				}
			}
		})
	}
}

// A million changes at one moment refill nothing, whatever the units.
func TestConfigureFlippedDoesNotRefill(t *testing.T) {
	flips := []Params{{300, 1, 500}, {7, 3600, 9}, {1e9, 1, MaxBurst}, {12345678, 7, 500}, {1, MaxDen, 20}}
	b := NewBucket(0, flips[0])
	b.TakeN(0, 497)
	for i := range 1_000_000 {
		b.Configure(0, flips[i%len(flips)])
	}
	if got := b.Peek(0); got.Remaining != 3 {
		t.Errorf("after a million changes %d tokens are left of 3", got.Remaining)
	}
}

// A change every 50 ms starves no slow rate: a token a day comes after a day.
func TestConfigureKeepsFractions(t *testing.T) {
	const tick = 50 * ms
	b := NewBucket(0, Params{1, 86400, 1})
	b.Take(0)
	for now := int64(0); now < day*second; now += tick {
		b.Configure(now, Params{1, 86400, 1 + now/tick%2})
	}
	if got := b.Peek(day*second - 1); got.OK {
		t.Errorf("a token was there before a day was over: %+v", got)
	}
	if got := b.Peek(day * second); !got.OK {
		t.Errorf("no token after a day: %+v", got)
	}
}

// A million tokens later each still comes to the nanosecond.
func TestBucketDoesNotDrift(t *testing.T) {
	const each = 3 * second
	b := NewBucket(0, Params{1, 3, 1})
	for now := int64(0); now < 1_000_000*each; now += each {
		if b.Take(now-1).OK && now > 0 {
			t.Fatalf("a token came before %d", now)
		}
		if now > 0 && !b.Take(now).OK {
			t.Fatalf("no token at %d", now)
		}
	}
}

// Racing with changes of the rate, every token is admitted exactly once: the
// sum is what the rates earned. The bucket is emptied first, and too big for
// anything to spill.
func TestConfigureRace(t *testing.T) {
	const (
		burst   = MaxBurst
		changes = 20_000
	)
	for name, rates := range map[string][]Params{
		"equal units": {{3, 7, burst}, {1e4, 1, burst}, {0, 1, burst}, {9999, 7, burst}},
		"mixed units": {{3, 7, burst}, {1e6, 7, burst}, {1e9, 50, burst}, {0, 1, burst}, {1e9, 1e4, burst}},
	} {
		t.Run(name, func(t *testing.T) {
			var (
				clock, admitted atomic.Int64
				done            atomic.Bool
				takers          sync.WaitGroup
			)
			b, o := NewBucket(0, rates[0]), newOracle(rates[0])
			b.TakeN(0, burst)
			for range 3 {
				takers.Go(func() {
					for !done.Load() {
						if b.TakeN(clock.Add(7), 2).OK {
							b.Refund(1)
							admitted.Add(1)
						}
					}
				})
			}
			coarsest := int64(finestUnit)
			for i := range changes {
				now, p := clock.Add(11), rates[i%len(rates)]
				b.Configure(now, p)
				o.configure(now, p)
				coarsest = min(coarsest, newMeter(0, p).unit)
			}
			done.Store(true)
			takers.Wait()
			// Takers were ahead of the last changes: until their debt is paid.
			now := clock.Load()
			now += b.Peek(now).RetryAfter
			for b.Take(now).OK {
				admitted.Add(1)
			}
			o.advance(now)

			// Not admitted: the token that is not whole yet, and the rounding.
			missing := new(big.Rat).Sub(o.earned, tokens(admitted.Load()))
			rounding := new(big.Rat).SetFrac64(changes, coarsest)
			if missing.Sign() < 0 || missing.Cmp(rounding.Add(rounding, tokens(1))) > 0 {
				t.Errorf("admitted %d of %v tokens", admitted.Load(), o.earned.FloatString(3))
			}
		})
	}
}
