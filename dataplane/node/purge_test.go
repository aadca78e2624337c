package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/wire"
)

// Which purges of a list a node carries out, by the last one that it has done.
func TestPurgesToDo(t *testing.T) {
	list := []wire.Purge{{ID: "a"}, {ID: "b", Provider: "up"}, {ID: "c", Exact: "/up/x"}}
	for last, want := range map[string]struct {
		todo   []wire.Purge
		missed bool
	}{
		"a": {list[1:], false},
		"b": {list[2:], false},
		"c": {nil, false},
		"":  {[]wire.Purge{{ID: "c"}}, true}, // the whole cache, as if all were done
		"x": {[]wire.Purge{{ID: "c"}}, true},
	} {
		p := newPurges()
		if last != "" {
			p.note(wire.Purged{ID: last}, 0)
		}
		if todo, missed := p.todo(list); !slices.Equal(todo, want.todo) || missed != want.missed {
			t.Errorf("after %q: %+v, missed %v", last, todo, missed)
		}
	}
}

// A report repeats what was done for a few seconds, and the last one for ever.
func TestPurgesReported(t *testing.T) {
	p := newPurges()
	told := func(now time.Duration) (ids string) {
		for _, d := range p.report(int64(now)) {
			ids += fmt.Sprint(d.ID, d.Entries, " ")
		}
		return ids
	}
	if got := told(0); got != "" {
		t.Errorf("nothing done: %q", got)
	}
	p.note(wire.Purged{ID: "a", Entries: 1}, 0)
	p.note(wire.Purged{ID: "b", Entries: 2}, int64(time.Second))
	p.note(wire.Purged{ID: "c", Entries: 3}, int64(2*time.Second))
	for _, step := range []struct {
		now  time.Duration
		want string
	}{{tellPurged, "a1 b2 c3 "}, {tellPurged + 1, "b2 c3 "}, {tellPurged + time.Second + 1, "c3 "}, {time.Hour, "c3 "}} {
		if got := told(step.now); got != step.want {
			t.Errorf("at %v: %q, want %q", step.now, got, step.want)
		}
	}
	for i := range 2 * wire.MaxPurges {
		p.note(wire.Purged{ID: fmt.Sprint(i)}, int64(time.Hour))
	}
	if all := p.report(int64(time.Hour)); len(all) != wire.MaxPurges || all[len(all)-1].ID != fmt.Sprint(2*wire.MaxPurges-1) {
		t.Errorf("%d are told of a flood", len(all))
	}
}

// What the leader tells is purged in order and reported; what it repeats is not
// done again, and a newer list takes the place of one that nobody has looked at.
func TestPurgesAreCarriedOut(t *testing.T) {
	b := start(t, func(o *Options) { o.NATSURL = noNATS })
	b.follow(entry(t, 5, b.upstream, unlimited))
	c := b.cluster.Load()
	entries := func() int64 { return b.state.Cache().Total().Entries }
	fill := func(want int64, paths ...string) {
		t.Helper()
		for _, path := range paths {
			b.get(path)
		}
		if got := entries(); got != want {
			t.Fatalf("%d entries, want %d", got, want)
		}
	}
	tell := func(epoch uint64, list ...wire.Purge) {
		c.answer(wire.Answer{Head: wire.Now(), Incarnation: b.incarnation, Nonce: b.clock(), Epoch: epoch, Nodes: 1, Revision: 5, Purges: list})
	}
	done := func(want string) {
		t.Helper()
		eventually(t, want+" is done", func() bool { return c.purges.last() == want })
	}
	a, prefix, exact := wire.Purge{ID: "a"}, wire.Purge{ID: "b", Provider: "up", Prefix: "/up/x"}, wire.Purge{ID: "c", Exact: "/up/y?q=secret", Author: "ann"}

	fill(1, "/up/x")
	tell(7) // nothing to do: the copies stay
	tell(7, a)
	done("a") // a node that has just started forgets what it has
	fill(4, "/up/x/1", "/up/x?2", "/up/y?q=secret", "/up/y")
	tell(7, a, prefix)
	done("b")
	fill(2)
	fill(4, "/up/x/1", "/up/x?2")
	tell(7, a, prefix) // the leader had not heard yet
	tell(6, a, prefix, exact)
	tell(7, prefix, exact)
	done("c")
	fill(3)
	want := []wire.Purged{{ID: "a", Entries: 1}, {ID: "b", Entries: 2}, {ID: "c", Entries: 1}}
	if got := c.purges.report(b.clock()); !slices.Equal(got, want) {
		t.Errorf("reported %+v, want %+v", got, want)
	}
	if want := "api_proxy_cache_purged_total 4\n"; !b.metricsHave(want) {
		t.Errorf("no %q", want)
	}
	// The list is another one: whatever was in the old one, it may have been missed.
	tell(8, wire.Purge{ID: "z", Exact: "/up/nothing"})
	done("z")
	fill(0)
	log := b.stderr.get()
	if !strings.Contains(log, "may have missed a purge") || !strings.Contains(log, "id=c") || strings.Contains(log, "secret") {
		t.Error(log)
	}
}
