package breaker

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// Under all the traffic that can be had: never more probes at once than slots,
// every slot comes back, and the reported transitions are one unbroken chain.
func TestHammer(t *testing.T) {
	const goroutines, each = 8, 20_000
	config := Config{FailureThreshold: 3, SuccessThreshold: 2, HalfOpenRequests: 3, Timeout: 50}
	b := New(config)
	var (
		clock, probes atomic.Int64
		granted       [verdict.BreakerStates]atomic.Int64
		wg            sync.WaitGroup
		chains        [goroutines][]Transition
	)
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 1))
			note := func(t Transition) {
				if t.Changed() {
					chains[g] = append(chains[g], t)
				}
			}
			var held []Permit
			giveBack := func() {
				i := random.IntN(len(held))
				p := held[i]
				held = slices.Delete(held, i, i+1)
				if p.probe != 0 {
					probes.Add(-1) // before Done: another goroutine may have the slot right after it
				}
				note(b.Done(clock.Add(1), p, Outcome(random.IntN(3))))
			}
			for range each {
				p, ok, _, change := b.Acquire(clock.Add(1))
				note(change)
				if ok {
					held = append(held, p)
				}
				if p.probe != 0 {
					granted[halfOpen].Add(1)
					if n := probes.Add(1); n > int64(config.HalfOpenRequests) {
						t.Errorf("%d probes in flight, at most %d allowed", n, config.HalfOpenRequests)
					}
				} else if ok {
					granted[closed].Add(1)
				}
				// Up to two permits overlap in each goroutine, over transitions too.
				for len(held) > random.IntN(3) {
					giveBack()
				}
			}
			for len(held) > 0 {
				giveBack()
			}
		})
	}
	wg.Wait()

	stats := b.Stats(clock.Load())
	if stats.SlotsInUse != 0 || stats.SlotsFree != config.HalfOpenRequests {
		t.Errorf("%d slots in use, %d free at the end, want 0 and %d", stats.SlotsInUse, stats.SlotsFree, config.HalfOpenRequests)
	}
	chain := slices.Concat(chains[:]...)
	slices.SortFunc(chain, func(a, b Transition) int { return cmp.Compare(a.Generation, b.Generation) })
	state := closed
	for i, change := range chain {
		if change.Generation != uint64(i+2) || change.From != state {
			t.Fatalf("transition %d is %+v, want generation %d from %v", i, change, i+2, state)
		}
		state = change.To
	}
	if want := uint64(len(chain) + 1); stats.Generation != want {
		t.Errorf("generation %d after %d transitions, want %d", stats.Generation, len(chain), want)
	}
	if len(chain) < 100 || granted[closed].Load() == 0 || granted[halfOpen].Load() == 0 {
		t.Errorf("%d transitions, %d closed permits, %d probes: the hammer missed the breaker",
			len(chain), granted[closed].Load(), granted[halfOpen].Load())
	}
	t.Logf("%d transitions, %d closed permits, %d probes", len(chain), granted[closed].Load(), granted[halfOpen].Load())
}

// However many permits were granted on the lock-free path: if all fail, exactly
// one failure opens the breaker and the rest are void.
func TestSimultaneousFailuresOpenOnce(t *testing.T) {
	const attempts = 64
	b := New(standard)
	var start, wg sync.WaitGroup
	var openings atomic.Int64
	start.Add(attempts)
	for range attempts {
		wg.Go(func() {
			p, _, _, _ := b.Acquire(1)
			start.Done()
			start.Wait()
			if b.Done(1, p, Failure).Changed() {
				openings.Add(1)
			}
		})
	}
	wg.Wait()
	want := Stats{State: open, Failures: 5, OpenedAt: 1, RetryAt: 1 + int64(30*time.Second), SlotsFree: 3, Generation: 2}
	if got := b.Stats(1); got != want || openings.Load() != 1 {
		t.Fatalf("%d openings, %+v\nwant 1, %+v", openings.Load(), got, want)
	}
}
