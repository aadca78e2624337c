package lease

import (
	"encoding/json"
	"math"
	"testing"

	"apiproxy.internal/shared/quota"
)

const (
	ms     = int64(1e6)
	second = int64(1e9)
)

func at(t int64) Time { return Time{Mono: t, Boot: t} }

// leader is the least that gives: everything at once.
type leader struct {
	answer quota.Answer
}

func newLeader() *leader {
	return &leader{quota.Answer{Term: 1, Lease: 600 * second, Keep: quota.MaxRoom, Hand: quota.MaxRate}}
}

func (f *leader) give(r quota.Report, rate, room, tokens int64) quota.Answer {
	a := &f.answer
	a.Seq++
	a.Nonce = r.Nonce
	a.Gave = a.Gave.Plus(quota.Part{Holding: quota.Holding{Rate: rate, Room: room}, Tokens: tokens})
	return *a
}

// joined is a lease that has met the leader's term at time 0.
func joined(t *testing.T) (*Lease, *leader) {
	t.Helper()
	l, f := New(at(0), make(chan struct{}, 1)), newLeader()
	first := f.give(l.Report(at(0), false), 0, 0, 0)
	if !l.Apply(at(0), first) {
		t.Fatal("a new term is to be confirmed by a report at once")
	}
	return l, f
}

func (l *Lease) admits(now int64) (n int) {
	for l.bucket.Take(now).OK {
		n++
	}
	return n
}

func TestLeaseFromNothing(t *testing.T) {
	l := New(at(0), nil)
	if n := l.admits(0); n != 0 {
		t.Errorf("admitted %d without a lease", n)
	}
	if s := l.Status(at(0)); s.Mode != None {
		t.Errorf("%+v", s)
	}
	l, f := joined(t)
	l.Apply(at(ms), f.give(l.Report(at(ms), false), 10*quota.PerSecond, 5*quota.Token, 3*quota.Token))
	if n := l.admits(ms); n != 3 {
		t.Errorf("admitted %d of 3", n)
	}
	if n := l.admits(201 * ms); n != 2 {
		t.Errorf("earned %d in 0.2 s at 10 a second", n)
	}
	if s := l.Status(at(201 * ms)); s.Mode != Leased {
		t.Errorf("%+v", s)
	}
}

// Answers that come twice, out of order, too late, for another incarnation, of
// a deposed leader, or that make no sense, hand nothing over.
func TestLeaseTakesEachAnswerOnce(t *testing.T) {
	l, f := joined(t)
	r := l.Report(at(second), false)
	one := f.give(r, 0, quota.Token, quota.Token)
	two := f.give(r, 0, quota.Token, quota.Token)
	for _, a := range []quota.Answer{two, one, two} {
		l.Apply(at(second), a)
	}
	if n := l.admits(second); n != 2 {
		t.Errorf("admitted %d of 2", n)
	}
	for name, change := range map[string]func(*quota.Answer){
		"too late":              func(a *quota.Answer) { a.Nonce = second - quota.Fresh },
		"from the future":       func(a *quota.Answer) { a.Nonce = second + 1 },
		"another incarnation's": func(a *quota.Answer) { a.Nonce = -1 },
		"a deposed leader's":    func(a *quota.Answer) { a.Term = 0 },
		"too much":              func(a *quota.Answer) { a.Gave.Room += quota.MaxRoom },
		"negative":              func(a *quota.Answer) { a.Gave.Rate-- },
		"tokens without room":   func(a *quota.Answer) { a.Gave.Tokens += 5 },
	} {
		a := two
		a.Seq += 10
		a.Gave = a.Gave.Plus(quota.Part{Holding: quota.Holding{Room: quota.Token}, Tokens: quota.Token})
		change(&a)
		l.Apply(at(second), a)
		if n := l.admits(second); n != 0 {
			t.Errorf("an answer that is %s admitted %d", name, n)
		}
	}
}

// A new leader's first answer hands nothing over, and the old leader's do not
// either from then on.
func TestLeaseIsFenced(t *testing.T) {
	l, old := joined(t)
	r := l.Report(at(ms), false)
	successor := quota.Answer{Term: 1 << 32, Seq: 7, Nonce: r.Nonce, Lease: second, Gave: quota.Sum{Room: 9e6, Tokens: 9e6}}
	if !l.Apply(at(ms), successor) {
		t.Error("a new term is to be confirmed at once")
	}
	l.Apply(at(ms), old.give(r, 0, quota.Token, quota.Token))
	if n := l.admits(ms); n != 0 {
		t.Errorf("admitted %d", n)
	}
	if r := l.Report(at(2*ms), false); r.Term != 1<<32 || r.Got != (quota.Sum{}) {
		t.Errorf("%+v", r)
	}
}

// Without an answer: tokens for bursts end after 2 s, the rate goes on for hold.
func TestLeaseInSilence(t *testing.T) {
	for name, tt := range map[string]struct {
		lease     int64
		after1s   Mode
		after3s   Mode
		afterHour Mode
		admits    [3]int
	}{
		"share":  {10 * second, Leased, Holding, Closed, [3]int{100, 30, 0}},
		"closed": {quota.Fresh, Leased, Closed, Closed, [3]int{100, 0, 0}},
		"open":   {quota.Forever, Leased, Holding, Holding, [3]int{100, 30, 30}},
	} {
		l, f := joined(t)
		f.answer.Lease = tt.lease
		l.Apply(at(0), f.give(l.Report(at(0), false), 100*quota.PerSecond, 100*quota.Token, 100*quota.Token))
		for i, moment := range []int64{second, 3 * second, 3600 * second} {
			l.Report(at(moment), false) // a tick; nobody hears it
			want := []Mode{tt.after1s, tt.after3s, tt.afterHour}[i]
			s := l.Status(at(moment))
			if s.Mode != want || s.Open != (want == Holding && name == "open") {
				t.Errorf("%s, %d s: %+v", name, moment/second, s)
			}
			if n := l.admits(moment); n != tt.admits[i] {
				t.Errorf("%s, %d s: admitted %d, want %d", name, moment/second, n, tt.admits[i])
			}
		}
	}
}

// The bucket ends by itself, even if no tick comes any more.
func TestLeaseEndsWithoutTicks(t *testing.T) {
	l, f := joined(t)
	l.Apply(at(0), f.give(l.Report(at(0), false), 100*quota.PerSecond, 100*quota.Token, 100*quota.Token))
	if n := l.admits(quota.Fresh); n != 0 {
		t.Errorf("a node that was stopped for 2 s admitted %d", n)
	}
}

// A machine that slept for an hour has no lease when it wakes, although the
// clock of the request path stood still.
func TestLeaseOverSleep(t *testing.T) {
	l, f := joined(t)
	l.Apply(at(0), f.give(l.Report(at(0), false), 100*quota.PerSecond, 100*quota.Token, 100*quota.Token))
	woken := Time{Mono: second, Boot: 3600 * second}
	l.Report(woken, false)
	if n := l.admits(second); n != 0 || l.Status(woken).Mode != Closed {
		t.Errorf("admitted %d, %+v", n, l.Status(woken))
	}
}

// What the leader asks for goes back, out of the bucket first, and is told in
// every report from then on.
func TestLeaseHandsBack(t *testing.T) {
	l, f := joined(t)
	a := f.give(l.Report(at(0), false), 100*quota.PerSecond, 50*quota.Token, 50*quota.Token)
	a.Hand, a.Keep, a.Most = 40*quota.PerSecond, 10*quota.Token, 20*quota.Token
	l.Apply(at(0), a)
	want := quota.Sum{Rate: 60 * quota.PerSecond, Room: 30 * quota.Token, Tokens: 30 * quota.Token}
	for range 2 {
		if r := l.Report(at(0), false); r.Back != want || r.Level != 20*quota.Token || r.Holding() != (quota.Holding{Rate: 40 * quota.PerSecond, Room: 20 * quota.Token}) {
			t.Errorf("%+v", r)
		}
	}
	if n := l.admits(0); n != 20 {
		t.Errorf("admitted %d of 20", n)
	}
	r := l.Return(at(ms))
	if !r.Last || r.Holding() != (quota.Holding{}) || r.Level != 0 {
		t.Errorf("%+v", r)
	}
	if l.Apply(at(2*ms), f.give(r, 0, quota.Token, quota.Token)); l.admits(second) != 0 {
		t.Error("a node that has left takes tokens in")
	}
}

// An idle node that hands back what is scarce keeps room for its rate. It handed
// back all of it, and refused everything when the leader then fell silent.
func TestIdleLeaseKeepsRoomForItsRate(t *testing.T) {
	for _, row := range []struct {
		name               string
		hand, keep         int64
		wantRoom, wantRate int64
	}{
		{"it keeps a share", 100 * quota.PerSecond, 30 * quota.Token, 30 * quota.Token, 100 * quota.PerSecond},
		{"it keeps none", 0, 0, 0, 0},
	} {
		l, f := joined(t)
		a := f.give(l.Report(at(ms), false), 200*quota.PerSecond, 500*quota.Token, 500*quota.Token)
		a.Hand, a.Keep, a.Scarce = row.hand, row.keep, true
		l.Apply(at(ms), a)
		l.Report(at(2*second), false)
		if s := l.Status(at(2 * second)); s.Have.Room != row.wantRoom || s.Have.Rate != row.wantRate || s.Level != row.wantRoom {
			t.Errorf("%s: %+v, want room for %d micro-tokens", row.name, s, row.wantRoom)
		}
		if n := int64(l.admits(4 * second)); n != row.wantRoom/quota.Token {
			t.Errorf("%s: admits %d in silence, want %d", row.name, n, row.wantRoom/quota.Token)
		}
	}
}

// A node that was started again goes on at its rate, without a token.
func TestLeaseRestored(t *testing.T) {
	l, f := joined(t)
	l.Apply(at(0), f.give(l.Report(at(0), false), 10*quota.PerSecond, 50*quota.Token, 50*quota.Token))
	text, err := json.Marshal(l.Save())
	if err != nil {
		t.Fatal(err)
	}
	var saved quota.Saved
	if err := json.Unmarshal(text, &saved); err != nil {
		t.Fatal(err)
	}
	next := New(at(3*second), nil)
	next.Restore(at(3*second), saved)
	if n := next.admits(3 * second); n != 0 {
		t.Errorf("admitted %d at once", n)
	}
	if n := next.admits(3*second + 99*ms); n != 0 {
		t.Errorf("admitted %d after 99 ms", n)
	}
	if n := next.admits(30 * second); n != 1 {
		t.Errorf("admitted %d, want the one that there is room for", n)
	}
	if s := next.Status(at(4 * second)); s.Mode != Holding {
		t.Errorf("%+v", s)
	}
	if n := next.admits(601 * second); n != 0 {
		t.Errorf("admitted %d after the end", n)
	}
	late := New(at(700*second), nil)
	late.Restore(at(700*second), saved)
	if s := late.Status(at(700 * second)); s.Mode != None {
		t.Errorf("%+v", s)
	}
}

func TestLess(t *testing.T) {
	b := quota.Saved{Holding: quota.Holding{Rate: 5, Room: 5}, Until: 5}
	if Less(b, b) || !Less(quota.Saved{Holding: quota.Holding{Rate: 4, Room: 5}, Until: 5}, b) {
		t.Error("wrong")
	}
}

// Running low asks for a report at once, but not for a storm of them.
func TestUrgent(t *testing.T) {
	l, f := joined(t)
	l.Apply(at(0), f.give(l.Report(at(0), false), 0, 10*quota.Token, 10*quota.Token))
	if l.Urgent(at(0)) {
		t.Error("urgent with 10 tokens")
	}
	l.admits(0)
	if !l.Urgent(at(ms)) {
		t.Error("not urgent with none")
	}
	r := l.Report(at(ms), true)
	l.bucket.Take(ms)
	if !r.Urgent || l.Urgent(at(2*ms)) {
		t.Error("the answer is under way")
	}
	if !l.Urgent(at(ms + retryGap)) {
		t.Error("it must be lost by now")
	}
	a := f.give(r, 0, 0, 0)
	a.Scarce = true
	l.Apply(at(3*ms), a)
	if l.Urgent(at(4*ms)) || !l.Urgent(at(ms+scarceGap)) {
		t.Error("a scarce pool is asked twice a tick")
	}
}

// Who waits for tokens is woken by tokens, and by nothing else.
func TestArrival(t *testing.T) {
	l, f := joined(t)
	arrival := l.Arrival()
	l.Apply(at(ms), f.give(l.Report(at(ms), true), 0, quota.Token, 0))
	select {
	case <-arrival:
		t.Error("woken without tokens")
	default:
	}
	l.Apply(at(ms), f.give(l.Report(at(ms), true), 0, quota.Token, quota.Token))
	<-arrival
}

// Whatever arrives, in whatever order: no panic, and the account is right: what
// came in less what went back is what the node holds, and it admits no more than
// the tokens that it was handed and the rates that it was given earn.
func FuzzLease(f *testing.F) {
	f.Add([]byte("answers and reports, ticks and silence: 0123456789 0123456789 0123456789"))
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 200, 201, 202, 203, 204, 205, 255, 254, 253})
	f.Fuzz(func(t *testing.T, data []byte) {
		l, from := joined(t)
		var now, rates, tokens, admitted int64
		for ; len(data) >= 4; data = data[4:] {
			now += int64(data[1]) * int64(data[1]) * ms / 4
			x, y := int64(data[2]), int64(data[3])
			switch data[0] % 8 {
			case 0:
				r := l.Report(at(now), x%2 == 0)
				if h := r.Holding(); h != l.have || !h.Possible() || r.Level > h.Room {
					t.Fatalf("holds %+v, reports %+v with level %d", l.have, h, r.Level)
				}
			case 1, 2:
				a := from.give(quota.Report{Nonce: now - x*10*ms}, y*quota.PerSecond, x*quota.Token, min(x, y)*quota.Token)
				a.Hand, a.Keep, a.Scarce = y*x*quota.PerSecond, x*y*1000, x%3 == 0
				rates += y
				tokens += min(x, y)
				l.Apply(at(now), a)
			case 3: // nonsense
				a := from.answer
				a.Seq += uint64(x)
				a.Term += uint64(y % 2 * (x - 100))
				a.Nonce = now
				a.Gave.Rate -= uint64(x)
				a.Lease, a.Hand, a.Keep, a.Most = x-100, math.MinInt64+x, math.MaxInt64-y, -x
				l.Apply(at(now), a)
			case 4:
				s := l.Status(at(now))
				if !s.Have.Possible() || s.Level > s.Have.Room {
					t.Fatalf("%+v", s)
				}
			case 5:
				l.Save()
				l.Restore(at(now), quota.Saved{Holding: quota.Holding{Rate: x, Room: y}, Until: now + x})
			default:
				if l.bucket.Take(now - x*ms).OK {
					admitted++
				}
			}
		}
		if most := tokens + rates*(now/second+1); admitted > most {
			t.Fatalf("admitted %d of %d", admitted, most)
		}
	})
}
