package limit

import (
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// sealed is no spent mark: it says that the epoch is over.
const sealed = math.MinInt64

// Bucket is a token bucket that is shared by all requests of a node: exact,
// without a lock, with parameters that may change while it is in use. All
// methods may be called at the same time. A caller whose now is behind another
// caller's finds less in the bucket than there is, never more.
type Bucket struct {
	epoch atomic.Pointer[epoch]
	until atomic.Int64 // the first moment at which all is refused; Never on its own
	share              // what a bucket that is a part of a greater one has beside
	_     [40]byte     // who reads the above shall not wait for those who count
	count
	configuring sync.Mutex
}

// epoch is a bucket between two changes of its parameters.
type epoch struct {
	spent atomic.Int64
	_     [56]byte // who reads the meter shall not wait for those who spend
	meter
	low   int64 // in units: a level below rings the bell
	start int64 // the first spent mark
}

// NewBucket returns a bucket that is full. One that shall begin empty is made
// with the zero Params and configured afterwards.
func NewBucket(now int64, p Params) *Bucket {
	m := newMeter(now, p)
	return newBucket(m, m.full(0))
}

func newBucket(m meter, spent int64) *Bucket {
	b := new(Bucket)
	b.until.Store(Never)
	b.retryAfter.Store(Never)
	b.publish(&epoch{meter: m, low: math.MinInt64}, spent)
	return b
}

func (b *Bucket) publish(e *epoch, spent int64) {
	e.start = spent
	e.spent.Store(spent)
	b.epoch.Store(e)
}

// Take takes one token, or none and says when to come back.
func (b *Bucket) Take(now int64) Decision { return b.TakeN(now, 1) }

// TakeN takes n tokens, all or none. More than the burst is never granted; n
// below 1 costs nothing.
func (b *Bucket) TakeN(now, n int64) Decision {
	for {
		until := b.until.Load() // before the epoch: see End
		e := b.epoch.Load()
		earned, rest := e.read(now)
		cost := e.cost(n)
		for spent := e.spent.Load(); spent != sealed; spent = e.spent.Load() {
			level := e.level(earned, spent)
			if max(level, 0) < cost || now >= until {
				return b.refuse(e, level, cost, rest, now >= until)
			}
			level -= cost
			if e.spent.CompareAndSwap(spent, earned-level) {
				if spill := earned - spent - e.burst; spill > 0 {
					b.spilled.Add(spill * (finestUnit / e.unit))
				}
				if level < e.low {
					b.ring()
				}
				return e.report(true, level, cost, rest)
			}
		}
		runtime.Gosched() // until Configure has published the next epoch
	}
}

// Refund gives n tokens back that were taken and not used. The bucket never
// holds more than its burst; n below 1 does nothing.
func (b *Bucket) Refund(n int64) {
	for {
		e := b.epoch.Load()
		for spent := e.spent.Load(); spent != sealed; spent = e.spent.Load() {
			if e.spent.CompareAndSwap(spent, e.refund(spent, n)) {
				return
			}
		}
		runtime.Gosched()
	}
}

// Peek is what Take would find, with nothing taken.
func (b *Bucket) Peek(now int64) Decision {
	for {
		until := b.until.Load()
		e := b.epoch.Load()
		earned, rest := e.read(now)
		if spent := e.spent.Load(); spent != sealed {
			level := e.level(earned, spent)
			d := e.report(level >= e.unit, level, e.unit, rest)
			if now >= until {
				d.OK, d.Remaining = false, 0
			}
			if !d.OK {
				d.RetryAfter = min(d.RetryAfter, b.retryAfter.Load())
			}
			return d
		}
		runtime.Gosched()
	}
}

// Configure changes the parameters from now on. The level is kept, cut to the
// new burst: nothing is refilled, and a higher rate helps from this moment.
// Every racing Take and Refund counts once, in the old epoch or in the new one.
func (b *Bucket) Configure(now int64, p Params) {
	b.configuring.Lock()
	defer b.configuring.Unlock()
	old := b.epoch.Load()
	b.replace(old, &epoch{meter: old.next(now, newMeter(now, p)), low: math.MinInt64}, 0)
}

// replace ends the epoch old and begins e with the same level and add units
// more, cut to e's burst. The caller holds configuring.
func (b *Bucket) replace(old, e *epoch, add int64) {
	// From here to the last line racing calls spin: nothing slow in between.
	spent := old.spent.Swap(sealed)
	b.taken += (spent - old.start) * (finestUnit / old.unit)
	b.publish(e, max(old.carry(spent, &e.meter)-add, -e.burst))
}
