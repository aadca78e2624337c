package breaker

import (
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

const (
	// attemptedFor is how long an attempt says that the provider is in use.
	attemptedFor = int64(10 * time.Second)

	// wantFor is how long a refused attempt says that a probe is wanted. It is
	// shorter than a lease, so that permits which lie unused elsewhere come free
	// when the want is over, and go to a node drawn by lot: traffic that is too
	// thin to use a permit in time cannot chase it in a circle.
	wantFor = int64(wire.PermitLease) * 8 / 10

	maxWants = 1 << 20
)

// evidenceState is what the reports tell beyond the state itself.
type evidenceState struct {
	bad       int // failed probes of this generation
	wants     int // attempts refused for want of a permit
	wantUntil int64

	urgent       bool // notify is due or was called since the last Evidence
	call         bool // notify is due
	toldFailures bool // the last Evidence told of failures
	toldWants    bool // an Evidence told of this want, and no grant came since
}

// Evidence is what the next report says of b at now, but for the provider's
// name. What happens later is notified again.
func (b *Breaker) Evidence(now int64) wire.Evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.cluster
	c.expire(now)
	e := wire.Evidence{
		Generation: c.gen,
		Failures:   b.failures,
		Attempted:  now-b.touched.Load() < attemptedFor,
		Granted:    c.granted,
		Done:       c.done,
		Wants:      min(c.wantsAt(now), b.config.HalfOpenRequests),
		Bad:        c.bad,
		Closed:     c.own && b.state == verdict.Closed,
	}
	if c.state != verdict.Closed {
		e.State = c.state.String()
		if b.state == verdict.HalfOpen {
			e.OK = b.successes
		}
	}
	if c.state == verdict.Open {
		if left := c.retryAt - now; left > 0 {
			e.RetryMS = (left-1)/int64(time.Millisecond) + 1
		}
	}
	if local := b.stateLocked(now); local != c.state {
		e.Local = local.String()
	}
	for _, leased := range b.probes {
		if !leased {
			e.Own++
		}
	}
	c.urgent = false
	c.toldFailures = e.Failures > 0
	c.toldWants = e.Wants > 0
	return e
}

// wantLocked notes that an attempt was refused at now which the leader could let
// pass, now or when it ends the open state. Only a half-open breaker makes haste,
// once until it is answered: a busy node would otherwise report without end.
func (b *Breaker) wantLocked(now int64) {
	c := &b.cluster
	if !b.followsLocked() {
		return
	}
	c.wants = min(c.wantsAt(now)+1, maxWants)
	c.wantUntil = now + wantFor
	if b.state == verdict.HalfOpen && !c.toldWants {
		b.urgentLocked()
	}
}

func (e *evidenceState) wantsAt(now int64) int {
	if now >= e.wantUntil {
		return 0
	}
	return e.wants
}

// recoveredLocked is called before a success ends a run of failures. The leader
// sums up what it was told last, so it should hear of the end as well.
func (b *Breaker) recoveredLocked() {
	if b.failures > 0 && b.cluster.toldFailures {
		b.urgentLocked()
	}
}

// urgentLocked asks for a report soon.
func (b *Breaker) urgentLocked() {
	c := &b.cluster
	if c.notify != nil && !c.urgent {
		c.urgent, c.call = true, true
	}
}

// unlockAndTell is the unlocking of whatever may have called urgentLocked.
func (b *Breaker) unlockAndTell() {
	call := b.cluster.call
	b.cluster.call = false
	notify := b.cluster.notify
	b.mu.Unlock()
	if call {
		notify()
	}
}
