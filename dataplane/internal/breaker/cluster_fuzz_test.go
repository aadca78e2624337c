package breaker

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"apiproxy.internal/shared/wire"
	"pgregory.net/rapid"
)

func TestClusterProperties(t *testing.T) { rapid.Check(t, clusterProperties) }

func FuzzCluster(f *testing.F) { f.Fuzz(rapid.MakeFuzz(clusterProperties)) }

// clusterProperties draws what an adapter may bring, in any order, and checks
// what must hold whatever it was: permits are neither made nor lost.
func clusterProperties(t *rapid.T) {
	b := New(standard)
	b.Join(func() {})
	var (
		now, nonce = int64(1), int64(1)
		held       []Permit
		told       = uint64(0)
		newest     = wire.Generation{}
	)
	drawGen := func(t *rapid.T) wire.Generation {
		return wire.Generation{Epoch: rapid.Uint64Range(0, 2).Draw(t, "epoch"), Gen: rapid.Uint64Range(0, 5).Draw(t, "gen")}
	}
	states := rapid.SampledFrom([]string{wire.BreakerClosed, wire.BreakerOpen, wire.BreakerHalfOpen, wire.BreakerHalfOpen, "ajar", ""})
	t.Repeat(map[string]func(*rapid.T){
		"acquire": func(t *rapid.T) {
			p, ok, wait, _ := b.Acquire(now)
			if ok {
				held = append(held, p)
			} else if wait <= 0 || p != (Permit{}) {
				t.Fatalf("refused with %+v and a wait of %v", p, wait)
			}
		},
		"done": func(t *rapid.T) {
			if len(held) == 0 {
				t.Skip("none is held")
			}
			i := rapid.IntRange(0, len(held)-1).Draw(t, "permit")
			b.Done(now, held[i], Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")))
			held = slices.Delete(held, i, i+1)
		},
		"impose": func(t *rapid.T) {
			e := wire.BreakerEntry{Generation: drawGen(t), State: states.Draw(t, "state"), RetryMS: rapid.Int64().Draw(t, "retry")}
			if rapid.Bool().Draw(t, "forced") {
				e.Forced = &wire.Forced{}
			}
			b.Impose(now, e)
			if e.Compare(newest) > 0 {
				newest = e.Generation
			}
		},
		"grant": func(t *rapid.T) {
			p := wire.Probes{Generation: newest, Granted: told + rapid.Uint64Range(0, 3).Draw(t, "more")}
			if rapid.IntRange(0, 9).Draw(t, "wild") == 0 {
				p = wire.Probes{Generation: drawGen(t), Granted: rapid.Uint64Range(0, 1<<40).Draw(t, "granted")}
			}
			b.Grant(now, rapid.SampledFrom([]int64{nonce, now, 1 << 62, -1 << 62}).Draw(t, "nonce"), p)
		},
		"follow":   func(t *rapid.T) { b.Follow(rapid.Bool().Draw(t, "heard"), rapid.IntRange(-1, 5).Draw(t, "nodes")) },
		"evidence": func(*rapid.T) { nonce = now; b.Evidence(now) },
		"wait":     func(t *rapid.T) { now += rapid.Int64Range(0, 20*s).Draw(t, "ns") },
		"": func(t *rapid.T) {
			e, st := b.Evidence(now), b.Stats(now)
			if e.Generation != newest {
				t.Fatalf("generation %v, %v came", e.Generation, newest)
			}
			if e.Granted < told {
				t.Fatalf("%d granted after %d", e.Granted, told)
			}
			told = e.Granted
			if unused := b.cluster.held; e.Granted-e.Done != unused+uint64(st.Leased) {
				t.Fatalf("%d - %d permits, but %d unused and %d in use", e.Granted, e.Done, unused, st.Leased)
			}
			if e.Own != st.SlotsInUse-st.Leased || st.SlotsFree < 0 {
				t.Fatalf("%+v\n%+v", e, st)
			}
			if e.RetryMS < 0 || e.Wants < 0 || e.Wants > standard.HalfOpenRequests {
				t.Fatalf("%+v", e)
			}
			if st.State != b.State(now) || b.quiet.Load() != 0 && st.State != closed {
				t.Fatalf("%v, %v, quiet %d", st.State, b.State(now), b.quiet.Load())
			}
		},
	})
}

// A node under full traffic, with a leader that changes its mind: probes never
// exceed the permits, and every permit comes back.
func TestClusterHammer(t *testing.T) {
	const goroutines, each = 4, 10_000
	var (
		b        = New(standard)
		clock    atomic.Int64
		granted  atomic.Uint64 // raised before the grant is told
		notified atomic.Int64
		wg       sync.WaitGroup
		stop     = make(chan struct{})
		chains   [goroutines + 1][]Transition
	)
	b.Join(func() { notified.Add(1) })
	for g := range goroutines {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(g), 2))
			for range each {
				p, ok, _, change := b.Acquire(clock.Add(1000))
				chains[g] = append(chains[g], change)
				if ok {
					chains[g] = append(chains[g], b.Done(clock.Add(1000), p, Outcome(random.IntN(3))))
				}
			}
		})
	}
	var leader sync.WaitGroup
	leader.Go(func() {
		states := []string{wire.BreakerOpen, wire.BreakerHalfOpen, wire.BreakerClosed}
		for n := uint64(1); ; n++ {
			now := clock.Add(1)
			e := wire.BreakerEntry{Generation: gen(n), State: states[n%3], RetryMS: 1}
			chains[goroutines] = append(chains[goroutines], b.Impose(now, e))
			for range 50 {
				ev := b.Evidence(clock.Add(1))
				if ev.Granted > granted.Load() || ev.Done > ev.Granted {
					t.Errorf("%d granted, %d done, %d told", ev.Granted, ev.Done, granted.Load())
				}
				if ev.Granted-ev.Done < 3 {
					granted.Add(1)
				}
				b.Grant(clock.Add(1), clock.Load(), wire.Probes{Generation: gen(n), Granted: granted.Load()})
				if st := b.Stats(clock.Load()); st.Leased > 3 {
					t.Errorf("%d probes, 3 permits", st.Leased)
				}
				chains[goroutines] = append(chains[goroutines], b.Follow(n%4 != 0, 2))
			}
			if n < 100 {
				continue // whatever the scheduler does, the leader has had its say
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	wg.Wait()
	close(stop)
	leader.Wait()

	if e := b.Evidence(clock.Add(int64(2 * wire.PermitLease))); e.Granted != e.Done || e.Own != 0 {
		t.Errorf("at the end %+v", e)
	}
	chain := slices.DeleteFunc(slices.Concat(chains[:]...), func(c Transition) bool { return !c.Changed() })
	slices.SortFunc(chain, func(a, b Transition) int { return cmp.Compare(a.Generation, b.Generation) })
	for i, change := range chain[1:] {
		if change.From != chain[i].To || change.Generation <= chain[i].Generation {
			t.Fatalf("%+v after %+v", change, chain[i])
		}
	}
	if len(chain) < 10 || notified.Load() < 10 {
		t.Errorf("%d transitions, notified %d times: the hammer missed", len(chain), notified.Load())
	}
	t.Logf("%d transitions, %d permits, notified %d times", len(chain), granted.Load(), notified.Load())
}
