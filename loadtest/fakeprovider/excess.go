package fakeprovider

import (
	"math"
	"slices"
)

// Excess is the largest number of arrivals above rate*T + burst over any window,
// where T is the window's length in seconds and both its ends count. stamps are
// nanoseconds in any order; rate is per second, burst in arrivals. The window is
// [from, to], the earliest one of the worst.
//
// worst <= 0 means that the limit was never exceeded, and -worst is the room that
// was left. Without stamps the result is -burst, 0, 0. A rate that is negative
// or not a number counts as 0, the strictest. Stamps are subtracted exactly and
// each window is rounded once, so the error stays below 1e-9 for up to a million
// arrivals per window: compare with a small tolerance, not with 0.
//
// It replays a token bucket: the backlog b after an arrival obeys Lindley's
// recursion b' = max(0, b - rate*gap) + 1 (D. V. Lindley, "The theory of queues
// with a single server", 1952), and the backlog is the worst excess of all
// windows that end there. O(n) for sorted stamps, which are not copied.
func Excess(stamps []int64, rate, burst float64) (worst float64, from, to int64) {
	if len(stamps) == 0 {
		return -burst, 0, 0
	}
	if !(rate >= 0) {
		rate = 0
	}
	rate = min(rate, math.MaxFloat64) // infinity times a gap of 0 would be no number
	if !slices.IsSorted(stamps) {
		stamps = slices.Clone(stamps)
		slices.Sort(stamps)
	}

	start := 0 // of the worst window that ends at i
	worst = math.Inf(-1)
	for i, stamp := range stamps {
		if float64(i-start) < rate*seconds(stamps[start], stamp) {
			start = i // the bucket has been full since: older arrivals no longer matter
		}
		if backlog := float64(i-start+1) - rate*seconds(stamps[start], stamp); backlog > worst {
			worst, from, to = backlog, stamps[start], stamp
		}
	}
	return worst - burst, from, to
}

// seconds from a to b, a <= b; unsigned, because b-a may not fit into an int64.
func seconds(a, b int64) float64 { return float64(uint64(b)-uint64(a)) / 1e9 }
