package sim

import (
	"math"
	"math/rand/v2"

	"apiproxy.internal/shared/quota"
)

// Random is a run with a random limit, load, network and up to four faults, at
// random times and in any combination. Leases are short, so that they end in it.
func Random(seed uint64) Config {
	r := rand.New(rand.NewPCG(seed, 3))
	pick := func(n int) bool { return r.IntN(n) == 0 }
	rate := math.Pow(10, 0.5+2.5*r.Float64())
	burst := max(1, rate*math.Pow(10, -1.5+2*r.Float64()))
	c := Config{
		Nodes: []int{1, 2, 3, 5, 10, 30}[r.IntN(6)],
		Params: quota.Params{
			Num: uint64(rate * 7), Den: 7, Burst: int64(burst),
			Hold: 2*second + r.Int64N(4*second),
		},
		Demand: []float64{0.5, 0.9, 1.2, 2, 5}[r.IntN(5)],
		Load:   []string{"uniform", "zipf", "flap", "burst", "shift"}[r.IntN(5)],
		Length: 12 * second, Seed: seed,
		DelayMin: r.Int64N(ms) + 1, CheckEvery: 4 * ms,
	}
	c.DelayMax = c.DelayMin + int64(30*r.Float64()*r.Float64()*float64(ms))
	if pick(4) {
		c.Params.OnDisconnect = quota.Closed
	}
	if pick(3) {
		c.Loss, c.Twice, c.Late = 0.1*r.Float64(), 0.1*r.Float64(), 0.01*r.Float64()
	}
	c.Drift = pick(3)
	c.NoPark = pick(3)
	for range r.IntN(5) {
		c.addFault(r)
	}
	return c
}

// addFault adds one fault and, where it has one, its end.
func (c *Config) addFault(r *rand.Rand) {
	at := Start + r.Int64N(9*second)
	end := at + 100*ms + r.Int64N(6*second)
	i := r.IntN(c.Nodes)
	add := func(t int64, do func(*World)) { c.Faults = append(c.Faults, Fault{t, do}) }
	switch r.IntN(13) {
	case 0:
		add(at, KillNode(i, true))
		if r.IntN(2) == 0 {
			add(end, RestartNode(i))
		}
	case 1:
		add(at, KillNode(i, false))
		add(end, RestartNode(i))
	case 2:
		add(at, Cut(i, true))
		add(end, Cut(i, false))
	case 3:
		add(at, Cut(-1, true))
		add(end, Cut(-1, false))
	case 4: // the leader dies, another one comes
		add(at, KillLeader)
		add(end, NewLeader)
	case 5: // two at once, both on the network
		add(at, NewLeader)
	case 6: // the old one is cut off and comes back
		add(at, CutLeader(true))
		add(at+r.Int64N(end-at), NewLeader)
		add(end, CutOldLeaders(false))
	case 7:
		add(at, StopLeader(end-at))
		if r.IntN(2) == 0 {
			add(at+r.Int64N(end-at), NewLeader)
		}
	case 8:
		add(at, StopNode(i, end-at))
	case 9:
		add(at, DrainNode(i))
		add(end, Join)
	case 10:
		for range 1 + r.IntN(5) {
			add(at, Join)
		}
	case 11:
		p := c.Params
		p.Num = max(1, uint64(float64(p.Num)*math.Pow(4, 2*r.Float64()-1)))
		p.Burst = max(1, int64(float64(p.Burst)*math.Pow(4, 2*r.Float64()-1)))
		add(at, Change(p))
	case 12: // quick crash loop
		add(at, KillNode(i, false))
		add(at+r.Int64N(second), RestartNode(i))
	}
}
