package ledger

import (
	"strconv"
	"testing"

	"apiproxy.internal/shared/quota"
)

const (
	ms     = int64(1e6)
	second = int64(1e9)
)

var thousand = quota.Params{Num: 1000, Den: 1, Burst: 2000, Hold: 10 * second}

// node is the least that reports: it takes all in and obeys at once.
type node struct {
	id          string
	incarnation uint64
	report      quota.Report
	hand, keep  int64
}

func (n *node) say(l *Ledger, now int64) (quota.Answer, bool) {
	n.report.Seq++
	n.report.Nonce = now
	h := n.report.Holding()
	if n.hand < h.Rate {
		n.report.Back = n.report.Back.Plus(quota.Part{Holding: quota.Holding{Rate: h.Rate - n.hand}})
	}
	a, ok := l.Report(now, n.id, n.incarnation, n.report)
	if ok {
		if a.Term == n.report.Term {
			n.report.Got, n.hand, n.keep = a.Gave, a.Hand, a.Keep
		}
		n.report.Term = a.Term
	}
	return a, ok
}

// join brings a node to the point where it holds what it wants.
func join(l *Ledger, id string, now, demand int64) *node {
	l.Join(Member{id, 1})
	n := &node{id: id, incarnation: 1}
	n.report.Demand, n.report.Now = demand*quota.Token, demand*quota.Token
	for range 3 {
		l.Confirm(now)
		n.say(l, now)
	}
	return n
}

func (l *Ledger) mustBalance(t *testing.T) {
	t.Helper()
	var held quota.Holding
	var demand, need int64
	live, unheard := 0, 0
	for _, m := range l.order {
		if !m.held.Possible() {
			t.Fatalf("%s holds %+v", m.id, m.held)
		}
		held.Rate += m.held.Rate
		held.Room += m.held.Room
		demand += m.demand
		need += m.need
		if m.live {
			live++
		}
		if m.unheard {
			unheard++
		}
	}
	if held != l.held || demand != l.demand || need != l.need || live != l.live || unheard != l.unheard {
		t.Fatalf("running sums are off: %+v %d %d %d %d, want %+v %d %d %d %d",
			l.held, l.demand, l.need, l.live, l.unheard, held, demand, need, live, unheard)
	}
	if l.level < 0 || l.level > max(l.free().Room, 0) {
		t.Fatalf("level %d in room %d", l.level, l.free().Room)
	}
}

func TestSharesFollowDemand(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	a, b := join(l, "a", 0, 1000), join(l, "b", 0, 3000)
	for now := int64(0); now < second; now += 50 * ms {
		a.say(l, now)
		b.say(l, now)
		l.mustBalance(t)
	}
	x, y := a.report.Holding().Rate/quota.PerSecond, b.report.Holding().Rate/quota.PerSecond
	if x < 240 || x > 260 || y < 730 || y > 760 || x+y > 1000 {
		t.Errorf("shares %d and %d", x, y)
	}
}

// A node that reports again before it hears an answer has not been forgotten: what
// is on its way counts. It was lent twice, and the next node found nothing.
func TestWhatIsOnItsWayIsNotLentTwice(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	l.Join(Member{"a", 1})
	a := &node{id: "a", incarnation: 1}
	a.say(l, 0) // hears the term
	l.Confirm(0)
	var gave []uint64
	for i := range uint64(4) { // and none of the answers to these
		r := a.report
		r.Seq += 1 + i
		answer, _ := l.Report(ms, "a", 1, r)
		gave = append(gave, answer.Gave.Tokens)
	}
	l.mustBalance(t)
	if gave[0] == 0 || gave[3] > gave[0] {
		t.Errorf("given by each answer so far: %d micro-tokens", gave)
	}
	if room := join(l, "b", ms, 0).report.Holding().Room; room < 100*quota.Token {
		t.Errorf("the next node has room for %d micro-tokens", room)
	}
}

// A lowered limit is in force when what is too much has come back.
func TestLowering(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	a, b := join(l, "a", 0, 500), join(l, "b", 0, 500)
	if l.Lowering() {
		t.Fatal("nothing was lowered")
	}
	l.Configure(0, quota.Params{Num: 10, Den: 1, Burst: 20})
	if !l.Lowering() {
		t.Fatal("two nodes that hold hundreds of ten")
	}
	for now := 50 * ms; l.Lowering() && now < second; now += 50 * ms {
		for _, n := range []*node{a, b} {
			n.handBack(l, now)
		}
		l.mustBalance(t)
	}
	if l.Lowering() {
		t.Errorf("%+v is still out", l.held)
	}
}

// handBack is say, and gives back the room beyond what the leader lets it keep.
func (n *node) handBack(l *Ledger, now int64) {
	if over := n.report.Holding().Room - n.keep; over > 0 {
		n.report.Back = n.report.Back.Plus(quota.Part{Holding: quota.Holding{Room: over}})
	}
	n.say(l, now)
}

// A cut is free when it was obeyed, and not before.
func TestCutsCountWhenObeyed(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	a := join(l, "a", 0, 5000)
	b := join(l, "b", 0, 5000)
	if got := b.report.Holding().Rate; got > 60*quota.PerSecond {
		t.Errorf("b got %d while a holds %d", got, a.report.Holding().Rate)
	}
	a.say(l, 50*ms) // is asked
	a.say(l, 51*ms) // obeys
	b.say(l, 52*ms)
	if got := b.report.Holding().Rate; got < 400*quota.PerSecond {
		t.Errorf("b got %d only", got)
	}
	l.mustBalance(t)
}

// A node that nobody hears keeps its share for hold; a little longer by our
// clock, because its own may be slower.
func TestSilence(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	join(l, "a", 0, 5000)
	rate, room := l.held.Rate, l.held.Room
	check := func(now, wantRate, wantRoom int64) {
		t.Helper()
		l.Confirm(now)
		l.Tick(now)
		if l.held.Rate != wantRate || l.held.Room != wantRoom {
			t.Errorf("after %d ms: held %+v, want %d %d", now/ms, l.held, wantRate, wantRoom)
		}
		l.mustBalance(t)
	}
	check(2*second, rate, room)
	check(2002*ms+1, rate, quota.Refill(rate))
	check(10*second, rate, quota.Refill(rate))
	check(10010*ms+1, 0, 0)
}

// Nothing is taken away by a leader that may have been replaced.
func TestOnlyAConfirmedLeaderTakesAway(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	join(l, "a", 0, 5000)
	held := l.held
	l.Dead(1*second, Member{"a", 1})
	l.Tick(12 * second)
	if l.held != held {
		t.Errorf("held %+v, want %+v", l.held, held)
	}
	if _, ok := (&node{id: "a", incarnation: 1}).say(l, Lead+second); ok {
		t.Error("it answers although it was not confirmed for long")
	}
	l.Confirm(12 * second)
	l.Tick(12 * second)
	if l.held != (quota.Holding{}) {
		t.Errorf("held %+v", l.held)
	}
}

// Proof of death, a new incarnation and leaving free a share at once.
func TestProofsOfDeath(t *testing.T) {
	for name, prove := range map[string]func(l *Ledger, n *node){
		"dead": func(l *Ledger, n *node) { l.Dead(second, Member{n.id, 1}) },
		"restarted": func(l *Ledger, n *node) {
			again := &node{id: n.id, incarnation: 2}
			l.Join(Member{n.id, 2})
			for range 2 {
				again.say(l, second)
				l.Confirm(second)
			}
			again.report.Last = true
			again.say(l, second)
		},
		"left": func(l *Ledger, n *node) {
			n.report.Last = true
			n.say(l, second)
		},
	} {
		l := New(0, thousand, Takeover{Epoch: 1, New: true})
		n := join(l, "a", 0, 5000)
		l.Confirm(second)
		n.report.Level = 70 * quota.Token
		n.say(l, second)
		prove(l, n)
		if s := l.Status(second); s.InHand != 0 {
			t.Errorf("%s: %d micro-tokens in nobody's hand", name, s.InHand)
		}
		if l.held != (quota.Holding{}) {
			t.Errorf("%s: held %+v", name, l.held)
		}
		l.mustBalance(t)
		if !l.Forget("a") || l.Forget("a") {
			t.Errorf("%s: cannot be forgotten once", name)
		}
	}
}

// A node that was called dead and is not has to hand everything back.
func TestNotDead(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	n := join(l, "a", 0, 5000)
	l.Confirm(second)
	l.Dead(second, Member{"a", 1})
	n.say(l, second+ms)
	l.Confirm(second + ms)
	n.say(l, second+2*ms) // claims what is not its own any more
	a, ok := n.say(l, second+3*ms)
	if !ok || !a.Drop || a.Term == 0 {
		t.Errorf("%+v", a)
	}
}

// A lower limit is reached by handing back, a higher one at once; nothing is
// refilled.
func TestConfigure(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	n := join(l, "a", 0, 5000)
	half := thousand
	half.Num, half.Burst = 500, 100
	l.Configure(ms, half)
	if l.free().Rate >= 0 || l.level != 0 {
		t.Errorf("free %+v, level %d", l.free(), l.level)
	}
	a, _ := n.say(l, 2*ms)
	if a.Hand > 500*quota.PerSecond || a.Most == 0 || a.Most > 100*quota.Token {
		t.Errorf("%+v", a)
	}
	n.say(l, 3*ms)
	if l.free().Rate < 0 {
		t.Errorf("free %+v after it was handed back", l.free())
	}
	level := l.level
	double := thousand
	double.Num, double.Burst = 2000, 4000
	l.Configure(3*ms, double)
	if l.level != level {
		t.Errorf("level %d became %d", level, l.level)
	}
	l.mustBalance(t)
}

// Reports that come twice, late, from a former incarnation, from strangers or
// that make no sense change nothing.
func TestReportsThatDoNotCount(t *testing.T) {
	l := New(0, thousand, Takeover{Epoch: 1, New: true})
	n := join(l, "a", 0, 500)
	n.incarnation = 5
	n.report = quota.Report{}
	l.Join(Member{"a", 5})
	n.say(l, ms)
	l.Confirm(ms)
	n.say(l, ms)
	held, level := l.held, l.level
	for name, change := range map[string]func(r *quota.Report) (string, uint64){
		"twice":                           func(r *quota.Report) (string, uint64) { return "a", 5 },
		"former incarnation":              func(r *quota.Report) (string, uint64) { r.Seq += 9; return "a", 4 },
		"incarnation that has not joined": func(r *quota.Report) (string, uint64) { r.Seq += 9; return "a", 6 },
		"stranger":                        func(r *quota.Report) (string, uint64) { r.Seq += 9; return "x", 5 },
		"more than it has":                func(r *quota.Report) (string, uint64) { r.Seq++; r.Back.Rate += 1 << 60; return "a", 5 },
		"less than before":                func(r *quota.Report) (string, uint64) { r.Seq++; r.Back.Room--; return "a", 5 },
		"from far ahead":                  func(r *quota.Report) (string, uint64) { r.Seq++; r.Term = 1 << 63; return "a", 5 },
	} {
		r := n.report
		id, incarnation := change(&r)
		if _, ok := l.Report(ms, id, incarnation, r); ok {
			t.Errorf("%s: answered", name)
		}
		if l.held != held || l.level != level || l.Deposed() != 0 {
			t.Errorf("%s: held %+v, want %+v", name, l.held, held)
		}
		l.mustBalance(t)
	}
}

// Whatever arrives, in whatever order: no panic, the books balance, and a limit
// that nobody changed is never divided into more than there is.
func FuzzLedger(f *testing.F) {
	f.Add([]byte("reports of three nodes, ticks, deaths, takeovers: 0123456789 0123456789 01234"))
	f.Add([]byte{0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 255, 9, 4, 2, 9, 255, 5, 3, 3, 3, 6, 200, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		intact := len(data)%2 == 0 // after a takeover the nodes' word counts, true or not
		l := New(0, thousand, Takeover{Epoch: 3, Members: []Member{{"0", 1}, {"1", 1}}, New: intact, Lost: len(data)%3 == 0})
		nodes := make([]node, 4)
		var now int64
		for i := range nodes {
			nodes[i] = node{id: strconv.Itoa(i), incarnation: 1}
			l.Join(Member{nodes[i].id, 1})
		}
		for ; len(data) >= 4; data = data[4:] {
			now += int64(data[1]) * int64(data[1]) * ms / 8
			n, x := &nodes[data[2]%4], int64(data[3])
			switch data[0] % 12 {
			case 0:
				l.Tick(now)
			case 1:
				l.Dead(now, Member{n.id, n.incarnation + uint64(x%2)})
			case 2:
				*n = node{id: n.id, incarnation: n.incarnation + 1}
				l.Join(Member{n.id, n.incarnation})
			case 3: // nonsense
				r := n.report
				r.Seq += uint64(x % 3)
				r.Back = quota.Sum{Rate: uint64(x) << (x % 60), Room: ^uint64(x), Tokens: uint64(x)}
				r.Got.Rate -= uint64(x)
				r.Term += uint64(x % 2)
				r.Level, r.Demand, r.Now = -x<<50, x<<54, -x
				l.Report(now, n.id, n.incarnation, r)
			case 4:
				p := thousand
				p.Num, p.Burst = uint64(x*x), x
				l.Configure(now, p)
				intact = false
			case 5:
				n.report.Last = x%9 == 0
				n.say(l, now)
				n.report.Last = false
			case 6:
				l.Confirm(now)
			default:
				n.report.Demand = x * x * x * quota.Token / 100
				n.report.Now = x * quota.Token
				n.report.Level = x * quota.Token / 10
				n.report.Refused += uint64(x % 5)
				n.report.Urgent = x%2 == 0
				l.Confirm(now)
				n.say(l, now)
			}
			l.mustBalance(t)
			if f := l.free(); intact && (f.Rate < 0 || f.Room < 0) {
				t.Fatalf("free %+v", f)
			}
		}
		l.Status(now)
	})
}
