package breakersim

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	control "apiproxy.internal/controlplane/lab"
	"apiproxy.internal/shared/wire"
)

const ms = int64(time.Millisecond)

// calm are the presets over five busy nodes on a healthy network.
func calm() BreakerSettings {
	return BreakerSettings{
		Nodes: 5, FailureThreshold: 5, SuccessThreshold: 2, HalfOpen: 3,
		Timeout: 30_000 * ms, Attempt: 200 * ms, Gap: 20 * ms, Delay: 4 * ms, Seed: 1,
	}
}

func healthy(int) bool { return false }
func sick(int) bool    { return true }

func (w *BreakerWorld) expect(t *testing.T, transitions ...string) {
	t.Helper()
	if w.Broken != "" {
		t.Error(w.Broken)
	}
	if !slices.Equal(w.Transitions, transitions) {
		t.Errorf("transitions %q\nwant %q", w.Transitions, transitions)
	}
}

func (w *BreakerWorld) all(t *testing.T, want string) {
	t.Helper()
	for i, s := range w.NodeStates() {
		if s != want {
			t.Errorf("node %d is %s, want %s", i, s, want)
		}
	}
}

const (
	opened   = "open failures"
	halfOpen = "half_open timeout"
	reopened = "open probe_failed"
	closed   = "closed probes_ok"
)

// One failure at each of five nodes, none of which has a reason of its own.
func TestFiveFailuresOnFiveNodesOpenEverywhere(t *testing.T) {
	s := calm()
	s.Gap = 0
	w := NewBreakerWorld(s)
	w.Run(time.Second)
	w.Fails = sick
	for i := range 5 {
		w.Request(i)
		w.Run(time.Second)
	}
	for i := 0; w.State() == wire.BreakerClosed && i < 5; i++ { // in place of a client that left
		w.Request(i)
		w.Run(time.Second)
	}
	w.expect(t, opened)
	w.all(t, wire.BreakerOpen)
	w.Fails = healthy
	w.Run(30 * time.Second)
	w.all(t, wire.BreakerHalfOpen) // the timeout has run out, traffic or not
}

// A node whose own way to the provider is broken protects itself; the others go
// on. When it is well again it finds that out by itself.
func TestASickNodeAmongBusyOnesStaysAlone(t *testing.T) {
	s := calm()
	s.Nodes = 3
	w := NewBreakerWorld(s)
	w.Fails = func(i int) bool { return i == 0 }
	w.Run(20 * time.Second)
	w.expect(t)
	if got := strings.Join(w.NodeStates(), " "); got != "open closed closed" {
		t.Error(got)
	}
	w.Run(20 * time.Second) // its probes fail too
	w.expect(t)
	w.Fails = healthy
	w.Run(40 * time.Second)
	w.expect(t)
	w.all(t, wire.BreakerClosed)
}

// Ten nodes hammer a provider that is down, then well.
func TestProbesAreCountedOverTheCluster(t *testing.T) {
	s := calm()
	s.Nodes, s.Gap = 10, 2*ms
	w := NewBreakerWorld(s)
	w.Strict, w.Fails = true, sick
	w.Run(20 * time.Second)
	w.expect(t, opened)
	w.Fails = healthy
	w.Run(11500 * time.Millisecond)
	w.expect(t, opened, halfOpen, closed)
	w.all(t, wire.BreakerClosed)
	if w.Probes != 3 {
		t.Errorf("at most %d probes at once, 3 are allowed and there was traffic for more", w.Probes)
	}
}

func TestOneFailedProbeReopens(t *testing.T) {
	w := NewBreakerWorld(calm())
	w.Strict, w.Fails = true, sick
	w.Run(75 * time.Second)
	w.expect(t, opened, halfOpen, reopened, halfOpen, reopened)
	w.all(t, wire.BreakerOpen)
}

// However thin the traffic is and wherever it comes, it finds a permit in the
// end: a second refused request is no reason for a third one.
func TestThinTrafficCloses(t *testing.T) {
	turn := 0
	for name, route := range map[string]func() int{
		"always the same node": func() int { return 4 },
		"each in its turn":     func() int { turn++; return turn % 7 },
		"to and fro":           func() int { turn++; return turn % 2 },
	} {
		for _, slots := range []int{1, 3} {
			for _, gap := range []int64{200, 5000} {
				s := calm()
				s.Nodes, s.HalfOpen, s.Gap = 7, slots, 7*gap*ms
				w := NewBreakerWorld(s)
				w.Strict, w.Route = true, route
				w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect { return m.Trip(now, "", "ann", 1) })
				for end := w.Now + int64(10*time.Minute); w.Now < end && w.State() != wire.BreakerClosed; {
					w.Run(time.Second)
				}
				if w.State() != wire.BreakerClosed || w.Broken != "" {
					t.Errorf("%s, %d slots, a request every %d ms: %s for ever; %s", name, slots, gap, w.State(), w.Broken)
				}
				t.Logf("%s, %d slots, every %d ms: %d refused", name, slots, gap, w.Refused)
			}
		}
	}
}

// Nodes that hear no leader probe by themselves, a little each, and what they
// find out is the leader's when it comes back.
func TestLeaderAwayWhileOpen(t *testing.T) {
	for name, lost := range map[string]bool{"the entry is there": false, "the bucket is lost": true} {
		t.Run(name, func(t *testing.T) {
			w := NewBreakerWorld(calm())
			w.Fails = sick
			w.Run(5 * time.Second)
			w.expect(t, opened)
			w.StopLeader(false)
			w.Fails = healthy
			w.Run(20 * time.Second)
			w.all(t, wire.BreakerOpen)
			w.Run(15 * time.Second)
			w.all(t, wire.BreakerClosed)
			if w.Probes > 5 { // a fifth of three, rounded up, each
				t.Errorf("%d probes at once", w.Probes)
			}
			w.StartLeader(lost)
			w.Run(2 * time.Second)
			if !w.Settled() {
				t.Errorf("%s, %v", w.State(), w.NodeStates())
			}
			if got := w.Transitions[len(w.Transitions)-1]; got != "closed closed_alone" {
				t.Errorf("the last transition is %q", got)
			}
		})
	}
}

// A new leader knows how long the pause was to last from the nodes.
func TestNewLeaderEndsThePauseInTime(t *testing.T) {
	for name, lost := range map[string]bool{"the entry is there": false, "the bucket is lost": true} {
		t.Run(name, func(t *testing.T) {
			w := NewBreakerWorld(calm())
			w.Strict, w.Fails = true, sick
			w.Run(10 * time.Second)
			w.StopLeader(false)
			w.Run(time.Second)
			w.StartLeader(lost)
			w.Fails = healthy
			w.Run(17 * time.Second)
			w.all(t, wire.BreakerOpen)
			w.Run(5 * time.Second)
			w.all(t, wire.BreakerClosed)
			if w.Broken != "" {
				t.Error(w.Broken)
			}
		})
	}
}

func TestHoldsOutliveTheLeader(t *testing.T) {
	w := NewBreakerWorld(calm())
	w.Run(time.Second)
	w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect {
		return m.Trip(now, "maintenance", "ann", 0)
	})
	w.Run(time.Second)
	w.all(t, wire.BreakerOpen)
	for _, lost := range []bool{false, true} {
		w.StopLeader(false)
		w.Run(60 * time.Second) // nobody probes against an operator's word
		w.all(t, wire.BreakerOpen)
		w.StartLeader(lost)
		w.Run(60 * time.Second)
		w.all(t, wire.BreakerOpen)
	}
	w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect { return m.Auto(now, "done", "ann") })
	w.Run(2 * time.Second)
	w.all(t, wire.BreakerClosed)
	w.expect(t, "open trip", "open trip", "half_open auto", closed)
	if w.hold != nil {
		t.Error("the hold is still stored")
	}
}

// chaos draws a world and so many misfortunes from a seed.
func chaos(t *testing.T, seed uint64, misfortunes int) {
	r := rand.New(rand.NewPCG(seed, 7))
	pick := func(values ...int64) int64 { return values[r.IntN(len(values))] }
	s := BreakerSettings{
		Nodes:            1 + r.IntN(8),
		FailureThreshold: 1 + r.IntN(6),
		SuccessThreshold: 1 + r.IntN(3),
		HalfOpen:         1 + r.IntN(4),
		Timeout:          pick(500, 2000, 10_000) * ms,
		Attempt:          pick(20, 500, 3000) * ms,
		Gap:              pick(2, 20, 300) * ms,
		Delay:            pick(1, 20, 150) * ms,
		Loss:             float64(pick(0, 1, 30)) / 100,
		Double:           float64(pick(0, 10)) / 100,
		Seed:             seed,
	}
	long := r.IntN(2) == 0 // it stays half-open for long, and the leaders change then
	if long {
		s.SuccessThreshold, s.Timeout, s.Attempt = 1e6, 500*ms, 3000*ms
	}
	w := NewBreakerWorld(s)
	quiet := !long && r.IntN(3) == 0 // nobody crashes and no link breaks: no excuses
	w.Strict = quiet && s.Loss <= 0.01
	if long {
		w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect { return m.Trip(now, "", "ann", 1) })
		w.Run(200 * time.Millisecond)
	}
	for range misfortunes {
		i, what := r.IntN(s.Nodes), r.IntN(12)
		if long {
			what = 4 + r.IntN(8)
			if what == 5 || what == 6 {
				what = 11
			}
		}
		switch what {
		case 0, 1, 2:
			w.Fails = sick
		case 3, 4:
			w.Fails = healthy
		case 5:
			w.Fails = func(n int) bool { return n == i || w.random.IntN(10) == 0 }
		case 6:
			w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect {
				switch r.IntN(4) {
				case 0:
					return m.Reset(now, "", "ann")
				case 1:
					return m.Auto(now, "", "ann")
				}
				return m.Trip(now, "", "ann", time.Duration(r.Int64N(5000)*ms))
			})
		case 7, 8:
			if quiet {
				break
			}
			if w.nodes[i].up {
				w.Crash(i, r.IntN(2) == 0)
			} else {
				w.StartNode(i)
			}
		case 9, 10:
			if !quiet {
				w.Cut(i, !w.nodes[i].cut)
			}
		case 11:
			if !quiet {
				w.StopLeader(r.IntN(2) == 0)
				w.Run(time.Duration(r.Int64N(4000) * ms))
				w.StartLeader(r.IntN(2) == 0)
				w.Run(time.Duration(r.Int64N(1000) * ms))
				w.StopZombies()
			}
		}
		w.Run(time.Duration(r.Int64N(2*s.Timeout) + r.Int64N(1000*ms)))
	}
	// All is well again: it must close, in the time that the last silence, a
	// pause and the probes take.
	w.Fails = healthy
	w.Loss = min(w.Loss, 0.1)
	for i, n := range w.nodes {
		if !n.up {
			w.StartNode(i)
		}
		w.Cut(i, false)
	}
	w.Order(func(m *control.Breaker, now time.Time) control.BreakerEffect {
		if long {
			return m.Reset(now, "", "ann")
		}
		return m.Auto(now, "", "ann")
	})
	bound := time.Duration(2*(s.Timeout+s.Attempt)) + 20*time.Second
	for end := w.Now + int64(bound); !w.Settled() && w.Now < end && w.Broken == ""; {
		w.Run(100 * time.Millisecond)
	}
	if !w.Settled() {
		w.fail("not closed after %v: %s, %v, %+v", bound, w.State(), w.NodeStates(), w.leaders[len(w.leaders)-1].machine.View(w.date()))
	}
	if w.Broken != "" {
		t.Fatalf("seed %d, %+v: %s\nafter %q", seed, s, w.Broken, w.Transitions)
	}
}

func TestChaos(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		chaos(t, seed, 30)
	}
}

func FuzzBreakers(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(668)) // a permit that never reached a node, told when its link is mended
	f.Fuzz(func(t *testing.T, seed uint64) { chaos(t, seed, 6) })
}
