package ledger

import (
	"testing"

	"apiproxy.internal/shared/quota"
)

// A node that goes on without end is told of from the moment at which its share was
// given away until it is heard or proven dead.
func TestStrays(t *testing.T) {
	open := thousand
	open.OnDisconnect = quota.Open
	for _, row := range []struct {
		name   string
		params quota.Params
		end    func(l *Ledger, n *node, now int64)
		most   int64
	}{
		{"heard", open, func(l *Ledger, n *node, now int64) {
			for range 3 {
				n.say(l, now)
				l.Confirm(now)
				n.report.Back = n.report.Got // it is told to drop all
			}
		}, 1000*5 + 300},
		{"dead", open, func(l *Ledger, n *node, now int64) { l.Dead(now, Member{n.id, 1}) }, 1000*5 + 300},
		{"gone", open, func(l *Ledger, n *node, now int64) {
			n.report.Last = true
			n.say(l, now)
		}, 1000*5 + 300},
		{"forgotten", open, func(l *Ledger, n *node, now int64) { l.Forget(n.id) }, 1000*5 + 300},
		{"with an end", thousand, func(*Ledger, *node, int64) {}, 0},
	} {
		l := New(0, row.params, Takeover{Epoch: 1, New: true})
		n := join(l, "a", 0, 5000)
		overshoot := func(now int64) int64 {
			l.Confirm(now)
			l.Tick(now)
			l.mustBalance(t)
			return l.Status(now).Overshoot
		}
		if got := overshoot(10 * second); got != 0 {
			t.Errorf("%s: %d while its share is its own", row.name, got)
		}
		end := 10010*ms + 1
		overshoot(end)
		if got := overshoot(end + 5*second); got != row.most && got != row.most+1 {
			t.Errorf("%s: %d after five seconds, want %d", row.name, got, row.most)
		}
		row.end(l, n, end+6*second)
		if got := overshoot(end + 6*second); got != 0 {
			t.Errorf("%s: %d in the end", row.name, got)
		}
	}
}

// Of a node that a new leader has never heard is only known what nobody else has.
func TestStraysOfAnEarlierLeader(t *testing.T) {
	open := thousand
	open.OnDisconnect = quota.Open
	l := New(0, open, Takeover{Epoch: 2, Members: []Member{{"a", 1}, {"b", 1}, {"c", 1}}})
	a := &node{id: "a", incarnation: 1, hand: quota.MaxRate}
	a.report.Got = quota.Sum{Rate: 600 * quota.PerSecond, Room: 500 * quota.Token}
	now := int64(0)
	run := func(until int64) int64 {
		for ; now <= until; now += 50 * ms {
			l.Confirm(now)
			a.say(l, now)
			l.Tick(now)
		}
		l.mustBalance(t)
		return l.Status(now).Overshoot
	}
	if got := run(25 * second); got != 0 {
		t.Errorf("%d while all is reserved", got)
	}
	if got := run(36 * second); got < 1500+400*10 || got > 1500+400*12 {
		t.Errorf("%d when ten seconds are over, want what b and c may hold together", got)
	}
	l.Dead(now, Member{"b", 1})
	if got := run(37 * second); got == 0 {
		t.Error("nothing is left of c")
	}
	l.Dead(now, Member{"c", 1})
	if got := run(38 * second); got != 0 {
		t.Errorf("%d of the dead", got)
	}
}
