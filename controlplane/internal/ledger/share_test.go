package ledger

import (
	"testing"

	"apiproxy.internal/shared/quota"
)

// Of the rate that nobody wants nodes without requests get the more the fuller the
// pool is: requests may begin when the leader has just fallen silent. An empty pool
// keeps most of it, to be full again.
func TestIdleShares(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	nodes := []*node{{id: "a", incarnation: 1}, {id: "b", incarnation: 1}}
	now := int64(0)
	shares := func(until int64) (sum int64) {
		for ; now < until; now += 50 * ms {
			l.Confirm(now)
			for _, n := range nodes {
				l.Join(Member{n.id, n.incarnation})
				n.report.Level = n.report.Holding().Room // nobody takes any
				n.say(l, now)
			}
		}
		l.mustBalance(t)
		for _, n := range nodes {
			sum += n.report.Holding().Rate / quota.PerSecond
		}
		return sum
	}
	if x := shares(second); x < 950 {
		t.Errorf("a full pool divides %d of 1000 a second", x)
	}
	l.level = 0
	if x := shares(now + 100*ms); x < 200 || x > 350 {
		t.Errorf("an empty pool divides %d of 1000 a second", x)
	}
	if x := shares(10 * second); x < 950 {
		t.Errorf("a pool that had time to fill divides %d of 1000 a second", x)
	}
}

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
