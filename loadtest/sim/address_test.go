package sim

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	control "apiproxy.internal/controlplane/lab"
	data "apiproxy.internal/dataplane/lab"
	"apiproxy.internal/shared/quota"
)

// One address attacks all nodes at once. What it gets beyond its limit, in any
// window, stays below what docs/MODEL.md says, and below what local buckets
// alone would let through by far.
func TestOneAddressOverAllNodes(t *testing.T) {
	skipUnderRace(t)
	const rate, burst, length = 100, 200, 20 * second
	for _, nodes := range []int{3, 10, 100} {
		for _, attack := range []float64{150, 1_000, 10_000} {
			excess, longRun := attackAll(nodes, attack, rate, burst, length)
			bound := attack*float64(quota.Tick+2*quota.Delay)/float64(second) + max(float64(nodes), rate/4)
			if excess > bound {
				t.Errorf("%d nodes, %g/s: %.0f tokens too many in the worst window, bound %.0f", nodes, attack, excess, bound)
			}
			if longRun > 1.125*rate {
				t.Errorf("%d nodes, %g/s: %.1f/s in the second half", nodes, attack, longRun)
			}
			t.Logf("%3d nodes, %6g/s: excess %4.0f, bound %4.0f, later %.1f/s", nodes, attack, excess, bound, longRun)
		}
	}
}

// attackAll returns the excess in tokens over rate×T + burst and the rate in the
// second half of the run.
func attackAll(nodes int, attack float64, rate, burst, length int64) (excess, longRun float64) {
	w := &World{random: rand.New(rand.NewPCG(1, uint64(nodes)))}
	addr := netip.MustParseAddr("192.0.2.1")
	leader := control.NewAddresses(quota.Params{Num: uint64(rate), Den: 1, Burst: burst})
	tables := make([]*data.AddrTable, nodes)
	suspects := make([]*data.Suspects, nodes)
	for i := range tables {
		tables[i] = data.NewAddrTable(0, data.Params{Num: uint64(rate), Den: 1, Burst: burst})
		suspects[i] = data.NewSuspects([16]byte{1})
		var tick func()
		tick = func() {
			if report := suspects[i].Report(nil, rate*quota.PerSecond, nodes, 64); len(report) > 0 {
				w.after(ms+w.random.Int64N(4*ms), func() {
					verdicts := leader.Report(w.now, report, nil)
					w.after(ms+w.random.Int64N(4*ms), func() { suspects[i].Apply(w.now, tables[i], verdicts) })
				})
			}
			w.after(quota.Tick, tick)
		}
		w.at(w.random.Int64N(quota.Tick), tick)
	}
	bound := bucket{rate: rate * quota.PerSecond, room: burst * quota.Token, level: burst * quota.Token}
	var late int
	for at := 0.0; int64(at) < length; at += w.random.ExpFloat64() / attack * 1e9 {
		w.runTo(int64(at))
		i := w.random.IntN(nodes)
		d, ref := tables[i].Take(w.now, addr)
		if !d.OK {
			continue
		}
		suspects[i].Note(addr, ref)
		bound.accrue(w.now)
		bound.level -= quota.Token
		excess = max(excess, -float64(bound.level)/quota.Token)
		if w.now > length/2 {
			late++
		}
	}
	return excess, float64(late) / (float64(length) / 2e9)
}
