// Package breaker is the leader's side of the circuit breakers: one Machine per
// provider turns the evidence of the nodes and the orders of operators into the
// state of the cluster's breaker, and deals out the permits of its half-open
// phase. It does no input or output: what there is to write, to store and to
// tell comes back as an Effect.
package breaker

import (
	"math/rand/v2"
	"time"

	"apiproxy.internal/shared/wire"
)

const (
	// evidenceFor is how long the evidence of a silent node counts.
	evidenceFor = 10 * time.Second

	// dealWithin is how fresh the last word of a node must be for a new permit:
	// the lease runs from it, so that a later one would arrive half used up.
	dealWithin = wire.PermitLease / 2

	// hearAll is how long a new leader gives the nodes to report, before it judges
	// by those that have: a sick node that comes first is not all there is.
	hearAll = 1500 * time.Millisecond
)

// Config tunes a machine. A count below 1 counts as 1.
type Config struct {
	FailureThreshold int           // consecutive failures, summed over the nodes, that open it
	SuccessThreshold int           // successes while half-open that close it
	HalfOpenRequests int           // most permits outstanding in the cluster
	Timeout          time.Duration // from opening to half-open; constant

	// Attempt is the longest that an attempt takes, its timeouts together. The
	// permits of a node that fell silent are taken to be in use for as long; a
	// stream that outlives it may go on beside the permit's next user.
	Attempt time.Duration
}

// Node is who sends a report. The reports of an incarnation that membership has
// refused or that another one has replaced must not come here.
type Node struct {
	ID          string
	Incarnation string
	Nonce       int64  // orders the reports
	Epoch       uint64 // that the node obeys
	Draining    bool   // is given no more permits
}

// Effect is what follows from an input. Do it in this order: the hold, then the
// entry, then the event and the answers; then nothing is lost wherever a crash
// falls. An entry that could not be written is replaced by the one of the next
// Effect, or by Entry.
type Effect struct {
	StoreHold *wire.Hold // to be stored; nil = leave it
	DropHold  bool       // the stored hold is to be deleted
	Write     *wire.BreakerEntry
	Event     *Event
	Answer    []string // nodes with new permits: answer their last report again, at once
}

// Event is a change of state.
type Event struct {
	From, To string
	Cause    string
	Failures int
	Author   string // of an operator's order
	Reason   string
}

// View is what operators see.
type View struct {
	State    string
	Failures int       // consecutive: now if closed, else those that opened it
	OpenedAt time.Time // zero if closed
	RetryAt  time.Time // zero unless open and ending by itself
	Forced   *wire.Forced
}

// Machine is the cluster's breaker of one provider. It is not safe for
// simultaneous use. Times come from time.Now, with their monotonic clock: only
// the end of a hold is a date, and it becomes a duration when it is read.
type Machine struct {
	config Config
	epoch  uint64
	random *rand.Rand

	gen      wire.Generation
	state    string
	since    time.Time // of the state
	openedAt time.Time // last opening; zero if closed
	retryAt  time.Time // when the open state ends; zero = until an operator ends it
	failures int       // those that opened it; 0 if closed
	forced   *wire.Forced
	inherits bool // an earlier leader opened it, and its nodes know better when that ends

	nodes   map[string]*node
	missing map[string]bool // nodes that may hold permits of an earlier leader
	waitFor time.Time       // for the missing, at most
	judgeAt time.Time       // with some missing
	deals   uint64
	recall  time.Time // until then unused permits are not renewed
}

// Restored is what a new leader finds.
type Restored struct {
	Epoch uint64             // its own: higher than any before
	Entry *wire.BreakerEntry // in the bucket; nil = none, or lost with the bucket
	Hold  *wire.Hold         // in the configuration's bucket; nil = none
	Nodes []string           // ids of the members that may be alive
}

// New starts a machine at now. It goes on with the entry it finds, or with what
// the nodes remember if the entry is lost; a hold counts more than either. An
// open state lasts as long as the nodes say that it would have, a full timeout at
// most. No permit is dealt out until every node in r.Nodes has reported under
// the new epoch or is dead, or as long as an attempt may last has passed; and for
// hearAll it does not open while one of them is missing.
func New(now time.Time, config Config, r Restored) (*Machine, Effect) {
	m := &Machine{
		epoch:   r.Epoch,
		random:  rand.New(rand.NewPCG(r.Epoch, uint64(len(r.Nodes)))),
		state:   wire.BreakerClosed,
		since:   now,
		nodes:   make(map[string]*node),
		missing: make(map[string]bool),
	}
	m.setConfig(config)
	m.waitFor, m.judgeAt = now.Add(m.silence()), now.Add(hearAll)
	for _, id := range r.Nodes {
		m.missing[id] = true
	}
	if r.Entry != nil {
		m.inherit(now, r.Entry.Generation, r.Entry.State)
		m.since, m.forced = r.Entry.Since, r.Entry.Forced
		if m.state != wire.BreakerClosed {
			m.failures, m.openedAt = r.Entry.Failures, r.Entry.OpenedAt
		}
	}
	return m, m.restoreHold(now, r.Hold)
}

// inherit takes over a state of an earlier leader. When it ends is not known, so
// the whole timeout is left, until the nodes know less.
func (m *Machine) inherit(now time.Time, gen wire.Generation, state string) {
	m.gen, m.state, m.since, m.forced = gen, known(state), now, nil
	m.failures, m.openedAt, m.retryAt = 0, time.Time{}, time.Time{}
	if m.state != wire.BreakerClosed {
		m.openedAt = now
	}
	if m.inherits = m.state == wire.BreakerOpen; m.inherits {
		m.retryAt = now.Add(m.config.Timeout)
	}
}

func known(state string) string {
	if state == wire.BreakerOpen || state == wire.BreakerHalfOpen {
		return state
	}
	return wire.BreakerClosed
}

// Configure replaces the thresholds and keeps the state. It is no transition
// itself; the next report or tick judges by the new ones. An open breaker follows
// the new timeout, counted from its opening.
func (m *Machine) Configure(config Config) {
	old := m.config
	m.setConfig(config)
	if m.state == wire.BreakerOpen && m.forced == nil {
		m.retryAt = m.retryAt.Add(m.config.Timeout - old.Timeout)
	}
}

func (m *Machine) setConfig(config Config) {
	config.FailureThreshold = max(config.FailureThreshold, 1)
	config.SuccessThreshold = max(config.SuccessThreshold, 1)
	config.HalfOpenRequests = max(config.HalfOpenRequests, 1)
	config.Attempt = max(config.Attempt, 0)
	m.config = config
}

// silence is how long the permits of a node that is not heard may be in use. An
// unused one lasts for a lease, counted from the node's last report or from an
// earlier one; then the attempt. Clocks may differ by a thousandth.
func (m *Machine) silence() time.Duration {
	d := wire.PermitLease + m.config.Attempt
	return d + d/1000
}

// Report takes what node n tells in a report heard at now.
func (m *Machine) Report(now time.Time, n Node, e wire.Evidence) Effect {
	rec := m.nodes[n.ID]
	if rec == nil || rec.Incarnation != n.Incarnation {
		rec = &node{}
		m.nodes[n.ID] = rec
	} else if n.Nonce <= rec.Nonce {
		return Effect{}
	}
	news := rec.heard.IsZero() || rec.evidence != e
	if m.silent(now, rec) {
		rec.granted = 0
	}
	rec.take(now, n, e)
	if n.Epoch == m.epoch {
		delete(m.missing, n.ID)
	}
	eff := m.adopt(now, e)
	if m.state == wire.BreakerClosed && !news && eff.Write == nil {
		return eff // most reports are like that; Tick sees what time brings
	}
	return m.act(now, eff)
}

// Dead takes the proof of a node's death: its permits are free, its evidence is
// void. Silence alone is no proof and needs no call.
func (m *Machine) Dead(now time.Time, id string) Effect {
	delete(m.nodes, id)
	delete(m.missing, id)
	return m.act(now, Effect{})
}

// Tick does what the time brings: call it about every 50 ms.
func (m *Machine) Tick(now time.Time) Effect {
	for id, rec := range m.nodes {
		if now.Sub(rec.heard) > max(m.silence(), evidenceFor) {
			delete(m.nodes, id)
		}
	}
	if len(m.missing) > 0 && now.After(m.waitFor) {
		clear(m.missing)
	}
	return m.act(now, Effect{})
}

// act judges at now, at most one change of state for each input, and deals out
// permits.
func (m *Machine) act(now time.Time, eff Effect) Effect {
	if eff.Write == nil {
		eff = m.judge(now)
	}
	eff.Answer = m.deal(now)
	return eff
}

// Entry is the state as an entry to be written at now.
func (m *Machine) Entry(now time.Time) wire.BreakerEntry {
	e := wire.BreakerEntry{
		Head:       wire.Now(),
		Generation: m.gen,
		State:      m.state,
		Failures:   m.failures,
		Since:      m.since.UTC(),
		OpenedAt:   m.openedAt.UTC(),
		Forced:     m.forced,
	}
	if m.state == wire.BreakerOpen && !m.retryAt.IsZero() {
		e.RetryMS = max(1, (m.retryAt.Sub(now) + time.Millisecond - 1).Milliseconds())
	}
	return e
}

// View is the state at now.
func (m *Machine) View(now time.Time) View {
	v := View{State: m.state, Failures: m.failures, OpenedAt: m.openedAt, Forced: m.forced}
	if m.state == wire.BreakerClosed {
		v.Failures, _, _ = m.sum(now)
	}
	if m.state == wire.BreakerOpen {
		v.RetryAt = m.retryAt
	}
	return v
}
