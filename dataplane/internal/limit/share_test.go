package limit

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

const (
	token = int64(1e6) // in micro-tokens
	nano  = int64(1e9) // one token per second
)

// What a share does, moment by moment.
func TestShare(t *testing.T) {
	bell := make(chan struct{}, 1)
	b := NewShare(0, bell)
	level := func(now, want int64) {
		t.Helper()
		if got := b.Level(now); got != want {
			t.Errorf("at %d: level %d, want %d", now, got, want)
		}
	}
	take := func(now int64, want bool) {
		t.Helper()
		if got := b.Take(now); got.OK != want {
			t.Errorf("at %d: %+v, want OK = %v", now, got, want)
		}
	}
	// it begins with nothing, and refuses
	take(0, false)
	// tokens before the end is set are of no use
	b.Reshape(0, Share{Rate: 10 * nano, Room: 3 * token}, 2*token)
	take(0, false)
	b.End(1000 * ms)
	take(0, true)
	level(0, 1*token)
	// it earns into its room, in fractions, and no further
	level(50*ms, 1.5e6)
	level(900*ms, 3*token)
	// what does not fit is lost
	b.Reshape(900*ms, Share{Rate: 10 * nano, Room: 2.5e6}, 9*token)
	level(900*ms, 2.5e6)
	// taking out leaves what was asked for
	if got := b.Withdraw(900*ms, 0.7e6); got != 1.8e6 {
		t.Errorf("withdrew %d", got)
	}
	level(900*ms, 0.7e6)
	if got := b.Withdraw(900*ms, token); got != 0 {
		t.Errorf("withdrew %d from less", got)
	}
	// a later rate does not work backwards
	b.Reshape(930*ms, Share{Rate: 0, Room: 2 * token}, 0)
	level(930*ms, token)
	level(990*ms, token)
	// the end ends it, to the nanosecond
	if d := b.Peek(1000 * ms); d.OK || d.Remaining != 0 {
		t.Errorf("after the end: %+v", d)
	}
	take(1000*ms-1, true)
	take(1000*ms, false)
	// a refund fits into the room, not beyond
	b.Refund(5)
	level(990*ms, 2*token)
	// nonsense earns nothing and holds nothing
	b.Reshape(990*ms, Share{Rate: -1, Room: math.MaxInt64}, math.MinInt64)
	level(5000*ms, 0)
}

// The bell rings once for many refusals, and for a level below Low.
func TestShareRings(t *testing.T) {
	bell := make(chan struct{}, 1)
	b := NewShare(0, bell)
	b.End(Never)
	b.Reshape(0, Share{Room: 10 * token, Low: 8 * token}, 10*token)
	rings := func(want int) {
		t.Helper()
		if got := len(bell); got != want {
			t.Errorf("%d rings, want %d", got, want)
		}
	}
	b.TakeN(0, 2)
	rings(0)
	b.Take(0)
	rings(1)
	<-bell
	b.TakeN(0, 20)
	rings(0)
	if !b.Rung() {
		t.Error("nobody has rearmed it")
	}
	b.Rearm()
	b.TakeN(0, 20)
	rings(1)
	b.Rearm()
	b.TakeN(0, 20) // the channel is full: nobody waits
}

// A share is told to come back when the whole limit has a token, not when its
// own trickle has.
func TestShareTellsAtMost(t *testing.T) {
	b := NewShare(0, nil)
	b.End(Never)
	if got := b.Take(0).RetryAfter; got != Never {
		t.Errorf("%d", got)
	}
	b.TellAtMost(7 * ms)
	if got := b.Take(0).RetryAfter; got != 7*ms {
		t.Errorf("%d", got)
	}
	if got := b.Peek(0).RetryAfter; got != 7*ms {
		t.Errorf("%d", got)
	}
}

// Counts are exact when nobody races, full buckets and reshaping included.
func TestShareCounts(t *testing.T) {
	b := NewShare(0, nil)
	b.End(Never)
	now := int64(0)
	for i := range int64(200) {
		now += i * ms
		b.Reshape(now, Share{Rate: (i%7)*nano*1000 + 1, Room: (i%5 + 1) * token}, 3*token)
		b.Take(now)
		b.Take(now + 400*ms)
		b.Refund(1)
		b.Withdraw(now+400*ms, i%3*token)
	}
	taken, refused := b.Counts()
	if taken != 200*token-int64(refused)*token {
		t.Errorf("taken %d with %d refused", taken, refused)
	}
}

// Racing takes, reshapes and withdrawals: what is put in comes out once.
func TestShareRace(t *testing.T) {
	b := NewShare(0, nil)
	b.End(Never)
	var admitted, added, withdrawn int64
	var took atomic.Int64
	var done atomic.Bool
	var takers sync.WaitGroup
	for range 3 {
		takers.Go(func() {
			for !done.Load() {
				if b.Take(0).OK {
					took.Add(1)
				}
			}
		})
	}
	for i := range int64(3_000) {
		b.Reshape(0, Share{Rate: i % 3 * 20_000 * nano, Room: MaxBurst * token}, 5*token)
		added += 5 * token
		if i%4 == 0 {
			withdrawn += b.Withdraw(0, token)
		}
	}
	done.Store(true)
	takers.Wait()
	withdrawn += b.Withdraw(0, 0)
	admitted = took.Load() * token
	if admitted+withdrawn != added {
		t.Errorf("admitted %d and withdrew %d of %d", admitted, withdrawn, added)
	}
	if taken, _ := b.Counts(); taken != admitted {
		t.Errorf("counted %d, admitted %d", taken, admitted)
	}
}
