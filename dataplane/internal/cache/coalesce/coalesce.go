// Package coalesce lets requests that would ask a provider the same question at
// the same time ask it once (RFC 9111 §4: one answer may satisfy several
// requests that were waiting for it). The first one leads, the others wait; each
// waits only as long as it wants to. It starts no goroutine and reads no clock.
package coalesce

import (
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is what became of a wait.
type Outcome uint8

// The outcomes.
const (
	// Alone: the answer cannot be shared, or only streamed. Everybody asks alone.
	Alone Outcome = iota
	// Shared: the result is the answer.
	Shared
	// Failed: two leaders failed one after the other; the result tells how the
	// second one did. Nobody else needs to try.
	Failed
	// Lead: the leader failed or left, and this request is the leader now. It ends
	// the flight as any leader does.
	Lead
	// GaveUp: the wait was over first. The request has left the flight.
	GaveUp
)

// maxFailures is how many leaders may fail before all who wait hear of it: the
// first failure may be one connection's bad luck, the second is the provider's.
const maxFailures = 2

// Group holds the flights that are under way. The zero value is ready for use.
// Safe for simultaneous use.
type Group[T any] struct {
	ended   atomic.Uint64
	mu      sync.Mutex
	flights map[string]*Flight[T]
}

// Ended counts the flights that have ended. Whoever looks for an answer before he
// joins may do so just before a flight ends that leaves one, and join just after:
// if the count has changed since he looked, and he leads, he looks again.
func (g *Group[T]) Ended() uint64 { return g.ended.Load() }

// Flight is one question to a provider and those who wait for the answer. The
// leader calls exactly one of Share, Disband, Fail and Abandon, exactly once, on
// every path; Abandon may be deferred, because after any other one it does
// nothing. Whoever joined without leading calls Wait once.
type Flight[T any] struct {
	group *Group[T]
	key   string

	// Guarded by group.mu.
	waiting  int
	failures int
	turn     int // counts the leaders: a call of an earlier one does nothing
	sealed   bool
	lead     chan struct{} // one token: whoever takes it leads
	done     chan struct{} // closed once outcome and result stand
	outcome  Outcome
	result   T
}

// Ticket is the place of one request in a flight. The zero Ticket has none; its
// methods do nothing, and Wait returns Alone.
type Ticket[T any] struct {
	flight *Flight[T]
	turn   int // as leader; 0 = waits
}

// Join takes part in the flight of that key, and reports whether the caller
// leads it.
func (g *Group[T]) Join(key []byte) (t Ticket[T], leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.flights[string(key)]; f != nil {
		f.waiting++
		return Ticket[T]{flight: f}, false
	}
	if g.flights == nil {
		g.flights = make(map[string]*Flight[T])
	}
	f := &Flight[T]{group: g, key: string(key), turn: 1, lead: make(chan struct{}, 1), done: make(chan struct{})}
	g.flights[f.key] = f
	return Ticket[T]{flight: f, turn: 1}, true
}

// Wait waits for the end of the flight, until gone is closed or until deadline
// delivers; either may be nil. After Lead the ticket is the leader's.
func (t *Ticket[T]) Wait(gone <-chan struct{}, deadline <-chan time.Time) (o Outcome, result T) {
	f := t.flight
	if f == nil || t.turn != 0 {
		return Alone, result
	}
	select {
	case <-f.done:
	case <-f.lead:
		return t.takeOver(), result
	case <-gone:
		return t.leave(), result
	case <-deadline:
		return t.leave(), result
	}
	return f.outcome, f.result
}

func (t *Ticket[T]) takeOver() Outcome {
	f := t.flight
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	f.waiting--
	f.turn++
	t.turn = f.turn
	return Lead
}

func (t *Ticket[T]) leave() Outcome {
	f := t.flight
	t.flight = nil
	f.group.mu.Lock()
	defer f.group.mu.Unlock()
	if f.waiting--; f.waiting > 0 {
		return GaveUp
	}
	select {
	case <-f.lead: // nobody is left to lead
		f.sealLocked()
	default:
	}
	return GaveUp
}

// Share ends the flight with an answer. build makes the result; it is called
// only if somebody waits, and after nobody can join any more.
func (t *Ticket[T]) Share(build func() T) {
	f, waiting := t.seal()
	if f == nil || waiting == 0 {
		return
	}
	defer close(f.done) // with Alone, should build panic
	f.result = build()
	f.outcome = Shared
}

// Disband ends the flight without an answer for the others, who ask alone.
func (t *Ticket[T]) Disband() {
	if f, _ := t.seal(); f != nil {
		close(f.done)
	}
}

// Fail tells that the provider failed. One of those who wait tries once more; if
// that was the second failure the result goes to all of them.
func (t *Ticket[T]) Fail(result T) {
	f := t.leads()
	if f == nil {
		return
	}
	defer f.group.mu.Unlock()
	if f.failures++; f.failures < maxFailures {
		f.handOverLocked()
		return
	}
	f.sealLocked()
	f.outcome, f.result = Failed, result
	close(f.done)
}

// Retry asks whether a leader whose attempt failed may make another one itself.
// While others wait it counts as the one more try that a flight has; while
// nobody does the leader's own policy is the only one.
func (t *Ticket[T]) Retry() bool {
	f := t.leads()
	if f == nil {
		return true
	}
	defer f.group.mu.Unlock()
	if f.waiting == 0 {
		return true
	}
	if f.failures+1 >= maxFailures {
		return false
	}
	f.failures++
	return true
}

// IsWaitedFor reports whether somebody waits for this leader.
func (t *Ticket[T]) IsWaitedFor() bool {
	f := t.leads()
	if f == nil {
		return false
	}
	defer f.group.mu.Unlock()
	return f.waiting > 0
}

// Abandon tells that the leader leaves with nothing learnt of the provider: its
// client went away, its limit refused it, it panicked. Another one leads.
func (t *Ticket[T]) Abandon() {
	if f := t.leads(); f != nil {
		defer f.group.mu.Unlock()
		f.handOverLocked()
	}
}

// leads returns the flight, with the group locked, if the caller leads it and it has
// not ended.
func (t *Ticket[T]) leads() *Flight[T] {
	f := t.flight
	if f == nil || t.turn == 0 {
		return nil
	}
	f.group.mu.Lock()
	if t.turn != f.turn || f.sealed {
		f.group.mu.Unlock()
		return nil
	}
	return f
}

// handOverLocked offers the lead to those who wait. Without any the flight ends.
func (f *Flight[T]) handOverLocked() {
	f.turn++ // whatever this leader calls after that is ignored
	if f.waiting == 0 {
		f.sealLocked()
		return
	}
	f.lead <- struct{}{} // has room: only a leader puts one in, and he is gone then
}

// seal ends the joining, and returns the flight if the caller still leads it.
func (t *Ticket[T]) seal() (f *Flight[T], waiting int) {
	if f = t.leads(); f == nil {
		return nil, 0
	}
	defer f.group.mu.Unlock()
	f.sealLocked()
	return f, f.waiting
}

func (f *Flight[T]) sealLocked() {
	f.sealed = true
	delete(f.group.flights, f.key)
	f.group.ended.Add(1)
}

// Waiting is how many requests wait for an answer.
func (g *Group[T]) Waiting() (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.flights {
		n += f.waiting
	}
	return n
}

// Flights is how many questions are under way.
func (g *Group[T]) Flights() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.flights)
}
