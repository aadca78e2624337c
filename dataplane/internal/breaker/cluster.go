package breaker

import (
	"math"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

// cluster is what a breaker knows of the leader's.
type cluster struct {
	notify func() // nil = not in a cluster

	gen      wire.Generation      // of the newest entry applied
	state    verdict.BreakerState // of that entry
	failures int                  // that the entry tells; 0 if it is closed
	retryAt  int64                // when the open state may end; 0 if heldOpen
	heldOpen bool                 // by an operator, without an end
	forced   *wire.Forced

	alone bool // the leader is silent
	own   bool // in this generation the node has probed by itself, and its own state counts
	nodes int  // that share the probes when all are alone, at least 1

	permits
	evidenceState
}

// Join makes b a member of a cluster. notify is called, outside the lock, when
// something happened that the leader should hear soon: a failure, the end of a
// run of failures or of a probe, a probe that is wanted, a change of state. It
// must return at once; it is called once until the next Evidence. Join comes
// before any other use of b.
func (b *Breaker) Join(notify func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cluster.notify = notify
	b.cluster.nodes = 1
}

// Impose applies an entry of the cluster's breaker, read at now; an entry that
// is not newer than the one in force changes nothing. A closed one resets the
// counters, an open one refuses all until a newer entry comes, a half-open one
// asks for a permit for each attempt. Hearing an entry is hearing the leader.
//
// An entry whose state is unknown counts as open: an older node must not send
// what a newer leader may have forbidden.
func (b *Breaker) Impose(now int64, e wire.BreakerEntry) Transition {
	b.mu.Lock()
	defer b.unlockAndTell()
	c := &b.cluster
	if e.Compare(c.gen) <= 0 {
		return Transition{}
	}
	c.giveBack()
	c.alone, c.own = false, false
	c.gen, c.state, c.forced = e.Generation, stateOf(e.State), e.Forced
	c.failures, c.retryAt, c.heldOpen = 0, 0, false
	c.bad = 0
	b.failures = 0
	switch c.state {
	case verdict.Closed:
		c.wants = 0
	case verdict.Open:
		c.failures = max(e.Failures, 0)
		c.heldOpen = e.Forced != nil && e.RetryMS <= 0
		if !c.heldOpen {
			c.retryAt = later(now, e.RetryMS)
		}
		b.openedAt = now
	case verdict.HalfOpen:
		c.failures = max(e.Failures, 0)
		if b.openedAt == 0 {
			b.openedAt = now
		}
	}
	if c.wantsAt(now) > 0 || b.state != c.state {
		b.urgentLocked() // the leader can grant as soon as it knows that the entry is applied
	}
	t := b.enterLocked(c.state)
	b.publishLocked()
	return t
}

// Follow says whether the leader is heard, and how many nodes there are.
// While it is silent an open breaker becomes half-open at its time, and a
// half-open one at once, with this node's part of the probes: half_open_requests
// divided by nodes, rounded up. What comes of them holds until a newer entry.
func (b *Breaker) Follow(heard bool, nodes int) Transition {
	b.mu.Lock()
	defer b.unlockAndTell()
	c := &b.cluster
	c.nodes = max(nodes, 1)
	if c.alone == !heard {
		return Transition{}
	}
	c.alone = !heard
	if c.alone || !c.own || b.state == verdict.Closed {
		return Transition{}
	}
	// Its own probes have not closed it, so the leader's word counts again. If
	// one has failed it stays open until the leader has heard of that.
	c.own = false
	b.urgentLocked()
	if b.state == verdict.Open {
		c.retryAt = b.openedAt + int64(b.config.Timeout)
		return Transition{}
	}
	if b.state == c.state {
		return Transition{}
	}
	t := b.enterLocked(c.state)
	b.publishLocked()
	return t
}

// followsLocked says that the cluster's state is in force and keeps the node
// from sending freely.
func (b *Breaker) followsLocked() bool {
	return b.cluster.state != verdict.Closed && !b.cluster.own
}

// leaveLocked is the beginning of probing by itself.
func (b *Breaker) leaveLocked() {
	b.cluster.own = true
	b.cluster.giveBack()
}

// slotsLocked is how many probes may be in flight without permits.
func (b *Breaker) slotsLocked() int {
	if b.cluster.own {
		n := b.cluster.nodes
		return (b.config.HalfOpenRequests-1)/n + 1
	}
	return b.config.HalfOpenRequests
}

// failedLocked notes that a failure opens the breaker at now.
func (b *Breaker) failedLocked(now int64) {
	c := &b.cluster
	if c.state == verdict.Closed {
		return
	}
	c.bad++
	c.giveBack()
	if !c.own {
		c.retryAt = now + int64(b.config.Timeout)
	}
}

func stateOf(word string) verdict.BreakerState {
	switch word {
	case wire.BreakerClosed, "":
		return verdict.Closed
	case wire.BreakerHalfOpen:
		return verdict.HalfOpen
	}
	return verdict.Open
}

// later is now plus milliseconds that came from outside.
func later(now, ms int64) int64 {
	const most = int64(time.Hour) * 24 * 366
	ns := min(max(ms, 0), most/int64(time.Millisecond)) * int64(time.Millisecond)
	return min(now, math.MaxInt64-most) + ns
}
