package breaker

import "apiproxy.internal/dataplane/internal/verdict"

// Stats is a snapshot of a breaker. Times are nanoseconds since the start of the
// node.
type Stats struct {
	State      verdict.BreakerState // as State shows it
	Failures   int                  // consecutive failed attempts
	Successes  int                  // of this half-open phase
	OpenedAt   int64                // last opening, even if it has closed since; 0 = never
	RetryAt    int64                // when the first probe may go; 0 unless State is open
	SlotsInUse int                  // probes in flight, leftovers of an earlier phase included
	SlotsFree  int                  // probes that a half-open breaker would grant now
	Generation uint64               // 1 + the number of transitions so far
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
		Failures:   b.failures,
		Successes:  b.successes,
		OpenedAt:   b.openedAt,
		SlotsInUse: len(b.probes),
		SlotsFree:  max(0, b.config.HalfOpenRequests-len(b.probes)),
		Generation: b.generation,
	}
	if s.State == verdict.Open {
		s.RetryAt = b.retryAtLocked()
	}
	return s
}

func (b *Breaker) stateLocked(now int64) verdict.BreakerState {
	if b.state == verdict.Open && now >= b.retryAtLocked() {
		return verdict.HalfOpen
	}
	return b.state
}

func (b *Breaker) retryAtLocked() int64 { return b.openedAt + int64(b.config.Timeout) }
