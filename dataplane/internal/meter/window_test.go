package meter

import (
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	sec = int64(time.Second)
	ms  = int64(time.Millisecond)
)

func TestWindow(t *testing.T) {
	var w Window
	for i, step := range []struct {
		now int64
		add uint64
		sum uint64 // after the add
	}{
		// Empty at start.
		{0, 0, 0},
		// Events of one second add up.
		{0, 1, 1},
		{999 * ms, 2, 3},
		// A new second keeps the old ones.
		{1 * sec, 4, 7},
		// Second 0 counts until the end of second 9.
		{10*sec - 1, 0, 7},
		// At 10 s it drops out as a whole.
		{10 * sec, 0, 4},
		// A reader with an older clock still sees its own window.
		{9 * sec, 0, 7},
		// A late event lands in its own second.
		{5 * sec, 8, 15},
		{11 * sec, 0, 8},
		// Slot 5 is taken over by second 21; nothing of second 5 is left in it.
		{21 * sec, 1, 1},
		// An event 16 s late is dropped and harms nothing; seconds 0 and 1 are
		// still in their slots.
		{5 * sec, 100, 7},
		{21 * sec, 0, 1},
		// A long silence empties the window, whatever the slots still hold.
		{1000 * sec, 0, 0},
		// A second saturates instead of spilling into its neighbour's bits.
		{1000 * sec, math.MaxUint64, maxCount},
		{1000 * sec, 1, maxCount},
		{1001 * sec, 1, maxCount + 1},
		// The end of time is a second like any other.
		{math.MaxInt64, 3, 3},
	} {
		w.Add(step.now, step.add)
		if sum := w.Sum(step.now); sum != step.sum {
			t.Fatalf("step %d, at %d: sum %d, want %d", i, step.now, sum, step.sum)
		}
	}
}

func TestNegativeTimeIsZero(t *testing.T) {
	var w Window
	w.Add(math.MinInt64, 1)
	w.Add(0, 1)
	if sum := w.Sum(-1); sum != 2 {
		t.Fatalf("sum %d, want 2", sum)
	}
}

// While clocks are at most 6 s apart, the window equals a list of all events.
func TestWindowAgainstList(t *testing.T) { rapid.Check(t, againstList) }

func FuzzWindow(f *testing.F) { f.Fuzz(rapid.MakeFuzz(againstList)) }

func againstList(t *rapid.T) {
	type event struct{ second, n int64 }
	var w Window
	var events []event
	var front int64 // the furthest clock, in seconds
	for range rapid.IntRange(1, 200).Draw(t, "steps") {
		front += rapid.SampledFrom([]int64{0, 0, 0, 1, 1, 2, 9, 10, 15, 16, 17, 100}).Draw(t, "advance")
		s := max(0, front-rapid.Int64Range(0, slots-windowSeconds).Draw(t, "late"))
		now := s*sec + rapid.Int64Range(0, sec-1).Draw(t, "ns")

		n := rapid.Int64Range(0, 1000).Draw(t, "n")
		w.Add(now, uint64(n))
		events = append(events, event{s, n})

		var want int64
		for _, e := range events {
			if s-windowSeconds < e.second && e.second <= s {
				want += e.n
			}
		}
		if got := w.Sum(now); got != uint64(want) {
			t.Fatalf("sum at second %d is %d, want %d", s, got, want)
		}
	}
}

// No event is lost when many goroutines open and fill the same seconds.
func TestSimultaneousAdds(t *testing.T) {
	const goroutines, each = 8, 10_000
	var w Window
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range int64(each) {
				w.Add(i*windowSeconds*sec/each, 1)
			}
		})
	}
	wg.Wait()
	if sum := w.Sum((windowSeconds - 1) * sec); sum != goroutines*each {
		t.Fatalf("sum %d, want %d", sum, goroutines*each)
	}
}

func TestNoAllocations(t *testing.T) {
	var w Window
	var now int64
	if n := testing.AllocsPerRun(1000, func() { now += 100 * ms; w.Add(now, 1); w.Sum(now) }); n != 0 {
		t.Fatalf("Add and Sum allocate %v times, want 0", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	var w Window
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w.Add(sec, 1)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	var w Window
	for b.Loop() {
		w.Sum(100 * sec)
	}
}
