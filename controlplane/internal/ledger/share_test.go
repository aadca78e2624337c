package ledger

import (
	"testing"

	"apiproxy.internal/shared/quota"
)

// A node that came lately gets the share of an average one until its own demand is
// known: the leader may fall silent before the requests reach it.
func TestNewcomersGetAnAverageShare(t *testing.T) {
	for _, row := range []struct {
		name        string
		demand      int64 // of each of the two before
		first, then [2]int64
	}{
		{"enough for all", 150, [2]int64{150, 300}, [2]int64{40, 80}},
		{"more is wanted than there is", 600, [2]int64{0, 2}, [2]int64{0, 2}},
	} {
		l := New(0, thousand, Takeover{Epoch: 1, New: true})
		nodes := []*node{join(l, "a", 0, row.demand), join(l, "b", 0, row.demand)}
		now := int64(0)
		run := func(until int64) {
			for ; now < until; now += 50 * ms {
				for _, n := range nodes {
					n.say(l, now)
				}
				l.mustBalance(t)
			}
		}
		run(4 * second)
		late := join(l, "c", now, 0)
		nodes = append(nodes, late)
		run(5 * second)
		if x := late.report.Holding().Rate / quota.PerSecond; x < row.first[0] || x > row.first[1] {
			t.Errorf("%s: at first %d a second, want %d", row.name, x, row.first)
		}
		run(9 * second)
		if x := late.report.Holding().Rate / quota.PerSecond; x < row.then[0] || x > row.then[1] {
			t.Errorf("%s: without requests %d a second, want %d", row.name, x, row.then)
		}
	}
}
