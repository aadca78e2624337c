package ledger

import (
	"testing"

	"apiproxy.internal/shared/quota"
)

// A new leader has nothing to give until all members were heard; then it knows
// what is free.
func TestTakeover(t *testing.T) {
	old := New(0, thousand, Takeover{Epoch: 1, New: true})
	a, b := join(old, "a", 0, 300), join(old, "b", 0, 300)
	for now := 50 * ms; now < second; now += 50 * ms {
		a.say(old, now)
		b.say(old, now)
	}
	l := New(second, thousand, Takeover{Epoch: 2, Members: []Member{{"a", 1}, {"b", 1}}})
	l.mustBalance(t)
	for _, n := range []*node{a, b} {
		if l.free() != (quota.Holding{}) {
			t.Errorf("free %+v before %s was heard", l.free(), n.id)
		}
		n.say(l, second+ms)
		l.Confirm(second + ms)
		n.say(l, second+2*ms)
		l.mustBalance(t)
	}
	if l.Status(0).Unheard != 0 || l.free().Rate <= 0 || l.held.Rate < 500*quota.PerSecond {
		t.Errorf("free %+v, held %+v", l.free(), l.held)
	}
	if a.say(old, second+3*ms); old.Deposed() != 2 {
		t.Error("the old leader saw a node with the new one's term")
	}
	if _, ok := b.say(old, second+4*ms); ok {
		t.Error("a deposed leader answers")
	}
}

// The empty pool of a new leader makes nothing scarce by itself: nodes would hand
// back what they use until it fills.
func TestTakeoverIsNotScarce(t *testing.T) {
	old := New(0, thousand, Takeover{Epoch: 1, New: true})
	a, b := join(old, "a", 0, 300), join(old, "b", 0, 300)
	l := New(second, thousand, Takeover{Epoch: 2, Members: []Member{{"a", 1}, {"b", 1}}})
	now := second
	say := func(n *node) quota.Answer {
		now += 10 * ms
		l.Confirm(now)
		n.report.Urgent = true // is answered in any case
		answer, ok := n.say(l, now)
		if !ok {
			t.Fatal("no answer")
		}
		return answer
	}
	for range 4 {
		for _, n := range []*node{a, b} {
			n.report.Level = 100 * quota.Token
			if answer := say(n); answer.Scarce {
				t.Errorf("%s is to hand back at %d ms", n.id, now/ms)
			}
		}
	}
	a.report.Level, a.report.Now, a.report.Refused = 0, 5000*quota.Token, 1000
	l.level = 0
	say(a)
	if answer := say(b); !answer.Scarce {
		t.Error("b keeps what a needs")
	}
}

// Members that a new leader never hears keep everything until every lease that
// the old one may have promised is over.
func TestTakeoverOfTheSilent(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 2, Members: []Member{{"a", 1}}, Hold: 60 * second})
	for now := int64(0); now <= 75*second; now += second {
		l.Confirm(now)
		l.Tick(now)
		if l.free() != (quota.Holding{}) {
			t.Fatalf("free %+v after %d s", l.free(), now/second)
		}
	}
	l.Confirm(76 * second)
	l.Tick(76 * second)
	if l.free().Rate != l.rate || l.free().Room != l.room {
		t.Errorf("free %+v", l.free())
	}
	l.mustBalance(t)
}

// Where the list of members was lost, who comes late may hold something as well, and
// what he holds was not given away.
func TestTakeoverWithoutList(t *testing.T) {
	holds := func(id string) *node { // of an earlier leader
		return &node{id: id, incarnation: 1, hand: quota.MaxRate, report: quota.Report{
			Term: 1 << 32, Got: quota.Sum{Rate: 300 * quota.PerSecond, Room: 90 * quota.Token}}}
	}
	a, b := holds("a"), holds("b")
	l := New(second, thousand, Takeover{Epoch: 2, Members: []Member{{"a", 1}}, Lost: true})
	hear := func(n *node, now int64) {
		l.Join(Member{n.id, 1})
		for range 2 {
			n.say(l, now)
			l.Confirm(now)
			l.Tick(now)
		}
		l.mustBalance(t)
	}
	hear(a, second+ms)
	if free := l.free(); free != (quota.Holding{}) {
		t.Errorf("free %+v while b may come", free)
	}
	hear(b, 10*second)
	if s := l.Status(0); s.Unheard != 0 || s.Unknown == (quota.Holding{}) || !l.members["b"].live {
		t.Errorf("b is heard: %+v", s)
	}
	l.Join(Member{"c", 1}) // never reports
	l.Confirm(17 * second)
	l.Tick(17 * second)
	if l.unknown == (quota.Holding{}) {
		t.Error("what c may hold is free")
	}
	l.Dead(17*second, Member{"c", 1})
	if l.unknown != (quota.Holding{}) {
		t.Errorf("%+v is kept for nobody", l.unknown)
	}
	hear(join(l, "d", 18*second, 100), 18*second) // one that comes now is new
	l.mustBalance(t)
}
