package latency

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestBounds(t *testing.T) {
	if len(bounds) != Buckets-1 {
		t.Fatalf("%d bounds; Buckets must be %d", len(bounds), len(bounds)+1)
	}
	if bounds[0] != minBound || bounds[len(bounds)-1] != maxBound {
		t.Errorf("bounds from %v to %v, want %v to %v", bounds[0], bounds[len(bounds)-1], minBound, maxBound)
	}
	for i := 1; i < len(bounds); i++ {
		if width := float64(bounds[i])/float64(bounds[i-1]) - 1; width <= 0 || width > 0.15 {
			t.Errorf("bucket up to %v is %.1f %% wide", bounds[i], 100*width)
		}
	}
}

func TestObserve(t *testing.T) {
	last := time.Duration(math.MaxInt64)
	for _, row := range []struct {
		latency time.Duration
		upper   time.Duration // of the bucket that counts it
		micros  uint64
	}{
		// A clock that stepped back: zero.
		{-time.Second, 50 * time.Microsecond, 0},
		{0, 50 * time.Microsecond, 0},
		// An upper bound is inclusive ...
		{50 * time.Microsecond, 50 * time.Microsecond, 50},
		{10 * time.Millisecond, 10 * time.Millisecond, 10_000},
		// ... to the nanosecond.
		{10*time.Millisecond + 1, 11200 * time.Microsecond, 10_000},
		// The bound that is no preferred number has both its neighbours.
		{28*time.Second + 1, 30 * time.Second, 28_000_000},
		{30*time.Second + 1, 31500 * time.Millisecond, 30_000_000},
		// Beyond the last bound, without end.
		{120 * time.Second, 120 * time.Second, 120_000_000},
		{120*time.Second + 1, last, 120_000_000},
		{last, last, uint64(last / time.Microsecond)},
	} {
		var h Histogram
		h.Observe(row.latency)
		s := h.Snapshot()
		bucket := slices.Index(s.Counts[:], 1)
		upper := last
		if bucket < len(bounds) {
			upper = bounds[bucket]
		}
		if upper != row.upper || s.SumMicros != row.micros || s.Count() != 1 {
			t.Errorf("%v: bucket up to %v, sum %d, count %d; want %v, %d, 1",
				row.latency, upper, s.SumMicros, s.Count(), row.upper, row.micros)
		}
	}
}

func TestQuantile(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		latencies []time.Duration
		q, want   float64
	}{
		// Nothing observed.
		{nil, 0.5, 0},
		// One in (9, 10]: the middle of the bucket, its ends.
		{[]time.Duration{10 * ms}, 0.5, 9.5},
		{[]time.Duration{10 * ms}, 0, 9},
		{[]time.Duration{10 * ms}, 1, 10},
		// Out of range: as the nearest end.
		{[]time.Duration{10 * ms}, -1, 9},
		// Two of four in (90, 100]: the median is the end of the lower bucket.
		{[]time.Duration{10 * ms, 10 * ms, 100 * ms, 100 * ms}, 0.5, 10},
		{[]time.Duration{10 * ms, 10 * ms, 100 * ms, 100 * ms}, 0.75, 95},
		// The first bucket begins at 0.
		{[]time.Duration{0}, 0.5, 0.025},
		// What lies beyond the last bound is reported as that bound.
		{[]time.Duration{time.Hour}, 0.5, 120_000},
	} {
		var h Histogram
		for _, latency := range row.latencies {
			h.Observe(latency)
		}
		s := h.Snapshot()
		if got := s.Quantile(row.q); math.Abs(got-row.want) > 1e-9 {
			t.Errorf("%v: quantile %v is %v, want %v", row.latencies, row.q, got, row.want)
		}
	}
}

// The quantile of the buckets and that of the sorted latencies lie in the same
// bucket.
func TestQuantileErrorIsWithinABucket(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Exponents, so that all decades are tried alike.
		exponents := rapid.SliceOfN(rapid.Float64Range(0, math.Log(float64(maxBound))), 1, 300).Draw(t, "exponents")
		q := rapid.Float64Range(0.001, 1).Draw(t, "q")
		var h Histogram
		latencies := make([]time.Duration, len(exponents))
		for i, e := range exponents {
			latencies[i] = min(time.Duration(math.Exp(e)), maxBound)
			h.Observe(latencies[i])
		}
		slices.Sort(latencies)
		exact := latencies[int(math.Ceil(q*float64(len(latencies))))-1]
		bucket, _ := slices.BinarySearch(bounds, exact)
		lower := 0.0
		if bucket > 0 {
			lower = millis(bounds[bucket-1])
		}
		s := h.Snapshot()
		const rounding = 1e-9
		if got := s.Quantile(q); got < lower-rounding || got > millis(bounds[bucket])+rounding {
			t.Fatalf("quantile %v is %v ms, exactly %v: not within its bucket", q, got, exact)
		}
	})
}

// It makes no difference whether two nodes count apart or together.
func TestMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		latencies := rapid.SliceOf(rapid.Int64Range(0, int64(2*maxBound))).Draw(t, "latencies")
		var apart [2]Histogram
		var together Histogram
		for i, latency := range latencies {
			apart[i%2].Observe(time.Duration(latency))
			together.Observe(time.Duration(latency))
		}
		first, second := apart[0].Snapshot(), apart[1].Snapshot()
		merged := first
		merged.Merge(&second)
		if merged != together.Snapshot() {
			t.Fatal("merged snapshots differ from those of one histogram")
		}
		merged.Subtract(&first)
		if merged != second {
			t.Fatal("Subtract does not undo Merge")
		}
	})
}

func BenchmarkHistogramObserve(b *testing.B) {
	var h Histogram
	for i := 0; b.Loop(); i++ {
		h.Observe(time.Duration(i%1000) * 100 * time.Microsecond)
	}
}
