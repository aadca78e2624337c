package sim

import (
	"math/rand/v2"
	"slices"
	"sort"
)

// load is where requests arrive and when: a Poisson process over the nodes.
//
// uniform: all alike. zipf: node i gets 1/i. flap: each second 80 % of the load
// jumps to a random fifth of the nodes. burst: half of it comes as 50 ms spikes
// on one random node, every half second. shift: half way through the whole load
// moves from the first half of the nodes to the second.
type load struct {
	c       Config
	random  *rand.Rand
	count   func() int
	weights []float64 // cumulative
	nodes   int
	half    bool
	base    float64 // requests per nanosecond, spikes apart
	t       float64 // of the newest ordinary request
	ahead   int64   // the same, while it is not given out yet
	jump    int64   // next flap
	spike   int64   // next spike
	spikes  []int64
	target  int
}

func newLoad(c Config, count func() int) *load {
	l := &load{
		c: c, count: count, random: rand.New(rand.NewPCG(c.Seed, 2)),
		t: float64(Start), jump: Start + second, spike: Start + second/2,
		base: float64(c.Params.Rate()) / 1e18 * c.Demand,
	}
	if c.Load == "burst" {
		l.base /= 2
	}
	l.weigh(nil)
	return l
}

// request is the next one.
func (l *load) request() (t int64, node int, ok bool) {
	if l.ahead == 0 {
		l.t += l.random.ExpFloat64() / l.base
		l.ahead = int64(l.t)
	}
	if l.c.Load == "burst" && l.ahead >= l.spike && len(l.spikes) == 0 {
		l.makeSpike()
		l.spike += second / 2
	}
	if len(l.spikes) > 0 && l.spikes[0] <= l.ahead {
		t, l.spikes = l.spikes[0], l.spikes[1:]
		return t, l.target, t < Start+l.c.Length
	}
	t, l.ahead = l.ahead, 0
	return t, l.pick(t), t < Start+l.c.Length
}

func (l *load) pick(t int64) int {
	if n := l.count(); n != l.nodes {
		l.weigh(nil)
	}
	if l.c.Load == "flap" && t >= l.jump {
		l.jump += second
		l.weigh(l.random.Perm(l.nodes)[:max(l.nodes/5, 1)])
	}
	if l.c.Load == "shift" && !l.half && t >= Start+l.c.Length/2 {
		l.half = true
		l.weigh(nil)
	}
	return sort.SearchFloat64s(l.weights, l.random.Float64()*l.weights[l.nodes-1])
}

func (l *load) weigh(hot []int) {
	l.nodes = max(l.count(), 1)
	l.weights = make([]float64, l.nodes)
	sum := 0.0
	for i := range l.weights {
		x := 1.0
		switch l.c.Load {
		case "zipf":
			x = 1 / float64(i+1)
		case "flap":
			if slices.Contains(hot, i) {
				x += 4 * float64(l.nodes) / float64(len(hot))
			}
		case "shift":
			if (i < l.nodes/2) == l.half {
				x = 0
			}
		}
		sum += x
		l.weights[i] = sum
	}
}

func (l *load) makeSpike() {
	const length = 50 * ms
	l.target = l.random.IntN(l.nodes)
	total := float64(l.c.Params.Rate()) / 1e9 * l.c.Demand
	for range int(total / 4) {
		l.spikes = append(l.spikes, l.spike+l.random.Int64N(length))
	}
	slices.Sort(l.spikes)
}
