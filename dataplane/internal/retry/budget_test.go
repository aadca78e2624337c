package retry

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const sec = int64(time.Second)

// grants is how many retries the budget gives at now until it refuses.
func grants(b *Budget, now int64) int {
	n := 0
	for b.TryRetry(now) {
		n++
	}
	return n
}

func TestBudget(t *testing.T) {
	var b Budget
	for i, step := range []struct {
		now      int64
		requests int // counted first
		granted  int // then all that can be had
	}{
		// Full at start, without a single request.
		{0, 0, 30},
		{0, 0, 0},
		// 10 % of 300 is no more than the floor;
		{1 * sec, 300, 0},
		// of 309 neither, it rounds down;
		{1 * sec, 9, 0},
		// of 310 it is one more.
		{1 * sec, 1, 1},
		// Load buys retries.
		{2 * sec, 690, 69},
		// What was spent in second 0 comes back at second 10, not before.
		{9 * sec, 0, 0},
		{10 * sec, 0, 30},
		// All of it comes back in silence, the floor alone remains.
		{30 * sec, 0, 30},
		// A caller with an older clock spends from the same budget.
		{25 * sec, 0, 0},
	} {
		for range step.requests {
			b.Request(step.now)
		}
		if n := grants(&b, step.now); n != step.granted {
			t.Fatalf("step %d, at %d s: %d retries granted, want %d", i, step.now/sec, n, step.granted)
		}
	}
}

// A retry is granted exactly if the two lists of events say so.
func TestBudgetAgainstList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Budget
		var now int64
		var requests, retries []int64 // seconds
		recent := func(events []int64) (n int) {
			for _, s := range events {
				if s > now/sec-10 {
					n++
				}
			}
			return n
		}
		for range rapid.IntRange(1, 50).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3*sec).Draw(t, "advance")
			for range rapid.IntRange(0, 200).Draw(t, "requests") {
				b.Request(now)
				requests = append(requests, now/sec)
			}
			for range rapid.IntRange(0, 50).Draw(t, "retries") {
				want := recent(retries) < max(recent(requests)/10, 30)
				if got := b.TryRetry(now); got != want {
					t.Fatalf("TryRetry at %d ns: %v, want %v", now, got, want)
				}
				if want {
					retries = append(retries, now/sec)
				}
			}
		}
	})
}

// Racing callers, some with a clock that lags over a change of second, get what
// a single one would get.
func TestBudgetIsExactUnderConcurrency(t *testing.T) {
	var b Budget
	for range 1000 {
		b.Request(9 * sec)
	}
	var granted atomic.Int64
	var wg sync.WaitGroup
	for g := range int64(8) {
		wg.Go(func() {
			granted.Add(int64(grants(&b, 9*sec+g%2*sec)))
		})
	}
	wg.Wait()
	if n := granted.Load(); n != 100 {
		t.Fatalf("%d retries granted for 1000 requests, want 100", n)
	}
}

func TestNoAllocations(t *testing.T) {
	var b Budget
	p := Policy{Delay: 100 * time.Millisecond}
	value, now := []byte("120"), time.Unix(0, 0)
	if n := testing.AllocsPerRun(1000, func() {
		b.Request(sec)
		b.TryRetry(sec)
		p.Backoff(2, 12345)
		ParseRetryAfter(value, now)
	}); n != 0 {
		t.Fatalf("a retry decision allocates %v times, want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	var budget Budget
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			budget.Request(sec)
		}
	})
}

func BenchmarkTryRetry(b *testing.B) {
	var budget Budget
	for b.Loop() {
		budget.TryRetry(sec)
	}
}
