package breaker

import (
	"time"

	"apiproxy.internal/shared/wire"
)

// Trip holds the breaker open from now on, for ttl or, if that is 0, until Auto
// or Reset. It replaces an earlier hold.
func (m *Machine) Trip(now time.Time, reason, author string, ttl time.Duration) Effect {
	hold := &wire.Hold{Head: wire.Now(), State: wire.BreakerOpen, Reason: reason, Author: author}
	if ttl > 0 {
		hold.Until = now.Add(ttl).UTC().Round(0)
	}
	eff := m.hold(now, hold, ttl)
	eff.StoreHold = hold
	return m.dealt(now, eff)
}

// Reset closes the breaker, whatever its state, and zeroes all counters. From
// then on it is automatic.
func (m *Machine) Reset(now time.Time, reason, author string) Effect {
	held := m.forced != nil
	eff := m.enter(now, wire.BreakerClosed, wire.CauseReset)
	eff.DropHold = held
	eff.Event.Author, eff.Event.Reason = author, reason
	return m.dealt(now, eff)
}

// Auto ends a hold: the breaker goes on half-open. Without one it does nothing.
func (m *Machine) Auto(now time.Time, reason, author string) Effect {
	if m.forced == nil {
		return Effect{}
	}
	return m.dealt(now, m.release(now, wire.CauseAuto, reason, author))
}

func (m *Machine) dealt(now time.Time, eff Effect) Effect {
	eff.Answer = m.deal(now)
	return eff
}

// hold enters the forced state; for = 0 has no end.
func (m *Machine) hold(now time.Time, h *wire.Hold, ttl time.Duration) Effect {
	eff := m.enter(now, wire.BreakerOpen, wire.CauseTrip)
	m.forced = &wire.Forced{State: h.State, Reason: h.Reason, Author: h.Author, Until: h.Until}
	m.retryAt = time.Time{}
	if ttl > 0 {
		m.retryAt = now.Add(ttl)
	}
	entry := m.Entry(now)
	entry.Cause = wire.CauseTrip
	eff.Write = &entry
	eff.Event.Author, eff.Event.Reason = h.Author, h.Reason
	return eff
}

func (m *Machine) release(now time.Time, cause, reason, author string) Effect {
	eff := m.enter(now, wire.BreakerHalfOpen, cause)
	eff.DropHold = true
	eff.Event.Author, eff.Event.Reason = author, reason
	return eff
}

// restoreHold makes the state what the stored hold says: it is stored before the
// entry is written, and deleted before.
func (m *Machine) restoreHold(now time.Time, h *wire.Hold) Effect {
	switch {
	case h == nil && m.forced == nil:
		return Effect{}
	case h == nil:
		eff := m.release(now, wire.CauseAuto, "", "")
		eff.DropHold = false
		return eff
	}
	left := time.Duration(0)
	if !h.Until.IsZero() {
		if left = h.Until.Sub(now); left <= 0 {
			return m.expired(now)
		}
	}
	if f := m.forced; f != nil && m.state == wire.BreakerOpen &&
		f.Reason == h.Reason && f.Author == h.Author && f.Until.Equal(h.Until) {
		m.inherits, m.retryAt = false, time.Time{}
		if left > 0 {
			m.retryAt = now.Add(left)
		}
		return Effect{}
	}
	return m.hold(now, h, left)
}

// expired drops a hold that ran out while nobody led.
func (m *Machine) expired(now time.Time) Effect {
	if m.forced == nil {
		return Effect{DropHold: true}
	}
	return m.release(now, wire.CauseHoldEnded, "", "")
}
