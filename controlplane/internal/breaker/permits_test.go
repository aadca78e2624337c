package breaker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"apiproxy.internal/shared/wire"
)

// half is a half-open machine.
func half(t *testing.T, slots int, nodes ...string) *bench {
	b := newBench(t, Restored{
		Entry: &wire.BreakerEntry{Generation: wire.Generation{Epoch: 3, Gen: 7}, State: halfOpen},
		Nodes: nodes,
	})
	c := standard
	c.HalfOpenRequests = slots
	b.Configure(c)
	return b
}

func (b *bench) granted(id string) uint64 {
	p, ok := b.Probes(b.now, id)
	if ok && p.Generation != b.gen {
		b.t.Fatalf("%+v, want generation %v", p, b.gen)
	}
	if !ok {
		return 0
	}
	return p.Granted
}

func TestWantsComeFirst(t *testing.T) {
	b := half(t, 3)
	b.tells("a", wire.Evidence{Wants: 9})
	if got := b.granted("a"); got != 3 || !slices.Equal(b.eff.Answer, []string{"a"}) {
		t.Fatalf("%d granted, answers to %v", got, b.eff.Answer)
	}
	if b.granted("b") != 0 {
		t.Error("permits for a stranger")
	}
	// Until the node knows of them they are on the way, and told again; it wants
	// what it wanted before.
	b.tells("a", wire.Evidence{Wants: 9})
	if got := b.granted("a"); got != 3 {
		t.Fatalf("%d granted", got)
	}
	// Two others wait; as one slot comes free, it goes to the one that never had
	// one, by an answer of its own.
	b.tells("b", wire.Evidence{Wants: 2})
	if b.granted("b") != 0 || len(b.eff.Answer) != 0 {
		t.Error("more than three")
	}
	b.tells("a", wire.Evidence{Granted: 3, Done: 1, Wants: 5})
	if !slices.Equal(b.eff.Answer, []string{"b"}) || b.granted("b") != 1 {
		t.Errorf("answers to %v", b.eff.Answer)
	}
	// While someone waits, unused ones are not renewed.
	if b.granted("a") != 0 {
		t.Error("renewed")
	}
	b.tells("a", wire.Evidence{Granted: 3, Done: 2, Wants: 5})
	if !slices.Equal(b.eff.Answer, []string{"a"}) || b.granted("a") != 4 { // its turn: least recently dealt
		t.Errorf("answers to %v", b.eff.Answer)
	}
	if got := b.Outstanding(b.now); got != 3 {
		t.Errorf("%d outstanding", got)
	}
}

// Without any wants each node has one, as far as they go, and keeps it.
func TestIdlePermitsAreSpread(t *testing.T) {
	b := half(t, 3)
	have := 0
	for i := range 5 {
		b.tells(fmt.Sprint(i), wire.Evidence{})
		if n := b.granted(fmt.Sprint(i)); n > 1 {
			t.Errorf("%d for one node", n)
		} else {
			have += int(n)
		}
	}
	if have != 3 || b.Outstanding(b.now) != 3 {
		t.Errorf("%d with nodes, %d outstanding", have, b.Outstanding(b.now))
	}
	b.tells("0", wire.Evidence{Granted: 1})
	if b.granted("0") != 1 {
		t.Error("not renewed although nobody waits")
	}
}

// Who is given permits at all.
func TestReady(t *testing.T) {
	for _, row := range []struct {
		name string
		node Node
		gen  uint64
		late time.Duration
		want bool
	}{
		{"obeys and has applied the entry", Node{Epoch: epoch}, 7, 0, true},
		{"obeys another leader", Node{Epoch: epoch - 1}, 7, 0, false},
		{"has not applied the entry", Node{Epoch: epoch}, 6, 0, false},
		{"is leaving", Node{Epoch: epoch, Draining: true}, 7, 0, false},
		{"was not heard for a while", Node{Epoch: epoch}, 7, dealWithin + 1, false},
	} {
		b := half(t, 1)
		b.Report(start, Node{ID: "taker", Epoch: epoch, Nonce: 1}, wire.Evidence{Generation: b.gen, Wants: 1})
		row.node.ID, row.node.Nonce = "a", 1
		b.Report(start, row.node, wire.Evidence{Generation: wire.Generation{Epoch: 3, Gen: row.gen}, Wants: 1})
		b.now = start.Add(row.late)
		b.eff = b.Report(b.now, Node{ID: "taker", Epoch: epoch, Nonce: 2}, wire.Evidence{Generation: b.gen, Granted: 1, Done: 1})
		if got := slices.Equal(b.eff.Answer, []string{"a"}); got != row.want {
			t.Errorf("%s: %v", row.name, b.eff.Answer)
		}
	}
}

// How slots come back, and that they do not come back otherwise.
func TestReclaim(t *testing.T) {
	silence := float64(wire.PermitLease+standard.Attempt) * 1.001 / float64(time.Second)
	for _, row := range []struct {
		name string
		do   func(b *bench)
		want uint64
	}{
		{"nothing", func(*bench) {}, 3},
		{"the node tells of one that ended", func(b *bench) { b.leaving("1", wire.Evidence{Granted: 3, Done: 1}) }, 2},
		{"it tells more than there can be", func(b *bench) { b.leaving("1", wire.Evidence{Granted: 3, Done: 99}) }, 0},
		{"it has probes of its own in flight", func(b *bench) { b.leaving("1", wire.Evidence{Granted: 3, Done: 3, Own: 2}) }, 2},
		{"proof of death", func(b *bench) { b.Dead(b.now, "a") }, 0},
		{"another incarnation", func(b *bench) { b.leaving("2", wire.Evidence{}) }, 0},
		{"silence that an attempt may outlast", func(b *bench) { b.tick(silence - 0.001) }, 3},
		{"silence that it cannot", func(b *bench) { b.tick(silence + 0.001) }, 0},
		{"silence, and back with one in flight", func(b *bench) {
			b.tick(silence + 0.001)
			b.leaving("1", wire.Evidence{Granted: 3, Done: 2})
		}, 1},
		{"the next phase, with attempts of this one in flight", func(b *bench) {
			b.leaving("1", wire.Evidence{Granted: 3, Bad: 1})
			b.is(open, 8)
			b.tick(30)
			b.is(halfOpen, 9)
		}, 3},
	} {
		b := half(t, 3)
		b.tells("a", wire.Evidence{Wants: 3})
		b.leaving("1", wire.Evidence{Granted: 3})
		row.do(b)
		if got := b.Outstanding(b.now); got != row.want {
			t.Errorf("%s: %d outstanding, want %d", row.name, got, row.want)
		}
	}
}

// A node was cut off with a permit on its way to it, and others have been given
// its slot since. The permit must not be told when the node is back.
func TestWhatNeverReachedASilentNodeIsVoid(t *testing.T) {
	b := half(t, 1)
	c := standard
	c.HalfOpenRequests, c.Attempt = 1, time.Second
	b.Configure(c)
	b.tells("a", wire.Evidence{Wants: 1}) // the answer is lost
	b.tick(2.5)
	b.tells("b", wire.Evidence{Wants: 1})
	if b.granted("b") != 1 {
		t.Fatal("a node that is silent for so long keeps its slot")
	}
	b.tells("a", wire.Evidence{Wants: 1})
	if b.granted("a") != 0 || b.Outstanding(b.now) != 1 {
		t.Errorf("%d told to it, %d outstanding where one is allowed", b.granted("a"), b.Outstanding(b.now))
	}
}

// leaving is a report of node a, which is given no more permits.
func (b *bench) leaving(incarnation string, e wire.Evidence) {
	b.nonce++
	e.Generation = b.gen
	b.eff = b.Report(b.now, Node{ID: "a", Incarnation: incarnation, Nonce: b.nonce, Epoch: epoch, Draining: true}, e)
}

// A new leader deals when all that may hold permits have told it of them.
func TestNewLeaderWaits(t *testing.T) {
	b := half(t, 3, "a", "b", "c", "d")
	b.tells("a", wire.Evidence{Granted: 9, Done: 7, Wants: 1})
	b.tellsUnder(3, "b", wire.Evidence{}) // has not heard of the new one yet
	b.tells("c", wire.Evidence{})
	b.Dead(b.now, "d")
	if len(b.eff.Answer) != 0 || b.Outstanding(b.now) != 2 {
		t.Fatalf("answers to %v, %d outstanding", b.eff.Answer, b.Outstanding(b.now))
	}
	b.tells("b", wire.Evidence{})
	if !slices.Equal(b.eff.Answer, []string{"a"}) || b.granted("a") != 10 {
		t.Errorf("answers to %v, %d granted", b.eff.Answer, b.granted("a"))
	}

	// One that is never heard is waited for as long as its attempts may last.
	b = half(t, 3, "a", "z")
	b.tells("a", wire.Evidence{Wants: 1})
	b.tick(45.9)
	b.tells("a", wire.Evidence{Wants: 1})
	if len(b.eff.Answer) != 0 {
		t.Error("too early")
	}
	b.tick(46.1)
	if !slices.Equal(b.eff.Answer, []string{"a"}) {
		t.Errorf("answers to %v", b.eff.Answer)
	}
}

// A permit that was on its way when the phase ended is told until the node has
// given it back.
func TestPermitsOfAnEndedPhaseAreTold(t *testing.T) {
	b := half(t, 1)
	b.tells("a", wire.Evidence{Wants: 1})
	b.Reset(b.now, "", "ann")
	b.tells("a", wire.Evidence{})
	if b.granted("a") != 1 {
		t.Error("the node would never know")
	}
	b.tells("a", wire.Evidence{Granted: 1, Done: 1})
	if _, ok := b.Probes(b.now, "a"); ok {
		t.Error("told once more")
	}
}

// A want is shorter than a lease. The permits that it recalled end all the same,
// so that the next request has another chance; else they would stay for ever
// where no request comes.
func TestAWantThatEndedStillRecalls(t *testing.T) {
	b := half(t, 1)
	b.tells("a", wire.Evidence{})
	b.tells("a", wire.Evidence{Granted: 1})
	b.tells("b", wire.Evidence{Wants: 1})
	b.now = at(0.8)
	b.tells("b", wire.Evidence{})
	b.tells("a", wire.Evidence{Granted: 1})
	if b.granted("a") != 0 {
		t.Error("renewed before it could end")
	}
	b.now = at(1)
	b.tells("b", wire.Evidence{})
	b.tells("a", wire.Evidence{Granted: 1, Done: 1})
	if b.granted("a")+b.granted("b") == 0 {
		t.Error("nobody has it now")
	}
}
