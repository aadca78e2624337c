package leader

import (
	"testing"
	"time"

	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/wire"
)

// A leader knows by its nodes that its epoch is not the latest, and believes no
// nonsense.
func TestOutranked(t *testing.T) {
	const own = 3
	for _, row := range []struct {
		name        string
		epoch, term uint64
		want        uint64
	}{
		{"nobody is obeyed yet", 0, 0, 0},
		{"an earlier one", 2, 2 << 32, 0},
		{"a later one", 5, 5 << 32, 5},
		{"a later one by its books alone", 0, 5 << 32, 5},
		{"one of the same number", own, own << 32, own},
		{"nonsense", own + 1<<20, 1 << 63, 0},
	} {
		s := lead(t, Restored{Epoch: own})
		s.report("a", "1", nil)             // is stored
		s.nodes["a"].answered = time.Time{} // by another
		s.now = s.now.Add(20 * time.Millisecond)
		s.report("a", "1", func(r *wire.Report) {
			r.Epoch = row.epoch
			r.Limits = map[string]quota.Report{wire.GlobalLimit: {Term: row.term, Seq: 1, Nonce: r.Nonce}}
		})
		if got := s.Outranked(); got != row.want {
			t.Errorf("%s: outranked by %d, want %d", row.name, got, row.want)
		}
	}
}

// A node that this leader has answered obeys it, also after it was called dead in
// error.
func TestOwnEpochIsNoOthers(t *testing.T) {
	s := lead(t, Restored{Epoch: 3})
	s.pass(time.Second, func() { s.report("a", "1", nil) })
	s.dead(s.now, "a")
	s.begin("a", "1")
	s.now = s.now.Add(20 * time.Millisecond)
	s.report("a", "1", nil)
	if got := s.Outranked(); got != 0 {
		t.Errorf("outranked by %d", got)
	}
}

// A controller whose data were lost leads in an epoch that its nodes have left
// behind. Such a leader promises nothing to anybody; when it leads again above them,
// what they hold is theirs, also of those that nobody has listed, and nothing of it
// is given away.
func TestAgain(t *testing.T) {
	s := lead(t, Restored{Epoch: 1})
	hold := func(rate int64) quotaNode {
		return quotaNode{last: quota.Answer{Term: 4<<32 + 7}, got: quota.Sum{Rate: uint64(rate * quota.PerSecond), Room: 100 * quota.Token}}
	}
	nodes := map[string]*quotaNode{}
	epochs := map[string]uint64{"a": 4, "b": 4}
	reports := func() {
		for id, n := range nodes {
			s.report(id, "1", func(r *wire.Report) { r.Epoch, r.Limits = epochs[id], n.report(s, r.Nonce) })
			a := s.last(id)
			if a.Epoch < epochs[id] {
				continue
			}
			epochs[id] = a.Epoch
			if q, ok := a.Limits[wire.GlobalLimit]; ok && q.Term > n.last.Term {
				n.last = q // it keeps what it holds
			} else {
				n.hear(a)
			}
		}
	}
	a, b := hold(600), hold(300)
	nodes["a"] = &a
	s.pass(time.Second, reports)
	nodes["new"] = &quotaNode{}
	s.pass(time.Second, reports)
	if s.Outranked() != 4 {
		t.Fatalf("outranked by %d", s.Outranked())
	}
	for id := range nodes {
		for _, x := range s.answers[id] {
			if len(x.Limits) > 0 {
				t.Fatalf("%s was promised %+v", id, x.Limits)
			}
		}
	}

	// b comes only when all that are listed have been heard.
	s.Again(s.now, Restored{Epoch: 5, Members: s.members})
	if s.Outranked() != 0 || s.Revision() != 7 {
		t.Errorf("outranked by %d at revision %d", s.Outranked(), s.Revision())
	}
	share := func(id string) float64 { return s.Shares(s.now)[id][wire.GlobalLimit].Rate }
	s.pass(2*time.Second, reports)
	if share("a") == 0 || share("a") > 600 || epochs["a"] != 5 {
		t.Errorf("a holds %v in epoch %d", share("a"), epochs["a"])
	}
	nodes["b"] = &b
	s.pass(2*time.Second, func() {
		reports()
		if sum := share("a") + share("b") + share("new"); sum > 1000 {
			t.Fatalf("%v of 1000 are out", sum)
		}
	})
	if share("b") == 0 || b.last.Drop {
		t.Errorf("b holds %v, answer %+v", share("b"), b.last)
	}
	books := s.limits[wire.GlobalLimit]
	if got := books.Status(s.clock(s.now)).Unknown.Rate; got == 0 {
		t.Error("nothing is kept for nodes that may come yet")
	}
	s.pass(12*time.Second, reports)
	if got := books.Status(s.clock(s.now)).Unknown; got != (quota.Holding{}) {
		t.Errorf("%+v is kept for nobody", got)
	}
}
