package sim

import (
	"fmt"
	"testing"

	"apiproxy.internal/shared/quota"
)

// No random combination of faults breaks a limit. `make sim` runs thousands.
func TestRandomFaults(t *testing.T) {
	seeds := uint64(150)
	if raceEnabled {
		seeds = 10
	}
	for seed := range seeds {
		if r := Run(Random(seed)); r.First != "" {
			t.Errorf("seed %d: %s", seed, r.First)
		}
	}
}

// The negative control: a leader that frees a cut when it asks for it, instead
// of when it was obeyed, is caught.
func TestCheckerSeesEarlyCuts(t *testing.T) {
	skipUnderRace(t)
	caught := 0
	for seed := range uint64(40) {
		c := Random(seed)
		c.Faults, c.Broken = nil, true
		if Run(c).First != "" {
			caught++
		}
	}
	if caught < 5 {
		t.Errorf("only %d of 40 runs were flagged", caught)
	}
}

// What is promised about loads, exactly as the documents print it.
func TestLoads(t *testing.T) {
	skipUnderRace(t)
	type want struct{ utilisation, falseRejects float64 }
	for _, nodes := range []int{3, 10} {
		for load, wants := range map[string]map[float64]want{
			"uniform": {0.5: {99.99, 0.01}, 2: {99.5, 100}, 10: {99.5, 100}},
			"zipf":    {0.5: {99.99, 0.01}, 2: {99.5, 100}, 10: {99.5, 100}},
			"flap":    {0.5: {99.99, 0.01}, 2: {99, 100}, 10: {99, 100}},
			"burst":   {0.5: {99.9, 0.1}, 2: {98, 100}, 10: {98, 100}},
		} {
			for demand, want := range wants {
				c := Base()
				c.Nodes, c.Load, c.Demand = nodes, load, demand
				r := Run(c)
				name := fmt.Sprintf("%d nodes, %s, %gx", nodes, load, demand)
				if r.First != "" || r.Excess > 0 {
					t.Errorf("%s: %s", name, r.First)
				}
				if r.Utilisation < want.utilisation || r.FalseRejects > want.falseRejects {
					t.Errorf("%s: utilisation %.2f %%, false rejects %.3f %%", name, r.Utilisation, r.FalseRejects)
				}
			}
		}
	}
}

// What is promised about faults.
func TestScenarios(t *testing.T) {
	skipUnderRace(t)
	for _, s := range Scenarios() {
		r := Run(s.Config())
		if r.First != "" || r.Excess > 0 {
			t.Errorf("%s: %s", s.Name, r.First)
		}
		if r.During < s.Least || s.Within > 0 && r.Back > s.Within {
			t.Errorf("%s: utilisation during it %.1f %%, want %g %%; back after %.0f ms, want %g ms",
				s.Name, r.During, s.Least, r.Back, s.Within)
		}
	}
}

// Five a minute over ten nodes are five a minute.
func TestThinLimitsAreExact(t *testing.T) {
	skipUnderRace(t)
	for _, p := range []quota.Params{{Num: 5, Den: 60, Burst: 5}, {Num: 1, Den: 60, Burst: 1}, {Num: 10, Den: 1, Burst: 10}} {
		for _, demand := range []float64{0.5, 2} {
			c := Base()
			c.Params, c.Demand = p, demand
			if p.Den > 1 {
				c.Length, c.CheckEvery = 600*second, second
			}
			if r := Run(c); r.First != "" || r.Excess > 0 || r.Admitted < r.Ideal {
				t.Errorf("%d per %d s at %gx: admitted %d of %d; %s", p.Num, p.Den, demand, r.Admitted, r.Ideal, r.First)
			}
		}
	}
}

// The same seed is the same run, to the last message.
func TestRunsRepeat(t *testing.T) {
	skipUnderRace(t)
	for seed := range uint64(10) {
		a, b := Run(Random(seed)), Run(Random(seed))
		a.During, b.During = 0, 0 // not a number without a window
		if a != b {
			t.Errorf("seed %d: %+v and %+v", seed, a, b)
		}
	}
}

// Without faults nothing is ever lost: what the nodes hold, what is free and what
// is under way make exactly the limit, to the micro-token, at every moment.
func TestNothingIsLost(t *testing.T) {
	for _, load := range []string{"uniform", "zipf", "flap", "burst", "shift"} {
		c := Base()
		c.Load, c.Length, c.Params = load, 6*second, quota.Params{Num: 1234567, Den: 1013, Burst: 777}
		checks := 0
		var balance func(*World)
		balance = func(w *World) {
			w.after(7*ms, func() { balance(w) })
			books := w.newest().ledger.Status(w.newest().read(w.now))
			sum := books.Pool
			for _, account := range books.Accounts {
				n := w.find(account.ID)
				have := n.lease.Status(n.time(w.now))
				down, up := account.Gave.Minus(have.Got), have.Back.Minus(account.Back)
				if account.Term != have.Term || !account.Live {
					return // they are still joining
				}
				sum.Rate += have.Have.Rate + down.Rate + up.Rate
				sum.Room += have.Have.Room + down.Room + up.Room
			}
			checks++
			if want := (quota.Holding{Rate: c.Params.Rate(), Room: c.Params.Room()}); sum != want && len(books.Accounts) == c.Nodes {
				t.Fatalf("%s, %d ms: %+v, want %+v", load, w.now/ms, sum, want)
			}
		}
		c.Faults = []Fault{{Start / 2, balance}}
		Run(c)
		if checks < 500 {
			t.Errorf("%s: only %d checks", load, checks)
		}
	}
}

func (w *World) find(id string) *node {
	for _, n := range w.nodes {
		if n.id == id {
			return n
		}
	}
	return nil
}

// A run is one goroutine: the detector finds nothing here, and takes minutes.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if raceEnabled {
		t.Skip("one goroutine, nothing to detect; the tests without the detector cover it")
	}
}
