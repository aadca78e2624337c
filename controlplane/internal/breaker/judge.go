package breaker

import (
	"time"

	"apiproxy.internal/shared/wire"
)

// judge makes the change of state that is due at now.
func (m *Machine) judge(now time.Time) Effect {
	switch m.state {
	case wire.BreakerClosed:
		if len(m.missing) > 0 && now.Before(m.judgeAt) {
			break
		}
		failures, failing, attempted := m.sum(now)
		if failures >= m.config.FailureThreshold && attempted > 0 && 2*failing >= attempted {
			m.failures = failures
			return m.enter(now, wire.BreakerOpen, wire.CauseFailures)
		}
	case wire.BreakerOpen:
		switch {
		case m.forced == nil && m.closedAlone():
			return m.enter(now, wire.BreakerClosed, wire.CauseClosedAlone)
		case m.retryAt.IsZero() || now.Before(m.retryAt):
		case m.forced != nil:
			return m.release(now, wire.CauseHoldEnded, "", "")
		default:
			return m.enter(now, wire.BreakerHalfOpen, wire.CauseTimeout)
		}
	case wire.BreakerHalfOpen:
		ok, bad := m.probed()
		switch {
		case m.closedAlone():
			return m.enter(now, wire.BreakerClosed, wire.CauseClosedAlone)
		case bad > 0:
			m.failures += bad
			return m.enter(now, wire.BreakerOpen, wire.CauseProbeFailed)
		case ok >= m.config.SuccessThreshold:
			return m.enter(now, wire.BreakerClosed, wire.CauseProbesOK)
		}
	}
	return Effect{}
}

// sum is the evidence of failure at now: all consecutive failures, and how many
// nodes used the provider lately and how many of these are failing. What a node
// tells of another generation says nothing of this one.
func (m *Machine) sum(now time.Time) (failures, failing, attempted int) {
	for _, n := range m.nodes {
		if n.evidence.Generation != m.gen || now.Sub(n.heard) > evidenceFor {
			continue
		}
		failures += n.evidence.Failures
		if n.evidence.Attempted {
			attempted++
			if n.evidence.Failures > 0 {
				failing++
			}
		}
	}
	return failures, failing, attempted
}

// probed sums up the probes of this generation. They are facts, however long ago
// their node was heard.
func (m *Machine) probed() (ok, bad int) {
	for _, n := range m.nodes {
		if n.evidence.Generation == m.gen {
			ok += n.evidence.OK
			bad += n.evidence.Bad
		}
	}
	return ok, bad
}

// closedAlone says that a node which heard no leader has had enough successes in
// this generation.
func (m *Machine) closedAlone() bool {
	for _, n := range m.nodes {
		if n.evidence.Generation == m.gen && n.evidence.Closed {
			return true
		}
	}
	return false
}

// adopt learns from a node what the bucket has lost, and how much of a pause is
// left. The entry is written again as it was: who has applied it skips it.
func (m *Machine) adopt(now time.Time, e wire.Evidence) (eff Effect) {
	if e.Compare(m.gen) > 0 && e.Epoch < m.epoch {
		from := m.state
		m.inherit(now, e.Generation, e.State)
		m.shorten(now, e)
		if from != m.state {
			eff.Event = &Event{From: from, To: m.state}
		}
		entry := m.Entry(now)
		eff.Write = &entry
	}
	m.shorten(now, e)
	return eff
}

// shorten ends an inherited pause when the node would have ended it.
func (m *Machine) shorten(now time.Time, e wire.Evidence) {
	if !m.inherits || m.forced != nil || e.Generation != m.gen {
		return
	}
	if left := m.retryAt.Sub(now); left.Milliseconds() > e.RetryMS {
		m.retryAt = now.Add(time.Duration(max(e.RetryMS, 0)) * time.Millisecond)
	}
}

// enter is the only change of state.
func (m *Machine) enter(now time.Time, state, cause string) Effect {
	event := &Event{From: m.state, To: state, Cause: cause, Failures: m.failures}
	m.gen = wire.Generation{Epoch: m.epoch, Gen: m.gen.Gen + 1}
	m.state, m.since, m.forced, m.inherits = state, now, nil, false
	m.retryAt = time.Time{}
	switch state {
	case wire.BreakerClosed:
		m.failures, m.openedAt = 0, time.Time{}
	case wire.BreakerOpen:
		m.openedAt, m.retryAt = now, now.Add(m.config.Timeout)
	}
	entry := m.Entry(now)
	entry.Cause = cause
	return Effect{Write: &entry, Event: event}
}
