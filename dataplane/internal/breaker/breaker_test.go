package breaker

import (
	"math"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

const (
	closed   = verdict.Closed
	open     = verdict.Open
	halfOpen = verdict.HalfOpen

	s = int64(time.Second)
)

// standard are the default settings.
var standard = Config{FailureThreshold: 5, SuccessThreshold: 2, HalfOpenRequests: 3, Timeout: 30 * time.Second}

// A step is one event of a life cycle and all that can be seen of it. Permits
// have names, so that a later step can give back what an earlier one took.
type step struct {
	now    int64
	do     func(b *Breaker, now int64, permits map[string]Permit) decision
	decide decision
	state  verdict.BreakerState // right after the event
}

type decision struct {
	ok         bool
	retryAfter time.Duration
	change     Transition
}

func acquire(name string) func(*Breaker, int64, map[string]Permit) decision {
	return func(b *Breaker, now int64, permits map[string]Permit) decision {
		p, ok, wait, change := b.Acquire(now)
		permits[name] = p
		return decision{ok, wait, change}
	}
}

func done(name string, o Outcome) func(*Breaker, int64, map[string]Permit) decision {
	return func(b *Breaker, now int64, permits map[string]Permit) decision {
		return decision{change: b.Done(now, permits[name], o)}
	}
}

func attempt(o Outcome) func(*Breaker, int64, map[string]Permit) decision {
	return func(b *Breaker, now int64, _ map[string]Permit) decision {
		p, ok, wait, change := b.Acquire(now)
		if change.Changed() {
			return decision{ok, wait, change} // unexpected in every row: Acquire is its own step then
		}
		return decision{ok, wait, b.Done(now, p, o)}
	}
}

func configure(c Config) func(*Breaker, int64, map[string]Permit) decision {
	return func(b *Breaker, _ int64, _ map[string]Permit) decision {
		b.Configure(c)
		return decision{}
	}
}

func look(*Breaker, int64, map[string]Permit) decision { return decision{} }

var (
	granted = decision{ok: true}
	nothing = decision{}
)

func refused(wait time.Duration) decision { return decision{retryAfter: wait} }

func (d decision) and(from, to verdict.BreakerState, failures int, generation uint64) decision {
	d.change = Transition{from, to, failures, generation}
	return d
}

func run(t *testing.T, b *Breaker, steps []step) {
	t.Helper()
	permits := map[string]Permit{}
	for i, st := range steps {
		if got := st.do(b, st.now, permits); got != st.decide {
			t.Fatalf("step %d, at %d s: %+v, want %+v", i, st.now/s, got, st.decide)
		}
		if got := b.State(st.now); got != st.state {
			t.Fatalf("step %d, at %d s: state %v, want %v", i, st.now/s, got, st.state)
		}
	}
}

func TestLifeCycle(t *testing.T) {
	run(t, New(standard), []step{
		// Closed: everything passes; a success zeroes the count,
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Success), granted, closed},
		// a released permit does not.
		{2 * s, attempt(Failure), granted, closed},
		{2 * s, attempt(Failure), granted, closed},
		{2 * s, attempt(Failure), granted, closed},
		{2 * s, attempt(Failure), granted, closed},
		{2 * s, attempt(Released), granted, closed},
		// Two more set out before the fifth failure in a row opens.
		{3 * s, acquire("slow success"), granted, closed},
		{3 * s, acquire("slow failure"), granted, closed},
		{3 * s, attempt(Failure), granted.and(closed, open, 5, 2), open},
		// Open: refused until 30 s after the opening.
		{3 * s, acquire(""), refused(30 * time.Second), open},
		{4 * s, acquire(""), refused(29 * time.Second), open},
		// What set out earlier changes nothing, neither the state nor the clock.
		{5 * s, done("slow failure", Failure), nothing, open},
		{6 * s, done("slow success", Success), nothing, open},
		{33*s - 1, acquire(""), refused(1), open},
		// The timeout has run out: half-open without any traffic.
		{33 * s, look, nothing, halfOpen},
		// Three probes, the first of which makes it so; not four.
		{34 * s, acquire("a"), granted.and(open, halfOpen, 5, 3), halfOpen},
		{34 * s, acquire("b"), granted, halfOpen},
		{34 * s, acquire("c"), granted, halfOpen},
		{34 * s, acquire(""), refused(time.Second), halfOpen},
		// A released one says nothing, but its slot is free,
		{35 * s, done("a", Released), nothing, halfOpen},
		{35 * s, acquire("d"), granted, halfOpen},
		{35 * s, acquire(""), refused(time.Second), halfOpen},
		// once, however often it is given back.
		{35 * s, done("a", Released), nothing, halfOpen},
		{35 * s, done("a", Failure), nothing, halfOpen},
		{35 * s, acquire(""), refused(time.Second), halfOpen},
		// One success is not enough,
		{36 * s, done("b", Success), nothing, halfOpen},
		// and one failure reopens; c is still on its way.
		{37 * s, done("d", Failure), nothing.and(halfOpen, open, 1, 4), open},
		// The same timeout again, no doubling.
		{37 * s, acquire(""), refused(30 * time.Second), open},
		// c holds its slot in the next half-open phase too, its outcome is void.
		{67 * s, acquire("e"), granted.and(open, halfOpen, 1, 5), halfOpen},
		{67 * s, acquire("f"), granted, halfOpen},
		{67 * s, acquire(""), refused(time.Second), halfOpen},
		{67 * s, done("c", Failure), nothing, halfOpen},
		{67 * s, acquire("g"), granted, halfOpen},
		// Two successes close; the first one of the earlier phase is forgotten.
		{68 * s, done("e", Success), nothing, halfOpen},
		{68 * s, done("f", Success), nothing.and(halfOpen, closed, 0, 6), closed},
		// A probe that comes home late does not hurt the closed breaker.
		{69 * s, done("g", Failure), nothing, closed},
		// The count starts at zero.
		{70 * s, attempt(Failure), granted, closed},
		{70 * s, attempt(Failure), granted, closed},
		{70 * s, attempt(Failure), granted, closed},
		{70 * s, attempt(Failure), granted, closed},
		{70 * s, attempt(Failure), granted.and(closed, open, 5, 7), open},
		// The zero permit is nothing to give back, in any state.
		{71 * s, done("never taken", Success), nothing, open},
		{71 * s, done("never taken", Failure), nothing, open},
	})
}

// A half-open phase may begin with all slots still held by an earlier one.
func TestHalfOpenWithoutAFreeSlot(t *testing.T) {
	run(t, New(Config{FailureThreshold: 1, SuccessThreshold: 1, HalfOpenRequests: 2, Timeout: time.Second}), []step{
		{1 * s, attempt(Failure), granted.and(closed, open, 1, 2), open},
		{2 * s, acquire("hung"), granted.and(open, halfOpen, 1, 3), halfOpen},
		{2 * s, acquire("a"), granted, halfOpen},
		{2 * s, done("a", Failure), nothing.and(halfOpen, open, 2, 4), open},
		{3 * s, acquire("b"), granted.and(open, halfOpen, 2, 5), halfOpen},
		{3 * s, acquire(""), refused(time.Second), halfOpen},
		{3 * s, configure(Config{HalfOpenRequests: 3}), nothing, halfOpen},
		{3 * s, acquire("c"), granted, halfOpen},
		{3 * s, configure(Config{HalfOpenRequests: 1, Timeout: time.Second}), nothing, halfOpen},
		{3 * s, done("b", Failure), nothing.and(halfOpen, open, 3, 6), open},
		// The transition is reported although nobody gets a permit.
		{4 * s, acquire(""), refused(time.Second).and(open, halfOpen, 3, 7), halfOpen},
		{4 * s, done("c", Success), nothing, halfOpen},
		{4 * s, acquire(""), refused(time.Second), halfOpen},
		{4 * s, done("hung", Success), nothing, halfOpen},
		{4 * s, acquire("d"), granted, halfOpen},
		{4 * s, done("d", Success), nothing.and(halfOpen, closed, 0, 8), closed},
	})
}

func TestConfigure(t *testing.T) {
	with := func(change func(*Config)) Config {
		c := standard
		change(&c)
		return c
	}
	run(t, New(standard), []step{
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Failure), granted, closed},
		{1 * s, attempt(Failure), granted, closed},
		// Publishing does not open a breaker that is over the new threshold;
		{2 * s, configure(with(func(c *Config) { c.FailureThreshold = 2 })), nothing, closed},
		{2 * s, acquire("a"), granted, closed},
		{2 * s, done("a", Released), nothing, closed},
		// its next failure does.
		{3 * s, attempt(Failure), granted.and(closed, open, 4, 2), open},
		// An open one follows the new timeout from its opening, either way,
		{10 * s, configure(with(func(c *Config) { c.Timeout = 8 * time.Second })), nothing, open},
		{10 * s, acquire(""), refused(time.Second), open},
		{11 * s, look, nothing, halfOpen},
		{11 * s, configure(with(func(c *Config) { c.Timeout = 60 * time.Second })), nothing, open},
		{11 * s, acquire(""), refused(52 * time.Second), open},
		// at once if it has passed.
		{12 * s, configure(with(func(c *Config) { c.Timeout = time.Second })), nothing, halfOpen},
		{12 * s, acquire("a"), granted.and(open, halfOpen, 4, 3), halfOpen},
		// In a half-open one the timeout means nothing any more.
		{12 * s, configure(standard), nothing, halfOpen},
		{12 * s, done("a", Success), nothing, halfOpen},
		// It has enough successes now, but closes at the next one.
		{13 * s, configure(with(func(c *Config) { c.SuccessThreshold = 1 })), nothing, halfOpen},
		{13 * s, acquire("b"), granted, halfOpen},
		{13 * s, done("b", Success), nothing.and(halfOpen, closed, 0, 4), closed},
	})
}

// The zero Config works like one of ones: an unset count must not make a breaker
// that can never close.
func TestZeroConfig(t *testing.T) {
	run(t, New(Config{}), []step{
		{1 * s, attempt(Failure), granted.and(closed, open, 1, 2), halfOpen},
		{1 * s, acquire("a"), granted.and(open, halfOpen, 1, 3), halfOpen},
		{1 * s, acquire(""), refused(time.Second), halfOpen},
		{1 * s, done("a", Success), nothing.and(halfOpen, closed, 0, 4), closed},
	})
}

// An outcome out of range counts nothing.
func TestUnknownOutcome(t *testing.T) {
	b := New(Config{})
	p, _, _, _ := b.Acquire(s)
	if change := b.Done(s, p, math.MaxUint8); change.Changed() {
		t.Fatalf("%+v, want no transition", change)
	}
}

func TestStats(t *testing.T) {
	b := New(standard)
	check := func(now int64, want Stats) {
		t.Helper()
		if got := b.Stats(now); got != want {
			t.Errorf("at %d s: %+v\nwant %+v", now/s, got, want)
		}
	}
	check(0, Stats{State: closed, SlotsFree: 3, Generation: 1})
	for range standard.FailureThreshold {
		p, _, _, _ := b.Acquire(s)
		b.Done(s, p, Failure)
	}
	check(30*s, Stats{State: open, Failures: 5, OpenedAt: s, RetryAt: 31 * s, SlotsFree: 3, Generation: 2})
	// Shown half-open before any traffic, which is no transition yet.
	check(31*s, Stats{State: halfOpen, Failures: 5, OpenedAt: s, SlotsFree: 3, Generation: 2})

	probe, _, _, _ := b.Acquire(31 * s)
	b.Acquire(31 * s) // stays in flight
	b.Done(31*s, probe, Success)
	check(31*s, Stats{State: halfOpen, Successes: 1, OpenedAt: s, SlotsInUse: 1, SlotsFree: 2, Generation: 3})

	b.Acquire(31 * s) // stays too
	b.Configure(Config{HalfOpenRequests: 1})
	check(31*s, Stats{State: halfOpen, Successes: 1, OpenedAt: s, SlotsInUse: 2, SlotsFree: 0, Generation: 3})

	b.Configure(standard)
	probe, _, _, _ = b.Acquire(31 * s)
	b.Done(31*s, probe, Success)
	check(99*s, Stats{State: closed, OpenedAt: s, SlotsInUse: 2, SlotsFree: 1, Generation: 4})
}
