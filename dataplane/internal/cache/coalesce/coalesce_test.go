package coalesce

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var question = []byte("question")

// crowd lets n requests ask at once. lead is what a leader does; the outcomes
// are counted.
func crowd(g *Group[int], n int, patience time.Duration, lead func(*Ticket[int])) *[GaveUp + 1]atomic.Int64 {
	var outcomes [GaveUp + 1]atomic.Int64
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			t, leads := g.Join(question)
			defer t.Abandon()
			if !leads {
				o, _ := t.Wait(nil, time.After(patience))
				outcomes[o].Add(1)
				leads = o == Lead
			}
			if leads {
				lead(&t)
			}
		})
	}
	all.Wait()
	return &outcomes
}

func TestOneQuestionForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		asked := 0
		o := crowd(&g, 500, time.Second, func(f *Ticket[int]) {
			asked++
			time.Sleep(200 * time.Millisecond) // virtual
			f.Share(func() int { return 42 })
		})
		if asked != 1 || o[Shared].Load() != 499 || g.Flights() != 0 || g.Waiting() != 0 || g.Ended() != 1 {
			t.Errorf("asked %d times, %d answers shared, %d flights left", asked, o[Shared].Load(), g.Flights())
		}
	})
}

// A failed leader is followed by one more; then everybody hears of the failure,
// all at the same moment.
func TestAtMostOneMoreTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		asked, start := 0, time.Now()
		o := crowd(&g, 500, time.Second, func(f *Ticket[int]) {
			asked++
			time.Sleep(200 * time.Millisecond) // virtual
			f.Fail(asked)
		})
		if asked != 2 || o[Failed].Load() != 498 || o[Lead].Load() != 1 || g.Flights() != 0 {
			t.Errorf("asked %d times, %d failures shared", asked, o[Failed].Load())
		}
		if took := time.Since(start); took != 400*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

func TestSecondTrySucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		asked := 0
		o := crowd(&g, 50, time.Second, func(f *Ticket[int]) {
			if asked++; asked == 1 {
				time.Sleep(time.Millisecond) // virtual
				f.Fail(0)
				return
			}
			f.Share(func() int { return 1 })
		})
		if asked != 2 || o[Shared].Load() != 48 {
			t.Errorf("asked %d times, %d shared", asked, o[Shared].Load())
		}
	})
}

// A leader that tries again itself uses up the one more try.
func TestRetriesOfALeaderCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		asked := 0
		o := crowd(&g, 50, time.Hour, func(f *Ticket[int]) {
			for {
				asked++
				time.Sleep(time.Millisecond) // virtual
				if !f.Retry() {
					break
				}
			}
			f.Fail(0)
		})
		if asked != 2 || o[Failed].Load() != 49 {
			t.Errorf("asked %d times, %d failures shared", asked, o[Failed].Load())
		}
	})
	var g Group[int]
	alone, _ := g.Join(question)
	for range 5 {
		if !alone.Retry() {
			t.Error("a leader for whom nobody waits may not go by its own policy")
		}
	}
}

// A stream cannot be shared: all go on alone as soon as that is known.
func TestStreamsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		start := time.Now()
		o := crowd(&g, 50, time.Hour, func(f *Ticket[int]) {
			time.Sleep(time.Millisecond) // virtual
			f.Disband()
		})
		if o[Alone].Load() != 49 || time.Since(start) != time.Millisecond || g.Flights() != 0 {
			t.Errorf("%d alone after %v", o[Alone].Load(), time.Since(start))
		}
	})
}

// Waiters keep their own deadlines.
func TestWaitersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		o := crowd(&g, 50, 100*time.Millisecond, func(f *Ticket[int]) {
			time.Sleep(time.Second) // virtual
			f.Share(func() int { panic("nobody waits, nothing is built") })
		})
		if o[GaveUp].Load() != 49 || g.Flights() != 0 {
			t.Errorf("%d gave up", o[GaveUp].Load())
		}
		leader, _ := g.Join(question)
		waiter, leads := g.Join(question)
		gone := make(chan struct{})
		close(gone)
		if o, _ := waiter.Wait(gone, nil); o != GaveUp || leads {
			t.Errorf("outcome %d", o)
		}
		if o, _ := waiter.Wait(nil, nil); o != Alone {
			t.Errorf("after leaving: outcome %d", o)
		}
		leader.Abandon()
		if g.Flights() != 0 {
			t.Error("an abandoned flight without waiters goes on")
		}
	})
}

// A leader that leaves or panics leaves nobody behind, and does not count as a
// failure of the provider.
func TestAbandonedFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		asked := 0
		o := crowd(&g, 50, time.Second, func(f *Ticket[int]) {
			if asked++; asked < 10 {
				time.Sleep(time.Millisecond) // virtual
				func() {
					defer func() { _ = recover() }()
					defer f.Abandon()
					panic("bug")
				}()
				return
			}
			f.Share(func() int { return 1 })
		})
		if asked != 10 || o[Lead].Load() != 9 || o[Shared].Load() != 40 {
			t.Errorf("asked %d times, %d led, %d shared", asked, o[Lead].Load(), o[Shared].Load())
		}
		// A panic while the result is built.
		o = crowd(&g, 50, time.Second, func(f *Ticket[int]) {
			defer func() { _ = recover() }()
			time.Sleep(time.Millisecond) // virtual
			f.Share(func() int { panic("bug") })
		})
		if o[Alone].Load() != 49 {
			t.Errorf("%d alone", o[Alone].Load())
		}
	})
}

// The lead is offered, and the last one who could take it gives up: the flight
// ends with him, and the next request begins a new one.
func TestNobodyTakesTheLead(t *testing.T) {
	var g Group[int]
	leader, _ := g.Join(question)
	waiter, _ := g.Join(question)
	leader.Abandon()
	if g.Flights() != 1 {
		t.Fatal("the flight ended although one waits")
	}
	waiter.leave()
	if _, leads := g.Join(question); !leads {
		t.Error("the next one waits for nobody")
	}
}

// What a leader of the past or the zero ticket does has no effect.
func TestLateCalls(t *testing.T) {
	var g Group[int]
	var none Ticket[int]
	none.Share(nil)
	none.Disband()
	none.Fail(0)
	none.Abandon()
	if o, _ := none.Wait(nil, nil); o != Alone {
		t.Errorf("outcome %d", o)
	}
	first, _ := g.Join(question)
	second, _ := g.Join(question)
	first.Fail(1)
	if o, _ := second.Wait(nil, nil); o != Lead {
		t.Fatalf("outcome %d", o)
	}
	third, _ := g.Join(question)
	first.Share(func() int { return -1 })
	first.Disband()
	first.Fail(-1)
	first.Abandon()
	second.Share(func() int { return 2 })
	second.Fail(-1)
	second.Abandon()
	if o, result := third.Wait(nil, nil); o != Shared || result != 2 {
		t.Errorf("outcome %d, result %d", o, result)
	}
}

// However leaders and waiters behave, everybody is answered and nothing is left.
func TestEveryWaitEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		type behaviour struct {
			lead     int
			arrives  time.Duration
			takes    time.Duration
			patience time.Duration
		}
		ms := rapid.Custom(func(t *rapid.T) time.Duration {
			return time.Duration(rapid.IntRange(0, 5).Draw(t, "ms")) * time.Millisecond
		})
		plan := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) behaviour {
			return behaviour{rapid.IntRange(0, 3).Draw(t, "lead"), ms.Draw(t, "arrives"), ms.Draw(t, "takes"), ms.Draw(t, "patience")}
		}), 1, 12).Draw(rt, "requests")
		synctest.Test(t, func(t *testing.T) {
			var g Group[int]
			var all sync.WaitGroup
			for _, b := range plan {
				all.Go(func() {
					time.Sleep(b.arrives) // virtual
					ticket, leads := g.Join(question)
					defer ticket.Abandon()
					if !leads {
						o, _ := ticket.Wait(nil, time.After(b.patience))
						leads = o == Lead
					}
					if !leads {
						return
					}
					time.Sleep(b.takes) // virtual
					switch b.lead {
					case 0:
						ticket.Share(func() int { return 1 })
					case 1:
						ticket.Disband()
					case 2:
						ticket.Fail(0)
					}
				})
			}
			all.Wait() // a bubble that blocks for ever fails
			if g.Flights() != 0 {
				rt.Fatalf("%d flights left", g.Flights())
			}
		})
	})
}
