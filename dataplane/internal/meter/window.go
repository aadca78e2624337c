// Package meter counts events over the last seconds.
package meter

import (
	"sync/atomic"
	"time"
)

const (
	// windowSeconds is how many whole seconds Sum looks at.
	windowSeconds = 10

	// slots exceeds windowSeconds so that a caller that read its clock up to
	// slots-windowSeconds seconds ago still finds its whole window.
	slots = 16

	// countBits splits a slot: the count below, the second above. 34 bits of
	// seconds hold every int64 of nanoseconds.
	countBits = 30
	maxCount  = 1<<countBits - 1
)

// Window counts events in slots of one second and sums the last ten of them.
// The zero value is an empty window, ready for use.
//
// Precision, given up for 128 bytes and no goroutine: Sum covers the current
// second so far and the nine before it, that is 9 to 10 s, so a steady rate r
// reads as 9r to 10r. A second holds at most 2^30-1 events, then it saturates.
// Calls may come out of order: while no other caller's clock is more than 6 s
// ahead, sums are exact; an event 16 s or more late is dropped.
//
// Times are nanoseconds since the start of the node; a negative one counts as
// 0. All methods are lock-free, do not allocate and are safe for simultaneous
// use.
type Window struct {
	slots [slots]atomic.Uint64 // second<<countBits | count
}

// Add counts n events at now.
func (w *Window) Add(now int64, n uint64) {
	sec := second(now)
	slot := &w.slots[sec%slots]
	for {
		old := slot.Load()
		held, count := old>>countBits, old&maxCount
		if held > sec {
			return // the slot has moved on: nobody's window reaches back to sec
		}
		if held < sec {
			count = 0
		}
		count = min(count+min(n, maxCount), maxCount)
		if slot.CompareAndSwap(old, sec<<countBits|count) {
			return
		}
	}
}

// Sum is the number of events in the second of now and the nine before it.
func (w *Window) Sum(now int64) uint64 {
	last := second(now)
	first := last - min(last, windowSeconds-1)
	var sum uint64
	for sec := first; sec <= last; sec++ {
		if v := w.slots[sec%slots].Load(); v>>countBits == sec {
			sum += v & maxCount
		}
	}
	return sum
}

func second(now int64) uint64 {
	return uint64(max(now, 0)) / uint64(time.Second)
}
