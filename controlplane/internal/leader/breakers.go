package leader

import (
	"time"

	"apiproxy.internal/controlplane/internal/breaker"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// configureBreakers gives each provider its machine. One whose provider is taken
// out stays as it is, so that putting it back closes nothing.
func (l *Leader) configureBreakers(now time.Time) {
	for name, p := range l.doc.Providers {
		c := breakerConfig(l.doc.Breaker(name), p.Timeout)
		if b := l.breakers[name]; b != nil {
			b.Configure(c)
			continue
		}
		r := breaker.Restored{Epoch: l.epoch, Nodes: l.live()}
		if e, ok := l.restored.Breakers[name]; ok {
			r.Entry = &e
		}
		if h, ok := l.restored.Holds[name]; ok {
			r.Hold = &h
		}
		b, eff := breaker.New(now, c, r)
		l.breakers[name] = b
		l.breaker(now, name, eff)
	}
}

func breakerConfig(c config.CircuitBreaker, t config.Timeout) breaker.Config {
	attempt := time.Duration(t.Connect+t.Send+t.Read) * 9 / 8 // a node's deadlines come up to an eighth late
	if t.Total > 0 {
		attempt = min(attempt, time.Duration(t.Total))
	}
	return breaker.Config{
		FailureThreshold: c.FailureThreshold,
		SuccessThreshold: c.SuccessThreshold,
		HalfOpenRequests: c.HalfOpenRequests,
		Timeout:          time.Duration(c.Timeout),
		Attempt:          attempt,
	}
}

// breaker carries out what a machine says.
func (l *Leader) breaker(now time.Time, name string, eff breaker.Effect) {
	if eff.DropHold {
		l.effects.DropHold(name)
	}
	if eff.Write != nil {
		l.effects.WriteBreaker(name, *eff.Write)
	}
	if e := eff.Event; e != nil {
		l.effects.Event(events.Breaker, BreakerChanged{now.UTC(), name, e.From, e.To, e.Cause, e.Failures, e.Author, e.Reason})
	}
	for _, id := range eff.Answer {
		if n := l.nodes[id]; n != nil {
			l.answer(now, n, told{}, true)
		}
	}
}

// BreakerChanged is the data of the event events.Breaker.
type BreakerChanged struct {
	Time     time.Time `json:"time"`
	Provider string    `json:"provider"`
	From     string    `json:"from"`
	To       string    `json:"to"`
	Cause    string    `json:"cause,omitempty"`
	Failures int       `json:"failures"`
	Author   string    `json:"author,omitempty"`
	Reason   string    `json:"reason,omitempty"`
}

// Order is what an operator does to a breaker.
type Order struct {
	Do     string // Trip, Reset or Auto
	TTL    time.Duration
	Author string
	Reason string
}

// The orders.
const (
	Trip  = "trip"
	Reset = "reset"
	Auto  = "auto"
)

// Order carries out an operator's order whose hold is stored or deleted already.
// It reports whether there is such a provider.
func (l *Leader) Order(now time.Time, provider string, o Order) bool {
	b := l.breakers[provider]
	if b == nil {
		return false
	}
	var eff breaker.Effect
	switch o.Do {
	case Trip:
		eff = b.Trip(now, o.Reason, o.Author, o.TTL)
	case Reset:
		eff = b.Reset(now, o.Reason, o.Author)
	case Auto:
		eff = b.Auto(now, o.Reason, o.Author)
	}
	eff.DropHold = false // done before
	l.breaker(now, provider, eff)
	return true
}

// HasProvider reports whether the configuration in force names a provider.
func (l *Leader) HasProvider(name string) bool {
	if l.doc == nil {
		return false
	}
	_, ok := l.doc.Providers[name]
	return ok
}

// Breakers are the breakers of the providers in force.
func (l *Leader) Breakers(now time.Time) map[string]status.Breaker {
	all := make(map[string]status.Breaker, len(l.breakers))
	for name, b := range l.breakers {
		if l.HasProvider(name) {
			all[name] = view(b.View(now))
		}
	}
	return all
}

func view(v breaker.View) status.Breaker {
	b := status.Breaker{State: v.State, Failures: v.Failures}
	if v.State != wire.BreakerClosed {
		b.OpenedAt = date(v.OpenedAt)
	}
	b.RetryAt = date(v.RetryAt)
	if f := v.Forced; f != nil {
		b.Forced = &status.Forced{State: f.State, Reason: f.Reason, Author: f.Author, Until: f.Until}
	}
	return b
}

func date(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}
