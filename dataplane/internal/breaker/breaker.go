// Package breaker is the circuit breaker of one provider: it counts consecutive
// failed attempts, stops sending after too many of them, and after a pause lets
// a few probes find out whether the provider is back.
//
// Alone it decides all of that itself. In a cluster it also obeys the leader:
// what a caller meets is the worse of the two states, and while the cluster's is
// half-open each probe takes a permit that the leader has granted.
package breaker

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// probeRetryAfter is what a caller hears when all half-open slots are taken. A
// probe takes about one round trip, so that a slot is likely free by then.
const probeRetryAfter = time.Second

// touchEvery is the precision with which the last attempt is remembered: coarse,
// so that processors do not fight over it.
const touchEvery = int64(100 * time.Millisecond)

// never is long before any time.
const never = math.MinInt64 / 2

// Config tunes a breaker. The counts lie in 1..1e6; one below 1 counts as 1.
type Config struct {
	FailureThreshold int           // consecutive failures that open it
	SuccessThreshold int           // successes while half-open that close it
	HalfOpenRequests int           // most probes in flight at once
	Timeout          time.Duration // pause between opening and the first probe; constant
}

// Outcome is what an attempt says about the provider.
type Outcome uint8

// The outcomes of a permit. The zero value is the harmless one, for an attempt
// that ended without a verdict: the client left, the node gave up, a panic.
const (
	Released Outcome = iota // gives the slot back and counts nothing
	Success
	Failure
)

// Permit is the right to send one attempt. The zero value permits nothing.
type Permit struct {
	generation uint64 // of the breaker when it was granted
	probe      uint64 // key in Breaker.probes; 0 = granted while closed
}

// Transition is one change of state, for the log and the event stream. The zero
// value means that nothing changed.
type Transition struct {
	From, To   verdict.BreakerState
	Failures   int    // consecutive failures at that moment
	Generation uint64 // that the change began: of this breaker, not of the cluster's
}

// Changed reports whether there was a transition at all.
func (t Transition) Changed() bool { return t.From != t.To }

// Breaker is a circuit breaker (Nygard, Release It!, "Circuit Breaker"). It is
// safe for simultaneous use and calls nothing outside itself but the function
// given to Join.
//
// A generation lasts from one transition to the next, and a word of the leader
// begins one too. A permit carries the generation that granted it and its
// outcome counts in that one only: whoever set out before the breaker opened
// says nothing about what came after.
//
// Times are nanoseconds since the start of the node.
type Breaker struct {
	// quiet is the generation while the breaker is closed with no failure
	// counted, and 0 otherwise. Then Acquire has nothing to take, and a success
	// of the same generation has nothing to change, so both are done after one
	// load. They take effect at that load: it is stored before the lock is
	// released, so a Done that returned earlier is seen; one that is still
	// running may be ordered after. Hence a permit may be granted, or a success
	// dropped, while another goroutine is opening the breaker, exactly as if it
	// had come first; the generation voids what that permit reports later.
	quiet atomic.Uint64

	touched atomic.Int64 // when an attempt was sent or ended last, to touchEvery

	mu         sync.Mutex // guards all below
	config     Config
	state      verdict.BreakerState
	generation uint64 // from 1
	failures   int    // consecutive ones, among the outcomes that counted
	successes  int    // of this half-open generation
	openedAt   int64  // 0 = never
	lastProbe  uint64

	// probes are the half-open permits in flight, those of an earlier
	// generation included: the provider feels them too. A set rather than a
	// count, so that giving a permit back twice cannot free another one's slot.
	// The value says that it took a permit of the leader.
	probes map[uint64]bool

	cluster cluster
}

// New returns a closed breaker.
func New(config Config) *Breaker {
	b := &Breaker{generation: 1, probes: make(map[uint64]bool)}
	b.touched.Store(never)
	b.Configure(config)
	b.publishLocked()
	return b
}

// Configure replaces the thresholds and keeps state and counters. It is never a
// transition itself: a closed breaker that is already over a lowered threshold
// opens at its next failure, a half-open one closes at its next success. An open
// one follows the new timeout, counted from its opening.
func (b *Breaker) Configure(config Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	config.FailureThreshold = max(config.FailureThreshold, 1)
	config.SuccessThreshold = max(config.SuccessThreshold, 1)
	config.HalfOpenRequests = max(config.HalfOpenRequests, 1)
	b.config = config
}

// Acquire asks to send one attempt at now. If ok, the caller owns the permit and
// hands it to Done exactly once, on every path. Otherwise retryAfter (> 0) says
// when to ask again: when the breaker will be half-open, or in a second if it is
// and every slot is taken. The transition, if any, is from open to half-open,
// with or without a permit.
func (b *Breaker) Acquire(now int64) (p Permit, ok bool, retryAfter time.Duration, t Transition) {
	if generation := b.quiet.Load(); generation != 0 {
		b.touch(now)
		return Permit{generation: generation}, true, 0, Transition{}
	}
	return b.acquireSlow(now)
}

// touch remembers that the provider is in use.
func (b *Breaker) touch(now int64) {
	if now-b.touched.Load() >= touchEvery {
		b.touched.Store(now)
	}
}

func (b *Breaker) acquireSlow(now int64) (p Permit, ok bool, retryAfter time.Duration, t Transition) {
	b.mu.Lock()
	defer b.unlockAndTell()
	switch b.stateLocked(now) {
	case verdict.Open:
		b.wantLocked(now)
		return Permit{}, false, b.retryAfterLocked(now), Transition{}
	case verdict.Closed:
		b.touch(now)
		return Permit{generation: b.generation}, true, 0, Transition{}
	}
	if b.cluster.alone && b.followsLocked() {
		b.leaveLocked()
	}
	if b.state == verdict.Open {
		t = b.enterLocked(verdict.HalfOpen)
	}
	leased := b.followsLocked()
	if leased && !b.takeLeaseLocked(now) || !leased && len(b.probes) >= b.slotsLocked() {
		b.wantLocked(now)
		return Permit{}, false, probeRetryAfter, t
	}
	b.touch(now)
	b.lastProbe++
	b.probes[b.lastProbe] = leased
	return Permit{generation: b.generation, probe: b.lastProbe}, true, 0, t
}

// Done gives p back at now with the outcome of its attempt. An outcome of an
// earlier generation is ignored, but its slot comes back. The zero Permit is a
// no-op, and so is a probe's permit the second time; the second time of a permit
// of the closed state counts once more, which the caller must rule out.
func (b *Breaker) Done(now int64, p Permit, o Outcome) Transition {
	if o == Success && p.generation == b.quiet.Load() {
		b.touch(now)
		return Transition{}
	}
	return b.doneSlow(now, p, o)
}

func (b *Breaker) doneSlow(now int64, p Permit, o Outcome) Transition {
	b.mu.Lock()
	defer b.unlockAndTell()
	if p.probe != 0 {
		leased, inFlight := b.probes[p.probe]
		if !inFlight {
			return Transition{}
		}
		delete(b.probes, p.probe)
		if leased {
			b.cluster.done++
		}
		b.urgentLocked() // someone may be waiting for the slot
	}
	if p.generation != b.generation {
		return Transition{}
	}
	t := b.countLocked(now, o)
	b.publishLocked()
	return t
}

// countLocked counts an outcome of the current generation, which is closed or
// half-open: an open one grants no permits.
func (b *Breaker) countLocked(now int64, o Outcome) Transition {
	switch o {
	case Success:
		b.touch(now)
		b.recoveredLocked()
		b.failures = 0
		if b.state == verdict.HalfOpen {
			b.successes++
			if b.successes >= b.config.SuccessThreshold && !b.followsLocked() {
				return b.enterLocked(verdict.Closed)
			}
		}
	case Failure:
		b.touch(now)
		b.urgentLocked()
		b.failures++
		if b.state == verdict.HalfOpen || b.failures >= b.config.FailureThreshold {
			b.openedAt = now
			b.failedLocked(now)
			return b.enterLocked(verdict.Open)
		}
	}
	return Transition{}
}

// enterLocked is the only change of state; one that is imposed by the leader
// goes through it too, and must publish.
func (b *Breaker) enterLocked(to verdict.BreakerState) Transition {
	b.generation++
	t := Transition{From: b.state, To: to, Failures: b.failures, Generation: b.generation}
	b.state, b.successes = to, 0
	return t
}

// publishLocked tells the lock-free paths what they may skip.
func (b *Breaker) publishLocked() {
	var quiet uint64
	if b.state == verdict.Closed && b.failures == 0 {
		quiet = b.generation
	}
	b.quiet.Store(quiet)
}
