package breaker

import (
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

// member is a breaker in a cluster and what it asked its adapter to do.
type member struct {
	*Breaker
	t        *testing.T
	now      int64
	notified int
	permits  []Permit
}

func newMember(t *testing.T) *member {
	m := &member{t: t, Breaker: New(standard), now: 100 * s}
	m.Join(func() { m.notified++ })
	return m
}

func entry(gen uint64, state string) wire.BreakerEntry {
	e := wire.BreakerEntry{Head: wire.Now(), Generation: wire.Generation{Epoch: 1, Gen: gen}, State: state}
	if state == wire.BreakerOpen {
		e.RetryMS, e.Failures = 30_000, 7
	}
	return e
}

// impose applies an entry of epoch 1.
func (m *member) impose(gen uint64, state string) Transition {
	return m.Impose(m.now, entry(gen, state))
}

// grant brings an answer for the generation to a report of just now.
func (m *member) grant(gen, granted uint64) {
	m.Grant(m.now, m.now, wire.Probes{Generation: wire.Generation{Epoch: 1, Gen: gen}, Granted: granted})
}

// take acquires n times and returns how often that was granted.
func (m *member) take(n int) (got int) {
	for range n {
		if p, ok, wait, _ := m.Acquire(m.now); ok {
			m.permits = append(m.permits, p)
			got++
		} else if wait <= 0 {
			m.t.Fatalf("refused with a wait of %v", wait)
		}
	}
	return got
}

// end gives the oldest permit back.
func (m *member) end(o Outcome) Transition {
	p := m.permits[0]
	m.permits = m.permits[1:]
	return m.Done(m.now, p, o)
}

func (m *member) is(want verdict.BreakerState) {
	m.t.Helper()
	if got := m.State(m.now); got != want {
		m.t.Fatalf("state %v, want %v", got, want)
	}
}

func (m *member) tells(want wire.Evidence) {
	m.t.Helper()
	if got := m.Evidence(m.now); got != want {
		m.t.Fatalf("evidence %+v\nwant %+v", got, want)
	}
}

func gen(n uint64) wire.Generation { return wire.Generation{Epoch: 1, Gen: n} }

func TestClusterLifeCycle(t *testing.T) {
	m := newMember(t)
	m.tells(wire.Evidence{})
	m.take(2)
	m.end(Failure)
	m.tells(wire.Evidence{Failures: 1, Attempted: true})
	if c := m.impose(1, wire.BreakerOpen); c.From != closed || c.To != open {
		t.Errorf("%+v", c)
	}
	m.is(open)
	m.end(Failure) // of an attempt that set out before
	if _, ok, wait, _ := m.Acquire(m.now); ok || wait != 30*time.Second {
		t.Errorf("open: %v, %v", ok, wait)
	}
	if st := m.Stats(m.now); st.Failures != 7 || st.OpenedAt != m.now || st.RetryAt != m.now+30*s {
		t.Errorf("%+v", st)
	}
	m.now += 29 * s
	m.tells(wire.Evidence{Generation: gen(1), State: "open", RetryMS: 1000})
	m.now += 10 * s // the leader is late, and it alone ends the pause
	m.is(open)
	if n := m.take(1); n != 0 {
		t.Error("the node ended the pause by itself")
	}
	m.tells(wire.Evidence{Generation: gen(1), State: "open", Wants: 1})

	m.impose(2, wire.BreakerHalfOpen)
	m.is(halfOpen)
	if m.take(2) != 0 {
		t.Error("half-open without permits")
	}
	m.tells(wire.Evidence{Generation: gen(2), State: "half_open", Wants: 3})
	m.grant(2, 2)
	if st := m.Stats(m.now); st.SlotsFree != 2 || st.SlotsInUse != 0 {
		t.Errorf("%+v", st)
	}
	if n := m.take(3); n != 2 {
		t.Errorf("%d of 2 permits used", n)
	}
	m.tells(wire.Evidence{Generation: gen(2), State: "half_open", Attempted: true, Granted: 2, Wants: 2})
	m.end(Released) // a client that left, a panic: the slot is free and nothing is counted
	m.end(Success)
	m.tells(wire.Evidence{Generation: gen(2), State: "half_open", Attempted: true, Granted: 2, Done: 2, OK: 1, Wants: 2})
	m.is(halfOpen)
	m.impose(3, wire.BreakerClosed)
	m.is(closed)
	m.tells(wire.Evidence{Generation: gen(3), Attempted: true, Granted: 2, Done: 2})
	if n := m.take(100); n != 100 {
		t.Error("closed, and refused")
	}
}

// A failed probe keeps the node's other permits from being used, and what is in
// flight holds its slot until it ends.
func TestFailedProbe(t *testing.T) {
	m := newMember(t)
	m.impose(1, wire.BreakerHalfOpen)
	m.grant(1, 3)
	m.take(2)
	if c := m.end(Failure); c.From != halfOpen || c.To != open {
		t.Errorf("%+v", c)
	}
	m.is(open)
	if m.take(1) != 0 {
		t.Error("a permit was used after a failure")
	}
	m.tells(wire.Evidence{Generation: gen(1), State: "half_open", Local: "open", Attempted: true, Failures: 1, Bad: 1, Granted: 3, Done: 2, Wants: 1})
	m.impose(2, wire.BreakerOpen)
	m.impose(3, wire.BreakerHalfOpen)
	m.end(Success) // of generation 1: says nothing of this one
	m.tells(wire.Evidence{Generation: gen(3), State: "half_open", Attempted: true, Granted: 3, Done: 3, Wants: 1})
}

// Messages come late, twice, and in any order.
func TestOnlyNewerEntriesApply(t *testing.T) {
	m := newMember(t)
	m.impose(5, wire.BreakerOpen)
	for _, e := range []wire.BreakerEntry{entry(5, wire.BreakerClosed), entry(4, wire.BreakerClosed), {State: wire.BreakerClosed}} {
		if c := m.Impose(m.now, e); c.Changed() {
			t.Errorf("%+v applied", e)
		}
	}
	m.is(open)
	next := entry(1, wire.BreakerClosed) // a new leader that knows of nothing
	next.Epoch = 2
	m.Impose(m.now, next)
	m.is(closed)
}

func TestGrants(t *testing.T) {
	lease := int64(wire.PermitLease)
	for _, row := range []struct {
		name  string
		do    func(m *member)
		takes int
		tells [2]uint64 // granted, done, after the taking
	}{
		{"none", func(*member) {}, 0, [2]uint64{0, 0}},
		{"two", func(m *member) { m.grant(2, 2) }, 2, [2]uint64{2, 0}},
		{"twice the same", func(m *member) { m.grant(2, 2); m.grant(2, 2) }, 2, [2]uint64{2, 0}},
		{"overtaken", func(m *member) { m.grant(2, 3); m.grant(2, 2) }, 3, [2]uint64{3, 0}},
		{"for an earlier generation: given back", func(m *member) { m.grant(1, 2) }, 0, [2]uint64{2, 2}},
		{"for one that is not applied yet: told again later", func(m *member) { m.grant(3, 2) }, 0, [2]uint64{0, 0}},
		{"one earlier, one of now", func(m *member) { m.grant(1, 2); m.grant(2, 3) }, 1, [2]uint64{3, 2}},
		{"unused until the end of the lease", func(m *member) { m.grant(2, 2); m.now += lease - 1 }, 2, [2]uint64{2, 0}},
		{"and beyond", func(m *member) { m.grant(2, 2); m.now += lease }, 0, [2]uint64{2, 2}},
		{"renewed", func(m *member) { m.grant(2, 2); m.now += lease - 1; m.grant(2, 2); m.now += lease - 1 }, 2, [2]uint64{2, 0}},
		{"renewed too late", func(m *member) { m.grant(2, 2); m.now += lease; m.grant(2, 2) }, 0, [2]uint64{2, 2}},
		{"the lease runs from the report", func(m *member) {
			m.Grant(m.now, m.now-lease+1, wire.Probes{Generation: gen(2), Granted: 2})
			m.now++
		}, 0, [2]uint64{2, 2}},
		{"an answer that took longer than a lease", func(m *member) {
			m.Grant(m.now, m.now-lease, wire.Probes{Generation: gen(2), Granted: 2})
		}, 0, [2]uint64{2, 2}},
		{"a nonce from the future", func(m *member) {
			m.Grant(m.now, m.now+1000*lease, wire.Probes{Generation: gen(2), Granted: 2})
			m.now += lease
		}, 0, [2]uint64{2, 2}},
	} {
		m := newMember(t)
		m.impose(1, wire.BreakerOpen)
		m.impose(2, wire.BreakerHalfOpen)
		row.do(m)
		if n := m.take(5); n != row.takes {
			t.Errorf("%s: %d attempts, want %d", row.name, n, row.takes)
		}
		if e := m.Evidence(m.now); [2]uint64{e.Granted, e.Done} != row.tells {
			t.Errorf("%s: %d granted, %d done, want %v", row.name, e.Granted, e.Done, row.tells)
		}
	}
}

// A node that fails alone protects itself and finds its way back; the cluster's
// word resets it.
func TestLocalBreakerInACluster(t *testing.T) {
	m := newMember(t)
	m.impose(1, wire.BreakerClosed)
	m.take(5)
	for range 5 {
		m.end(Failure)
	}
	m.is(open)
	m.tells(wire.Evidence{Generation: gen(1), Local: "open", Failures: 5, Attempted: true})
	m.now += 30 * s
	if n := m.take(9); n != 3 {
		t.Errorf("%d local probes", n)
	}
	m.tells(wire.Evidence{Generation: gen(1), Local: "half_open", Failures: 5, Attempted: true, Own: 3})
	m.end(Success)
	m.end(Success)
	m.is(closed)
	m.tells(wire.Evidence{Generation: gen(1), Attempted: true, Own: 1})

	m.take(5)
	m.end(Released) // the third probe
	for range 5 {
		m.end(Failure)
	}
	m.is(open)
	m.impose(2, wire.BreakerClosed)
	m.is(closed)
	m.tells(wire.Evidence{Generation: gen(2), Attempted: true})
}

func TestAttempted(t *testing.T) {
	m := newMember(t)
	m.take(1)
	m.now += 9 * s
	if !m.Evidence(m.now).Attempted {
		t.Error("an attempt 9 s ago is forgotten")
	}
	m.now += s
	if m.Evidence(m.now).Attempted {
		t.Error("an attempt 10 s ago is remembered")
	}
	m.now += 20 * s
	m.end(Failure) // a timeout after 30 s: the provider is in use
	m.tells(wire.Evidence{Failures: 1, Attempted: true})
}

// With no leader the nodes share out the probes among themselves.
func TestAlone(t *testing.T) {
	for _, row := range []struct{ nodes, probes int }{{0, 3}, {1, 3}, {2, 2}, {3, 1}, {10, 1}} {
		m := newMember(t)
		m.impose(1, wire.BreakerOpen)
		m.Follow(false, row.nodes)
		m.now += 30*s - 1
		m.is(open)
		m.now++
		m.is(halfOpen)
		if n := m.take(9); n != row.probes {
			t.Errorf("%d nodes: %d probes, want %d", row.nodes, n, row.probes)
		}
		m.tells(wire.Evidence{Generation: gen(1), State: "open", Local: "half_open", Attempted: true, Own: row.probes})
		m.end(Success)
		m.take(1)
		m.end(Success)
		if row.probes > 1 {
			m.is(closed)
		}
	}

	// What it finds out holds until a newer word: closed,
	m := newMember(t)
	m.impose(1, wire.BreakerHalfOpen)
	m.grant(1, 2)
	m.Follow(false, 1)
	m.take(2)
	m.end(Success)
	m.end(Success)
	m.is(closed)
	m.Follow(true, 1)
	m.is(closed)
	m.tells(wire.Evidence{Generation: gen(1), State: "half_open", Local: "closed", Attempted: true, Closed: true, Granted: 2, Done: 2})
	m.impose(2, wire.BreakerOpen)
	m.is(open)

	// or a failure, after which it waits again, with or without a leader.
	for _, state := range []string{wire.BreakerOpen, wire.BreakerHalfOpen} {
		for _, heard := range []bool{true, false} {
			m = newMember(t)
			m.impose(1, state)
			m.Follow(false, 1)
			m.now += 30 * s
			m.take(1)
			m.end(Failure)
			m.is(open)
			m.now += s
			m.Follow(heard, 1)
			m.is(open)
			if e := m.Evidence(m.now); e.Bad != 1 || state == wire.BreakerOpen && heard && e.RetryMS != 29_000 {
				t.Errorf("%+v", e)
			}
			m.now += 29 * s
			m.is(map[bool]verdict.BreakerState{true: open, false: halfOpen}[heard])
		}
	}

	// Probes that are still out say nothing: the leader's state is back, and the
	// slots count until they end.
	m = newMember(t)
	m.impose(1, wire.BreakerOpen)
	m.Follow(false, 1)
	m.now += 30 * s
	m.take(2)
	if c := m.Follow(true, 1); c.To != open {
		t.Errorf("%+v", c)
	}
	m.is(open)
	m.tells(wire.Evidence{Generation: gen(1), State: "open", Attempted: true, Own: 2})
	m.end(Success)
	m.tells(wire.Evidence{Generation: gen(1), State: "open", Attempted: true, Own: 1})

	// A closed cluster needs no leader.
	m = newMember(t)
	m.Follow(false, 3)
	if m.take(9) != 9 {
		t.Error("refused for want of a leader")
	}
}

// An operator's hold is not for a node to end; one with an end ends alone too.
func TestHeld(t *testing.T) {
	m := newMember(t)
	e := entry(1, wire.BreakerOpen)
	e.RetryMS, e.Forced = 0, &wire.Forced{State: "open", Author: "ann"}
	m.Impose(m.now, e)
	m.Follow(false, 1)
	m.now += 1e6 * s
	m.is(open)
	if _, ok, wait, _ := m.Acquire(m.now); ok || wait != standard.Timeout {
		t.Errorf("%v, %v", ok, wait)
	}
	if st := m.Stats(m.now); st.Forced != e.Forced || st.RetryAt != 0 {
		t.Errorf("%+v", st)
	}
	e.Gen, e.RetryMS = 2, 5000
	m.Impose(m.now, e)
	m.Follow(false, 1)
	m.now += 5 * s
	m.is(halfOpen)
}

// When the adapter is told to hurry: once for each thing until the next report.
func TestNotify(t *testing.T) {
	m := newMember(t)
	check := func(what string, want int) {
		t.Helper()
		if m.notified != want {
			t.Errorf("%s: notified %d times, want %d", what, m.notified, want)
		}
		m.notified = 0
		m.Evidence(m.now)
	}
	m.take(20)
	m.end(Success)
	check("traffic that is well", 0)
	m.end(Failure)
	m.end(Failure)
	check("two failures before the next report", 1)
	m.end(Failure)
	check("one more", 1)
	m.end(Success)
	m.end(Success)
	check("the end of a run that was told", 1)
	m.end(Released)
	check("nothing to tell", 0)
	m.impose(1, wire.BreakerOpen)
	check("an entry is applied", 1)
	m.take(3)
	check("wants while open", 0)
	m.impose(2, wire.BreakerHalfOpen)
	check("half-open", 1)
	m.take(5)
	check("more wants, which the leader knows of", 0)
	m.now += 10 * s
	m.Evidence(m.now)
	m.take(5)
	check("a new want", 1)
	m.take(5)
	check("told already", 0)
	m.grant(2, 1)
	m.permits = nil
	m.take(3)
	check("a want after a grant", 1)
	m.end(Released)
	check("the end of a probe", 1)
}

// A node of this version must not send where a later one may forbid it.
func TestUnknownStateIsOpen(t *testing.T) {
	m := newMember(t)
	m.impose(1, "ajar")
	m.is(open)
}

func TestClusterNeedsNoAllocations(t *testing.T) {
	m := newMember(t)
	m.impose(1, wire.BreakerHalfOpen)
	granted := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		granted++
		m.Acquire(m.now)
		m.grant(1, granted)
		p, ok, _, _ := m.Acquire(m.now)
		m.Done(m.now, p, Success)
		if !ok {
			t.Fatal("refused")
		}
		m.Evidence(m.now)
	}); n != 0 {
		t.Errorf("a probe allocates %v times, want 0", n)
	}
}
