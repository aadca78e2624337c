package breaker

import (
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

// Stats is a snapshot of a breaker. Times are nanoseconds since the start of the
// node.
type Stats struct {
	State      verdict.BreakerState // as State shows it
	Failures   int                  // consecutive failed attempts, of this node or as the leader told
	Successes  int                  // of this half-open phase
	OpenedAt   int64                // last opening, even if it has closed since; 0 = never
	RetryAt    int64                // when the first probe may go; 0 unless State is open, and if nobody knows
	SlotsInUse int                  // probes in flight, leftovers of an earlier phase included
	Leased     int                  // of these, the ones that have a permit of the leader
	SlotsFree  int                  // probes that a half-open breaker would grant now
	Generation uint64               // from 1; 1 + the number of transitions so far if no leader told it anything
	Forced     *wire.Forced         // the operator's hold, nil if there is none; read only
}

// State is the state at now. A breaker whose timeout has run out is half-open,
// traffic or not; the transition itself waits for the next Acquire. State is
// lock-free while the breaker is closed with no failure counted.
func (b *Breaker) State(now int64) verdict.BreakerState {
	if b.quiet.Load() != 0 {
		return verdict.Closed
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.stateLocked(now)
}

// Stats is the state and all counters at now.
func (b *Breaker) Stats(now int64) Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Stats{
		State:      b.stateLocked(now),
		Failures:   max(b.failures, b.cluster.failures),
		Successes:  b.successes,
		OpenedAt:   b.openedAt,
		SlotsInUse: len(b.probes),
		SlotsFree:  max(0, b.slotsLocked()-len(b.probes)),
		Generation: b.generation,
		Forced:     b.cluster.forced,
	}
	for _, leased := range b.probes {
		if leased {
			s.Leased++
		}
	}
	if b.followsLocked() {
		s.SlotsFree = int(b.cluster.heldAt(now))
	}
	if s.State == verdict.Open {
		s.RetryAt = b.retryAtLocked()
	}
	return s
}

func (b *Breaker) stateLocked(now int64) verdict.BreakerState {
	if b.state == verdict.Open && b.mayProbeLocked(now) {
		return verdict.HalfOpen
	}
	return b.state
}

// mayProbeLocked says that the pause of an open breaker is over. The end of the
// cluster's is for the leader to tell, as long as there is one.
func (b *Breaker) mayProbeLocked(now int64) bool {
	if b.followsLocked() && (!b.cluster.alone || b.cluster.heldOpen) {
		return false
	}
	return now >= b.retryAtLocked()
}

// retryAtLocked is when the first probe may go; 0 = nobody knows.
func (b *Breaker) retryAtLocked() int64 {
	if b.followsLocked() {
		return b.cluster.retryAt
	}
	return b.openedAt + int64(b.config.Timeout)
}

// retryAfterLocked is what a caller hears from an open breaker. Where the end is
// for others to tell and late or unknown, a second is a civil pause, or the
// timeout if an operator's hold may last.
func (b *Breaker) retryAfterLocked(now int64) time.Duration {
	if b.followsLocked() && b.cluster.heldOpen {
		return max(b.config.Timeout, probeRetryAfter)
	}
	if wait := time.Duration(b.retryAtLocked() - now); wait > 0 {
		return wait
	}
	return probeRetryAfter
}
