package accuracy

import (
	"slices"

	"apiproxy.internal/loadtest/fakeprovider"
)

// limitAt is a limit and the moment from which it holds, in unix nanoseconds.
type limitAt struct {
	Limit
	at int64
}

// bucket is one central token bucket without delay: what an ideal cluster admits.
type bucket struct {
	Limit
	level float64
	at    int64
}

func (b *bucket) accrue(now int64) {
	if now > b.at {
		b.level = min(b.Burst, b.level+b.Rate*float64(now-b.at)/1e9)
		b.at = now
	}
}

// ideal are the moments at which the central bucket would admit, full at first.
func ideal(requests []request, limits []limitAt) (stamps []int64) {
	b := bucket{Limit: limits[0].Limit, level: limits[0].Burst}
	if len(requests) > 0 {
		b.at = requests[0].at
	}
	next := limits[1:]
	for _, r := range requests {
		for ; len(next) > 0 && next[0].at <= r.at; next = next[1:] {
			b.accrue(next[0].at)
			b.Limit = next[0].Limit
			b.level = min(b.level, b.Burst)
		}
		b.accrue(r.at)
		if b.level >= 1 {
			b.level--
			stamps = append(stamps, r.at)
		}
	}
	return stamps
}

// changeTime is what the nodes may take to obey a lower limit, once all of them
// know it: a report, an answer and the next report.
const changeTime = int64(200e6)

// excess is the worst window of all: in each stretch between two changes with the
// limit in force, and over all of them with the widest one.
func excess(stamps []int64, limits []limitAt) float64 {
	stamps = slices.Sorted(slices.Values(stamps))
	widest := limits[0].Limit
	for _, l := range limits {
		widest.Rate, widest.Burst = max(widest.Rate, l.Rate), max(widest.Burst, l.Burst)
	}
	worst, _, _ := fakeprovider.Excess(stamps, widest.Rate, widest.Burst)
	for i, l := range limits {
		from, to := l.at, int64(1<<63-1)
		if i > 0 {
			from += changeTime
		}
		if i+1 < len(limits) {
			to = limits[i+1].at
		}
		first, _ := slices.BinarySearch(stamps, from)
		last, _ := slices.BinarySearch(stamps, to)
		if first < last {
			over, _, _ := fakeprovider.Excess(stamps[first:last], l.Rate, l.Burst)
			worst = max(worst, over)
		}
	}
	if worst < rounding {
		return 0
	}
	return worst
}

// rounding is the part of a token that may be missing in the sums: micro-tokens at
// the nodes, and the microseconds by which the wall clocks of processes differ
// that were read at their starts.
const rounding = 0.01

const binTime = int64(20e6)

// profile is how many fall into each 20 ms after from.
func profile(stamps []int64, from, to int64) []float64 {
	bins := make([]float64, max((to-from)/binTime, 0))
	for _, s := range stamps {
		if i := (s - from) / binTime; s >= from && i < int64(len(bins)) {
			bins[i]++
		}
	}
	return bins
}

func sum(bins []float64) (x float64) {
	for _, b := range bins {
		x += b
	}
	return x
}

// The spans over which recovery judges. A longer one forgives a hiccup of the
// machine, after which what was late is made up for.
const (
	shortSpan = 10 // bins: 200 ms
	longSpan  = 25
)

// recovery compares what was admitted in from..to with the ideal: the utilisation,
// and the milliseconds until no span of so many bins was below 95 % of it any more.
func recovery(admitted, ideal []int64, from, to int64, span int) (during, back float64) {
	got, want := profile(admitted, from, to), profile(ideal, from, to)
	during = 100
	if all := sum(want); all > 0 {
		during = 100 * sum(got) / all
	}
	for i := 0; i+span <= len(got); i++ {
		if sum(got[i:i+span]) < 0.95*sum(want[i:i+span]) {
			back = float64(int64(i+1)*binTime) / 1e6
		}
	}
	return during, back
}
