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
	epoch       atomic.Pointer[epoch]
	configuring sync.Mutex
}

// epoch is a bucket between two changes of its parameters.
type epoch struct {
	spent atomic.Int64
	_     [56]byte // who reads the meter shall not wait for those who spend
	meter
}

// NewBucket returns a bucket that is full. One that shall begin empty is made
// with the zero Params and configured afterwards.
func NewBucket(now int64, p Params) *Bucket {
	e := &epoch{meter: newMeter(now, p)}
	e.spent.Store(e.full(0))
	b := new(Bucket)
	b.epoch.Store(e)
	return b
}

// Take takes one token, or none and says when to come back.
func (b *Bucket) Take(now int64) Decision { return b.TakeN(now, 1) }

// TakeN takes n tokens, all or none. More than the burst is never granted; n
// below 1 costs nothing.
func (b *Bucket) TakeN(now, n int64) Decision {
	for {
		e := b.epoch.Load()
		earned, rest := e.read(now)
		cost := e.cost(n)
		for spent := e.spent.Load(); spent != sealed; spent = e.spent.Load() {
			level := e.level(earned, spent)
			if max(level, 0) < cost {
				return e.report(false, level, cost, rest)
			}
			level -= cost
			if e.spent.CompareAndSwap(spent, earned-level) {
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
		e := b.epoch.Load()
		earned, rest := e.read(now)
		if spent := e.spent.Load(); spent != sealed {
			level := e.level(earned, spent)
			return e.report(level >= e.unit, level, e.unit, rest)
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
	e := &epoch{meter: old.next(now, p)}
	// From here to the last line racing calls spin: nothing slow in between.
	spent := old.spent.Swap(sealed)
	e.spent.Store(old.carry(spent, &e.meter))
	b.epoch.Store(e)
}
