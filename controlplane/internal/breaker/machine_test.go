package breaker

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/wire"
)

const (
	closed   = wire.BreakerClosed
	open     = wire.BreakerOpen
	halfOpen = wire.BreakerHalfOpen

	epoch = 4
)

var (
	start    = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)
	standard = Config{FailureThreshold: 5, SuccessThreshold: 2, HalfOpenRequests: 3, Timeout: 30 * time.Second, Attempt: 45 * time.Second}
)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// bench is a machine and what it asked for last.
type bench struct {
	*Machine
	t     *testing.T
	now   time.Time
	nonce int64
	eff   Effect
}

func newBench(t *testing.T, r Restored) *bench {
	r.Epoch = epoch
	m, eff := New(start, standard, r)
	return &bench{Machine: m, t: t, now: start, eff: eff}
}

// tells sends a report of a node that obeys the leader; the generation is the
// current one unless e has one.
func (b *bench) tells(id string, e wire.Evidence) { b.tellsUnder(epoch, id, e) }

func (b *bench) tellsUnder(epoch uint64, id string, e wire.Evidence) {
	b.nonce++
	if e.Generation == (wire.Generation{}) {
		e.Generation = b.gen
	}
	b.eff = b.Report(b.now, Node{ID: id, Incarnation: "1", Nonce: b.nonce, Epoch: epoch}, e)
}

func (b *bench) tick(seconds float64) {
	b.now = at(seconds)
	b.eff = b.Tick(b.now)
}

func (b *bench) is(state string, gen uint64) {
	b.t.Helper()
	if v := b.View(b.now); v.State != state || b.gen.Gen != gen {
		b.t.Fatalf("%s of generation %d, want %s of %d", v.State, b.gen.Gen, state, gen)
	}
}

// wrote is the last entry and event in words; empty if there was none.
func (b *bench) wrote() string {
	e, ev := b.eff.Write, b.eff.Event
	if e == nil {
		return ""
	}
	s := fmt.Sprintf("%s %d.%d %s %d %dms", e.State, e.Epoch, e.Gen, e.Cause, e.Failures, e.RetryMS)
	if ev != nil {
		s += fmt.Sprintf(": %s>%s", ev.From, ev.To)
	}
	return s
}

func (b *bench) wants(what string) {
	b.t.Helper()
	if got := b.wrote(); got != what {
		b.t.Fatalf("wrote %q, want %q", got, what)
	}
}

func failing(n int) wire.Evidence { return wire.Evidence{Failures: n, Attempted: true} }

var busy = wire.Evidence{Attempted: true}

// The rule, as a table: what each node tells, and whether that opens it.
func TestWhatOpens(t *testing.T) {
	for _, row := range []struct {
		name  string
		nodes []wire.Evidence
		opens bool
	}{
		{"nothing", nil, false},
		{"one on each of five", []wire.Evidence{failing(1), failing(1), failing(1), failing(1), failing(1)}, true},
		{"four are too few", []wire.Evidence{failing(1), failing(1), failing(1), failing(1), busy}, false},
		{"a single sick node among three busy ones", []wire.Evidence{failing(100), busy, busy}, false},
		{"half of the nodes are enough", []wire.Evidence{failing(3), failing(2), busy, busy}, true},
		{"less than half", []wire.Evidence{failing(3), failing(2), busy, busy, busy}, false},
		{"an idle node has no voice", []wire.Evidence{failing(5), {}, {}, {}}, true},
		{"alone in the cluster", []wire.Evidence{failing(5)}, true},
		{"the failures of an idle node count, its voice does not", []wire.Evidence{{Failures: 4}, failing(1)}, true},
		{"nobody used it lately", []wire.Evidence{{Failures: 9}}, false},
		{"nonsense", []wire.Evidence{failing(-9), failing(1 << 62), failing(1 << 62), failing(1 << 62)}, true},
	} {
		var ids []string
		for i := range row.nodes {
			ids = append(ids, fmt.Sprint(i))
		}
		b := newBench(t, Restored{Nodes: ids}) // it judges when the last of them is heard
		for i, e := range row.nodes {
			if b.state != closed {
				t.Errorf("%s: %s after %d reports", row.name, b.state, i)
			}
			b.tells(ids[i], e)
		}
		if (b.state == open) != row.opens {
			t.Errorf("%s: %s", row.name, b.state)
		}
	}
}

// The first report that a new leader hears may be that of the one sick node.
func TestNewLeaderHearsAll(t *testing.T) {
	b := newBench(t, Restored{Nodes: []string{"a", "b", "c", "z"}})
	b.tells("a", failing(9))
	b.tells("b", busy)
	b.tells("c", busy)
	b.tick(hearAll.Seconds())
	b.is(closed, 0)
	b.tells("b", failing(1)) // z is not waited for any longer
	b.is(open, 1)
}

func TestLifeCycle(t *testing.T) {
	b := newBench(t, Restored{})
	b.wants("")
	for _, id := range []string{"a", "b", "c", "d"} {
		b.tells(id, failing(1))
	}
	b.tells("e", failing(1))
	b.wants("open 4.1 failures 5 30000ms: closed>open")
	// What was told of the closed state says nothing of this one.
	b.tells("a", wire.Evidence{Failures: 9, Attempted: true, Bad: 9, OK: 9})
	b.wants("")
	b.tick(29.9)
	b.is(open, 1)
	b.tick(30)
	b.wants("half_open 4.2 timeout 5 0ms: open>half_open")
	// Evidence of the generation before is void.
	b.tells("a", wire.Evidence{Generation: wire.Generation{Epoch: epoch, Gen: 1}, Bad: 1})
	b.is(halfOpen, 2)
	// The successes of two nodes sum up to two.
	b.tells("a", wire.Evidence{OK: 1})
	b.is(halfOpen, 2)
	b.tells("a", wire.Evidence{OK: 1})
	b.is(halfOpen, 2)
	b.tells("b", wire.Evidence{OK: 1})
	b.wants("closed 4.3 probes_ok 0 0ms: half_open>closed")
	if v := b.View(b.now); v.Failures != 0 || !v.OpenedAt.IsZero() || !v.RetryAt.IsZero() {
		t.Errorf("%+v", v)
	}
	b.tells("a", failing(4))
	b.is(closed, 3)
	b.tells("a", failing(5))
	b.is(open, 4)
}

func TestOneFailedProbeReopens(t *testing.T) {
	b := newBench(t, Restored{})
	b.tells("a", failing(7))
	b.tick(31)
	b.is(halfOpen, 2)
	b.tells("a", wire.Evidence{OK: 1, Bad: 0})
	b.tells("b", wire.Evidence{Bad: 1})
	b.wants("open 4.3 probe_failed 8 30000ms: half_open>open")
	if v := b.View(b.now); v.OpenedAt != at(31) || v.RetryAt != at(61) || v.Failures != 8 {
		t.Errorf("%+v", v)
	}
	b.tick(61)
	b.is(halfOpen, 4)
}

// Evidence ages: a silent node has no voice after ten seconds, nor has a dead one
// at once.
func TestSilentAndDeadNodesHaveNoVoice(t *testing.T) {
	for name, silence := range map[string]func(b *bench){
		"silent": func(b *bench) { b.now = at(10.1) },
		"dead":   func(b *bench) { b.eff = b.Dead(b.now, "a") },
		"healed": func(b *bench) { b.tells("a", busy) },
	} {
		b := newBench(t, Restored{})
		b.tells("b", busy)
		b.tells("c", busy)
		b.tells("a", failing(4))
		silence(b)
		b.tells("b", busy)
		b.tells("c", failing(1))
		if b.state != closed {
			t.Errorf("%s: %s", name, b.state)
		}
	}
}

// Reports that are late or doubled change nothing.
func TestReportsAreOrdered(t *testing.T) {
	b := newBench(t, Restored{})
	n := Node{ID: "a", Incarnation: "1", Nonce: 7, Epoch: epoch}
	b.Report(start, n, busy)
	for _, nonce := range []int64{7, 6} {
		n.Nonce = nonce
		if eff := b.Report(start, n, failing(9)); eff.Write != nil {
			t.Errorf("nonce %d after 7 opened it", nonce)
		}
	}
	n.Incarnation, n.Nonce = "2", 1 // a new process has a new clock
	if eff := b.Report(start, n, failing(9)); eff.Write == nil {
		t.Error("the first report of a new incarnation was skipped")
	}
}

func TestConfigure(t *testing.T) {
	b := newBench(t, Restored{})
	b.tells("a", failing(4))
	c := standard
	c.FailureThreshold = 3
	b.Configure(c)
	b.is(closed, 0)
	b.tick(0.1)
	b.is(open, 1)
	c.Timeout = 8 * time.Second
	b.Configure(c)
	if v := b.View(b.now); v.RetryAt != at(8.1) {
		t.Errorf("retry at %v", v.RetryAt)
	}
	b.tick(8.1)
	b.is(halfOpen, 2)
	b.Configure(Config{})
	b.tells("a", wire.Evidence{OK: 1})
	b.is(closed, 3)
}

func TestOperator(t *testing.T) {
	b := newBench(t, Restored{})
	if eff := b.Auto(b.now, "", "ann"); eff.Write != nil || eff.DropHold || eff.Event != nil {
		t.Errorf("auto without a hold: %+v", eff)
	}
	b.eff = b.Trip(b.now, "maintenance", "ann", 0)
	b.wants("open 4.1 trip 0 0ms: closed>open")
	if h := b.eff.StoreHold; h == nil || h.State != open || h.Reason != "maintenance" || h.Author != "ann" || !h.Until.IsZero() {
		t.Errorf("to store: %+v", h)
	}
	if e := b.eff.Event; e.Author != "ann" || e.Reason != "maintenance" {
		t.Errorf("%+v", e)
	}
	b.tick(100_000)
	b.tells("a", wire.Evidence{OK: 9, Closed: true})
	b.is(open, 1)
	// A second trip replaces the first; this one ends by itself.
	b.eff = b.Trip(b.now, "", "bob", time.Minute)
	b.wants("open 4.2 trip 0 60000ms: open>open")
	if v := b.View(b.now); v.Forced == nil || v.Forced.Author != "bob" || v.RetryAt != at(100_060) || !v.Forced.Until.Equal(at(100_060)) {
		t.Errorf("%+v", v)
	}
	c := standard
	c.Timeout = time.Hour
	b.Configure(c) // is no business of a hold
	b.tick(100_059)
	b.is(open, 2)
	b.tick(100_060)
	b.wants("half_open 4.3 hold_ended 0 0ms: open>half_open")
	if !b.eff.DropHold || b.View(b.now).Forced != nil {
		t.Error("the hold stays")
	}
	b.eff = b.Trip(b.now, "", "bob", 0)
	b.eff = b.Auto(b.now, "", "ann")
	b.wants("half_open 4.5 auto 0 0ms: open>half_open")
	if !b.eff.DropHold {
		t.Error("the hold stays")
	}
	// Reset closes from anywhere, and begins anew when it is closed already.
	b.eff = b.Reset(b.now, "fixed", "ann")
	b.wants("closed 4.6 reset 0 0ms: half_open>closed")
	b.tells("a", failing(4))
	b.eff = b.Reset(b.now, "", "ann")
	b.wants("closed 4.7 reset 0 0ms: closed>closed")
	if v := b.View(b.now); v.Failures != 0 {
		t.Errorf("%d failures after a reset", v.Failures)
	}
	b.Trip(b.now, "", "ann", 0)
	if eff := b.Reset(b.now, "", "ann"); !eff.DropHold || b.View(b.now).Forced != nil {
		t.Error("a reset left the hold")
	}
}

// What a new leader makes of what it finds.
func TestRestored(t *testing.T) {
	entry := func(state string, forced *wire.Forced) *wire.BreakerEntry {
		return &wire.BreakerEntry{Generation: wire.Generation{Epoch: 3, Gen: 7}, State: state, Failures: 5, Since: start, OpenedAt: start, Forced: forced}
	}
	until := at(60)
	hold := func(until time.Time) *wire.Hold { return &wire.Hold{State: open, Author: "ann", Until: until} }
	forced := func(until time.Time) *wire.Forced { return &wire.Forced{State: open, Author: "ann", Until: until} }
	for _, row := range []struct {
		name  string
		entry *wire.BreakerEntry
		hold  *wire.Hold
		state string
		wrote string
		drops bool
		after float64 // half-open then; 0 = never
	}{
		{"nothing", nil, nil, closed, "", false, 0},
		{"closed", entry(closed, nil), nil, closed, "", false, 0},
		{"open: the whole timeout", entry(open, nil), nil, open, "", false, 30},
		{"half-open", entry(halfOpen, nil), nil, halfOpen, "", false, 0},
		{"a state of a later version", entry("ajar", nil), nil, closed, "", false, 0},
		{"held", entry(open, forced(time.Time{})), hold(time.Time{}), open, "", false, 0},
		{"held for a minute", entry(open, forced(until)), hold(until), open, "", false, 60},
		{"held, and the bucket is lost", nil, hold(until), open, "open 4.1 trip 0 60000ms: closed>open", false, 60},
		{"the hold was stored and the entry not written", entry(closed, nil), hold(time.Time{}), open, "open 4.8 trip 0 0ms: closed>open", false, 0},
		{"another hold", entry(open, forced(until)), hold(time.Time{}), open, "open 4.8 trip 5 0ms: open>open", false, 0},
		{"the hold was dropped and the entry not written", entry(open, forced(until)), nil, halfOpen, "half_open 4.8 auto 5 0ms: open>half_open", false, 0},
		{"the hold ran out", entry(open, forced(start)), hold(start), halfOpen, "half_open 4.8 hold_ended 5 0ms: open>half_open", true, 0},
		{"it ran out and the bucket is lost", nil, hold(start), closed, "", true, 0},
	} {
		b := newBench(t, Restored{Entry: row.entry, Hold: row.hold})
		if b.state != row.state || b.wrote() != row.wrote || b.eff.DropHold != row.drops {
			t.Errorf("%s: %s, wrote %q, drops %v", row.name, b.state, b.wrote(), b.eff.DropHold)
		}
		if row.after > 0 {
			if b.tick(row.after - 0.1); b.state != open {
				t.Errorf("%s: %s too early", row.name, b.state)
			}
			b.tick(row.after)
		} else {
			b.tick(0.1)
		}
		if want := strings.ReplaceAll(row.state, open, map[bool]string{true: halfOpen, false: open}[row.after > 0]); b.state != want {
			t.Errorf("%s: then %s, want %s", row.name, b.state, want)
		}
	}
}

// The nodes remember what the bucket has lost, and how long the pause lasts.
func TestAdoption(t *testing.T) {
	old := wire.Generation{Epoch: 3, Gen: 7}
	b := newBench(t, Restored{})
	b.tellsUnder(3, "a", wire.Evidence{Generation: old, State: open, RetryMS: 12_000})
	b.wants("open 3.7  0 12000ms: closed>open")
	b.tellsUnder(3, "b", wire.Evidence{Generation: old, State: open, RetryMS: 11_000})
	b.tellsUnder(3, "c", wire.Evidence{Generation: wire.Generation{Epoch: 3, Gen: 6}, State: closed})
	b.wants("")
	b.tick(11)
	b.wants("half_open 4.8 timeout 0 0ms: open>half_open")
	// Once it has spoken itself, nobody's memory counts.
	b.tellsUnder(3, "d", wire.Evidence{Generation: wire.Generation{Epoch: 3, Gen: 99}, State: closed})
	b.is(halfOpen, 8)
	// A node cannot lengthen a pause, nor make one up.
	b = newBench(t, Restored{Entry: &wire.BreakerEntry{Generation: old, State: open}})
	b.tells("a", wire.Evidence{Generation: old, State: open, RetryMS: 1 << 62})
	b.tick(30)
	b.is(halfOpen, 8)
	b.tells("a", wire.Evidence{Generation: wire.Generation{Epoch: epoch, Gen: 99}, State: closed})
	b.is(halfOpen, 8)
}

// A node that closed alone has had the successes that close.
func TestClosedAlone(t *testing.T) {
	for _, state := range []string{open, halfOpen} {
		old := wire.Generation{Epoch: 3, Gen: 7}
		b := newBench(t, Restored{Entry: &wire.BreakerEntry{Generation: old, State: state}})
		b.tells("a", wire.Evidence{Generation: old, State: state, Bad: 2, Closed: true})
		b.wants("closed 4.8 closed_alone 0 0ms: " + state + ">closed")
	}
}
