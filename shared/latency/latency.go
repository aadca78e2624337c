// Package latency counts latencies in fixed buckets, on which several nodes
// agree: their counts add up, so that the percentiles of a cluster are those of
// its requests and not means of the nodes' percentiles.
package latency

import (
	"slices"
	"sync/atomic"
	"time"
)

// Buckets is how many buckets a Histogram has; the last one has no upper bound.
const Buckets = 131

const (
	minBound = 50 * time.Microsecond
	maxBound = 120 * time.Second
)

// preferred numbers, series R20 of ISO 3: twenty steps a decade, each at most
// 14.3 % above the one before, that hold the round figures 1, 2, 2.5 and 5
// exactly.
var preferred = [...]time.Duration{
	100, 112, 125, 140, 160, 180, 200, 224, 250, 280,
	315, 355, 400, 450, 500, 560, 630, 710, 800, 900,
}

// bounds are the upper bounds of all buckets but the last, inclusive as the le
// label of Prometheus is.
var bounds = makeBounds()

func makeBounds() []time.Duration {
	// 30 s is no preferred number, but a bound that readers of le expect.
	all := []time.Duration{30 * time.Second, maxBound}
	for unit := 100 * time.Nanosecond; unit <= time.Second; unit *= 10 {
		for _, n := range preferred {
			if bound := n * unit; bound >= minBound && bound < maxBound {
				all = append(all, bound)
			}
		}
	}
	slices.Sort(all)
	return all
}

// Histogram counts latencies in fixed buckets from 0.05 ms to 120 s that are at
// most 15 % wide. The zero value is ready. Safe for simultaneous use; an
// observation is two atomic additions.
type Histogram struct {
	counts    [Buckets]atomic.Uint64
	sumMicros atomic.Uint64
}

// Observe counts one latency. A negative one counts as zero.
func (h *Histogram) Observe(latency time.Duration) {
	latency = max(latency, 0)
	bucket, _ := slices.BinarySearch(bounds, latency)
	h.counts[bucket].Add(1)
	h.sumMicros.Add(uint64(latency / time.Microsecond))
}

// Snapshot copies the counts. Observations made meanwhile may be in the copy or
// not, each bucket for itself; no count ever falls.
func (h *Histogram) Snapshot() Snapshot {
	var s Snapshot
	for i := range h.counts {
		s.Counts[i] = h.counts[i].Load()
	}
	s.SumMicros = h.sumMicros.Load()
	return s
}

// Snapshot is the state of a Histogram at one moment, or the difference of two.
// It is a plain value: not safe for simultaneous use.
type Snapshot struct {
	Counts    [Buckets]uint64
	SumMicros uint64 // sum of all latencies, microseconds
}

// Merge adds what another histogram has counted.
func (s *Snapshot) Merge(other *Snapshot) {
	for i, n := range other.Counts {
		s.Counts[i] += n
	}
	s.SumMicros += other.SumMicros
}

// Subtract leaves what was counted after the earlier snapshot of the same
// histogram.
func (s *Snapshot) Subtract(earlier *Snapshot) {
	for i, n := range earlier.Counts {
		s.Counts[i] -= n
	}
	s.SumMicros -= earlier.SumMicros
}

// Count is the number of observations.
func (s *Snapshot) Count() uint64 {
	var total uint64
	for _, n := range s.Counts {
		total += n
	}
	return total
}

// SumMillis is the sum of all latencies in milliseconds.
func (s *Snapshot) SumMillis() float64 { return float64(s.SumMicros) / 1000 }

// MeanMillis is the mean latency in milliseconds; 0 without observations.
func (s *Snapshot) MeanMillis() float64 {
	count := s.Count()
	if count == 0 {
		return 0
	}
	return s.SumMillis() / float64(count)
}

// Quantile estimates the q-quantile in milliseconds, q within [0, 1], by linear
// interpolation inside the bucket that holds it: the error is at most the width
// of that bucket. A quantile beyond the last bound is reported as that bound,
// 120000; without observations the answer is 0.
func (s *Snapshot) Quantile(q float64) float64 {
	count := s.Count()
	if count == 0 {
		return 0
	}
	rank := q * float64(count)
	var below uint64
	for i, n := range s.Counts[:len(bounds)] {
		if n > 0 && float64(below+n) >= rank {
			lower := time.Duration(0)
			if i > 0 {
				lower = bounds[i-1]
			}
			share := max(rank-float64(below), 0) / float64(n)
			return millis(lower) + share*millis(bounds[i]-lower)
		}
		below += n
	}
	return millis(maxBound)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Below is the number of observations up to le, which must be a bound for the
// answer to be exact.
func (s *Snapshot) Below(le time.Duration) uint64 {
	var below uint64
	for i := 0; i < len(bounds) && bounds[i] <= le; i++ {
		below += s.Counts[i]
	}
	return below
}

// IsBound reports whether le is the upper bound of a bucket.
func IsBound(le time.Duration) bool {
	_, found := slices.BinarySearch(bounds, le)
	return found
}
