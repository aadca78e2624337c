package leader

import (
	"slices"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// list is one of purges with these ids.
func list(ids ...string) (all []wire.Purge) {
	for _, id := range ids {
		all = append(all, wire.Purge{ID: id, Provider: "up", Author: "kim"})
	}
	return all
}

func ids(list []wire.Purge) string {
	var all []string
	for _, p := range list {
		all = append(all, p.ID)
	}
	return strings.Join(all, " ")
}

// did is what a node says that has done these purges, one entry in each.
func did(ids ...string) func(*wire.Report) {
	return func(r *wire.Report) {
		for _, id := range ids {
			r.Purged = append(r.Purged, wire.Purged{ID: id, Entries: 1})
		}
	}
}

// A node is told the purges that follow the last one that it has done; all of
// them if that one is not in the list.
func TestPurgesThatANodeIsTold(t *testing.T) {
	for _, row := range []struct {
		name string
		list []wire.Purge
		did  []string
		want string
	}{
		{"none is known", nil, nil, ""},
		{"up to date", list("a", "b"), []string{"b"}, ""},
		{"up to date, with its last ones", list("a", "b"), []string{"a", "b"}, ""},
		{"one behind", list("a", "b", "c"), []string{"b"}, "b c"},
		{"two behind", list("a", "b", "c"), []string{"a"}, "a b c"},
		{"just started", list("a", "b"), nil, "a b"},
		{"behind the list", list("c", "d"), []string{"b"}, "c d"},
		{"of another list", list("x"), []string{"a", "b"}, "x"},
	} {
		s := lead(t, Restored{Purges: row.list})
		s.report("n", "1", did(row.did...))
		if got := ids(s.last("n").Purges); got != row.want {
			t.Errorf("%s: told %q, want %q", row.name, got, row.want)
		}
	}
}

// A purge is told to all nodes at once and with every answer until they have done
// it; each node is acknowledged by what it reports.
func TestPurge(t *testing.T) {
	s := lead(t, Restored{Purges: list("a")})
	progress := func() (all []Purging) { return s.Purging(s.now, "b") }
	for _, n := range []string{"n1", "n2", "n3", "dead"} {
		s.report(n, "1", did("a"))
	}
	s.report("dead", "1", func(r *wire.Report) { r.State, r.Nonce = status.Gone, r.Nonce+1 })
	s.pass(time.Second, func() {
		for _, n := range []string{"n1", "n2", "n3"} {
			s.report(n, "1", did("a"))
		}
	})
	clear(s.answers)
	s.Purge(s.now, append(list("a"), wire.Purge{ID: "b", Exact: "/up/x?token=1", Author: "kim", Reason: "wrong"}))
	for _, n := range []string{"n1", "n2", "n3"} {
		if got := ids(s.last(n).Purges); got != "a b" {
			t.Errorf("%s was told %q at once", n, got)
		}
	}
	if len(s.answers["dead"]) != 0 {
		t.Error("a dead node was told")
	}
	if !s.happened("cache_purged", "ID:b", "Exact:/up/x?...", "Author:kim", "Reason:wrong") || s.happened("token") {
		t.Error(s.events)
	}
	waits := func(p Purging) bool { return !p.Done && !p.Gone && p.Pending == "it has not purged yet" }
	if got := progress(); len(got) != 3 || !waits(got[0]) || !waits(got[1]) || !waits(got[2]) {
		t.Errorf("at first: %+v", got)
	}

	s.pass(20*time.Millisecond, nil)
	s.report("n1", "1", did("a", "b"))
	s.report("n2", "1", did("a")) // was on its way already
	if got := ids(s.last("n2").Purges); got != "a b" {
		t.Errorf("a node that has not purged is told %q again", got)
	}
	if n := len(s.answers["n1"]); n != 1 {
		t.Errorf("a node that has purged was told %d times", n)
	}
	// One that missed some forgets everything, and says so of the newest.
	s.report("n3", "1", func(r *wire.Report) { r.Purged = []wire.Purged{{ID: "b", Entries: 99}} })
	if got := progress(); !got[0].Done || got[0].Entries != 1 || !waits(got[1]) || !got[2].Done || got[2].Entries != 99 {
		t.Errorf("%+v", got)
	}

	// A silent node is named, waited for while it may be back, and in the end not.
	s.pass(3*time.Second, func() { s.report("n1", "1", did("b")); s.report("n3", "1", did("b")) })
	if got := progress(); got[1].Done || got[1].Gone || !strings.Contains(got[1].Pending, "not been heard for 3") {
		t.Errorf("after 3 s: %+v", got[1])
	}
	s.pass(9*time.Second, func() { s.report("n1", "1", did("b")); s.report("n3", "1", did("b")) })
	if got := progress(); len(got) != 3 || got[1].Done || !got[1].Gone {
		t.Errorf("after 12 s: %+v", got)
	}
	// It is back, and has done it with a later one.
	s.Purge(s.now, list("a", "b", "c"))
	s.report("n2", "1", did("a", "b", "c"))
	if got := progress(); !got[1].Done || got[1].Entries != 1 || got[1].Gone {
		t.Errorf("back: %+v", got[1])
	}
	// A new process has an empty cache, and says so when it has heard of the purges.
	s.report("n2", "2", nil)
	s.pass(2*time.Second, func() { s.report("n1", "1", did("c")); s.report("n3", "1", did("c")); s.report("n2", "2", nil) })
	if i := slices.IndexFunc(progress(), func(p Purging) bool { return p.Node == "n2" }); i < 0 || progress()[i].Done {
		t.Errorf("a new process is not asked: %+v", progress())
	}
	s.report("n2", "2", func(r *wire.Report) { r.Nonce++; did("c")(r) })
	if got := progress(); !got[1].Done {
		t.Errorf("a new process: %+v", got)
	}
	// The purge is so old that the list has forgotten it: whoever is in the list has
	// done it.
	s.Purge(s.now, list("c", "d"))
	if got := progress(); !got[0].Done || !got[1].Done || !got[2].Done {
		t.Errorf("%+v", got)
	}
}

// A new leader knows from the reports who has done what its predecessor ordered.
func TestPurgesSurviveTheLeader(t *testing.T) {
	s := lead(t, Restored{Epoch: 2, Purges: list("a", "b"), Members: []wire.Member{
		{Head: wire.Now(), Node: "n", Incarnation: "1", State: status.Live},
		{Head: wire.Now(), Node: "away", Incarnation: "1", State: status.Live},
	}})
	s.Purge(s.now, list("a", "b", "c")) // nobody has reported
	if len(s.answers) != 0 {
		t.Errorf("answers to no report: %v", s.answers)
	}
	s.report("n", "1", did("b"))
	if got := ids(s.last("n").Purges); got != "b c" {
		t.Errorf("told %q", got)
	}
	if got := s.Purging(s.now, "c"); len(got) != 2 || got[0].Node != "away" || got[0].Done || got[1].Done {
		t.Errorf("%+v", got)
	}
	s.pass(20*time.Millisecond, nil)
	s.report("n", "1", did("b", "c"))
	if got := s.Purging(s.now, "c"); got[0].Done || !got[1].Done {
		t.Errorf("%+v", got)
	}
}
