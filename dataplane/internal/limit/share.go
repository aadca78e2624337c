package limit

import (
	"math"
	"sync/atomic"
)

// Share says what a bucket is while it is a part of a greater one: the rest is
// held by other nodes and by their leader. Out of range counts as 0.
type Share struct {
	Rate int64 // nano-tokens per second, 0..1e18
	Room int64 // micro-tokens that it holds at most, 0..1e15
	Low  int64 // micro-tokens; a Take that leaves less rings the bell
}

// share is what a Take reads of it beside the epoch.
type share struct {
	retryAfter atomic.Int64 // the longest wait to tell; Never on its own
	rung       atomic.Bool  // the bell, since Rearm
	bell       chan<- struct{}
}

// count is what all Takes and Refunds of a bucket came to.
type count struct {
	refused atomic.Uint64
	spilled atomic.Int64 // micro-tokens that were earned while it was full
	taken   int64        // micro-tokens in epochs that are over, spilled ones included; guarded by configuring
}

// NewShare returns a bucket that holds and earns nothing, and refuses all until
// Reshape and End say otherwise. It rings bell, which may be nil and shared by
// many buckets, whenever a Take leaves less than Low or is refused, once until
// Rearm. A Take never waits for the bell: it is rung if its channel has room.
func NewShare(now int64, bell chan<- struct{}) *Bucket {
	m := newMeter(now, Params{})
	b := newBucket(m, m.full(0))
	b.bell = bell
	b.until.Store(math.MinInt64)
	return b
}

// Reshape makes the bucket another share from now on and puts add micro-tokens
// in. What does not fit the new room is lost.
func (b *Bucket) Reshape(now int64, s Share, add int64) {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	old := b.epoch.Load()
	e := &epoch{meter: old.next(now, shareMeter(s))}
	scale := finestUnit / e.unit
	e.low = s.Low / scale
	b.replace(old, e, max(add, 0)/scale)
}

// shareMeter is the meter of a share; its origin and rest are set by next.
func shareMeter(s Share) meter {
	if s.Rate < 0 || s.Rate > MaxRate*second {
		s.Rate = 0
	}
	if s.Room < 0 || s.Room > MaxBurst*finestUnit {
		s.Room = 0
	}
	m := newMeter(0, Params{Num: uint64(s.Rate), Den: second})
	m.burst = s.Room / (finestUnit / m.unit)
	return m
}

// Withdraw takes out what is above keep, in micro-tokens, and says how much it
// was.
func (b *Bucket) Withdraw(now, keep int64) int64 {
	b.configuring.Lock() // so that the epoch is not sealed
	defer b.configuring.Unlock()
	e := b.epoch.Load()
	earned, _ := e.read(now)
	scale := finestUnit / e.unit
	for {
		spent := e.spent.Load()
		level := e.level(earned, spent)
		surplus := level - (max(keep, 0)+scale-1)/scale
		if surplus <= 0 {
			return 0
		}
		if e.spent.CompareAndSwap(spent, earned-level+surplus) {
			b.taken -= (surplus + max(earned-spent-e.burst, 0)) * scale // neither was taken by a request
			return surplus * scale
		}
	}
}

// End sets the moment from which on all is refused. To go on with less after an
// end, Reshape first: a Take that sees the later end then sees that too.
func (b *Bucket) End(until int64) { b.until.Store(until) }

// Ended reports whether all is refused at now, whatever the bucket holds.
func (b *Bucket) Ended(now int64) bool { return now >= b.until.Load() }

// TellAtMost bounds the RetryAfter of refusals, because a share may be enlarged
// long before it has earned a token by itself.
func (b *Bucket) TellAtMost(ns int64) { b.retryAfter.Store(ns) }

// Level is how much the bucket holds, in micro-tokens, never below 0.
func (b *Bucket) Level(now int64) int64 {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	e := b.epoch.Load()
	earned, _ := e.read(now)
	return max(e.level(earned, e.spent.Load()), 0) * (finestUnit / e.unit)
}

// Counts are the micro-tokens taken and not refunded and the Takes refused so
// far. They are for statistics: with a racing Take the first may be ahead by
// what was spilled at that moment, and come back.
func (b *Bucket) Counts() (taken int64, refused uint64) {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	e := b.epoch.Load()
	taken = b.taken + (e.spent.Load()-e.start)*(finestUnit/e.unit)
	return taken - b.spilled.Load(), b.refused.Load()
}

// Rung reports whether the bell was rung since Rearm.
func (b *Bucket) Rung() bool { return b.rung.Load() }

// Rearm lets the bell ring again.
func (b *Bucket) Rearm() { b.rung.Store(false) }

func (b *Bucket) ring() {
	if b.bell == nil || b.rung.Load() || !b.rung.CompareAndSwap(false, true) {
		return
	}
	select {
	case b.bell <- struct{}{}:
	default: // it rings already
	}
}

// refuse answers a Take that finds too little or comes after the end.
func (b *Bucket) refuse(e *epoch, level, cost int64, rest uint64, ended bool) Decision {
	b.refused.Add(1)
	b.ring()
	if ended {
		level = min(level, 0)
	}
	d := e.report(false, level, cost, rest)
	d.RetryAfter = min(d.RetryAfter, b.retryAfter.Load())
	return d
}
