package breaker

import (
	"slices"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"pgregory.net/rapid"
)

// model is the slow, obvious breaker: it remembers everything that happened and
// derives each number from that.
type model struct {
	config   Config
	epochs   []*epoch // one for each state that it was in
	verdicts []Outcome
	inFlight []*modelPermit
}

type epoch struct {
	state    verdict.BreakerState
	since    int64
	verdicts []Outcome
}

type modelPermit struct {
	epoch *epoch
	probe bool
}

func (m *model) current() *epoch { return m.epochs[len(m.epochs)-1] }

func (m *model) state(now int64) verdict.BreakerState {
	e := m.current()
	if e.state == open && now-e.since >= int64(m.config.Timeout) {
		return halfOpen
	}
	return e.state
}

func (m *model) enter(now int64, to verdict.BreakerState) Transition {
	t := Transition{From: m.current().state, To: to, Failures: m.failures(), Generation: uint64(len(m.epochs) + 1)}
	m.epochs = append(m.epochs, &epoch{state: to, since: now})
	return t
}

// failures is the length of the last run of failures.
func (m *model) failures() (n int) {
	for _, o := range slices.Backward(m.verdicts) {
		if o != Failure {
			break
		}
		n++
	}
	return n
}

func (m *model) probes() (n int) {
	for _, p := range m.inFlight {
		if p.probe {
			n++
		}
	}
	return n
}

func (m *model) acquire(now int64) (*modelPermit, time.Duration, Transition) {
	state := m.state(now)
	if state == open {
		return nil, m.config.Timeout - time.Duration(now-m.current().since), Transition{}
	}
	var t Transition
	if state != m.current().state {
		t = m.enter(now, state)
	}
	if state == halfOpen && m.probes() >= m.config.HalfOpenRequests {
		return nil, time.Second, t
	}
	p := &modelPermit{epoch: m.current(), probe: state == halfOpen}
	m.inFlight = append(m.inFlight, p)
	return p, 0, t
}

func (m *model) done(now int64, p *modelPermit, o Outcome) Transition {
	m.inFlight = slices.DeleteFunc(m.inFlight, func(q *modelPermit) bool { return q == p })
	e := m.current()
	if p.epoch != e || o == Released {
		return Transition{}
	}
	e.verdicts = append(e.verdicts, o)
	m.verdicts = append(m.verdicts, o)
	successes := 0
	for _, o := range e.verdicts {
		if o == Success {
			successes++
		}
	}
	switch {
	case o == Failure && (e.state == halfOpen || m.failures() >= m.config.FailureThreshold):
		return m.enter(now, open)
	case o == Success && e.state == halfOpen && successes >= m.config.SuccessThreshold:
		return m.enter(now, closed)
	}
	return Transition{}
}

func (m *model) stats(now int64) Stats {
	s := Stats{
		State:      m.state(now),
		Failures:   m.failures(),
		SlotsInUse: m.probes(),
		SlotsFree:  max(0, m.config.HalfOpenRequests-m.probes()),
		Generation: uint64(len(m.epochs)),
	}
	for _, e := range m.epochs {
		if e.state == open {
			s.OpenedAt = e.since
		}
	}
	if s.State == open {
		s.RetryAt = s.OpenedAt + int64(m.config.Timeout)
	}
	if m.current().state == halfOpen {
		for _, o := range m.current().verdicts {
			if o == Success {
				s.Successes++
			}
		}
	}
	return s
}

func TestAgainstModel(t *testing.T) { rapid.Check(t, againstModel) }

func FuzzBreaker(f *testing.F) { f.Fuzz(rapid.MakeFuzz(againstModel)) }

// againstModel draws a sequence of operations, applies it to the breaker and to
// the model, and compares every answer and all of Stats after each.
func againstModel(t *rapid.T) {
	drawConfig := func(t *rapid.T) Config {
		return Config{
			FailureThreshold: rapid.IntRange(1, 4).Draw(t, "failure threshold"),
			SuccessThreshold: rapid.IntRange(1, 3).Draw(t, "success threshold"),
			HalfOpenRequests: rapid.IntRange(1, 3).Draw(t, "half-open requests"),
			Timeout:          time.Duration(rapid.IntRange(1, 10).Draw(t, "timeout")),
		}
	}
	type pair struct {
		real  Permit
		model *modelPermit
	}
	var (
		config = drawConfig(t)
		b      = New(config)
		m      = &model{config: config, epochs: []*epoch{{state: closed}}}
		now    = int64(1)
		held   []pair
		probes []Permit // given back already
	)
	acquire := func(t *rapid.T) {
		p, ok, wait, change := b.Acquire(now)
		mp, wantWait, wantChange := m.acquire(now)
		if ok != (mp != nil) || wait != wantWait || change != wantChange {
			t.Fatalf("Acquire: %v, %v, %+v, want %v, %v, %+v", ok, wait, change, mp != nil, wantWait, wantChange)
		}
		if ok {
			held = append(held, pair{p, mp})
		} else if p != (Permit{}) || wait <= 0 {
			t.Fatalf("refused with permit %+v and wait %v", p, wait)
		}
	}
	done := func(t *rapid.T, o Outcome) {
		if len(held) == 0 {
			t.Skip("no permit is held")
		}
		i := rapid.IntRange(0, len(held)-1).Draw(t, "permit")
		p := held[i]
		held = slices.Delete(held, i, i+1)
		if change, want := b.Done(now, p.real, o), m.done(now, p.model, o); change != want {
			t.Fatalf("Done: %+v, want %+v", change, want)
		}
		if p.model.probe {
			probes = append(probes, p.real)
		}
	}
	t.Repeat(map[string]func(*rapid.T){
		"acquire":   acquire,
		"acquire 2": acquire, // more often than anything else
		"success":   func(t *rapid.T) { done(t, Success) },
		"failure":   func(t *rapid.T) { done(t, Failure) },
		"failure 2": func(t *rapid.T) { done(t, Failure) },
		"released":  func(t *rapid.T) { done(t, Released) },
		"done twice": func(t *rapid.T) {
			p := rapid.SampledFrom(append(probes, Permit{})).Draw(t, "permit")
			o := rapid.SampledFrom([]Outcome{Released, Success, Failure}).Draw(t, "outcome")
			if change := b.Done(now, p, o); change.Changed() {
				t.Fatalf("the second Done of %+v: %+v", p, change)
			}
		},
		"wait": func(t *rapid.T) { now += rapid.Int64Range(1, 12).Draw(t, "ns") },
		"configure": func(t *rapid.T) {
			m.config = drawConfig(t)
			b.Configure(m.config)
		},
		"": func(t *rapid.T) {
			if got, want := b.Stats(now), m.stats(now); got != want {
				t.Fatalf("at %d: %+v\nwant %+v", now, got, want)
			}
			if got, want := b.State(now), m.state(now); got != want {
				t.Fatalf("at %d: state %v, want %v", now, got, want)
			}
		},
	})
}
