package rollout

import "testing"

func TestProgress(t *testing.T) {
	r := New()
	r.Report("a", 1, 0, "")
	r.Report("b", 1, 0, "")
	r.Report("c", 1, 0, "")
	r.Published(2, []string{"c", "a", "b"})
	for _, row := range []struct {
		what    string
		do      func()
		nodes   int
		pending []string
	}{
		{"nobody has it", func() {}, 3, []string{"a", "b", "c"}},
		{"one has it", func() { r.Report("a", 2, 0, "") }, 3, []string{"b", "c"}},
		{"one cannot use it", func() { r.Report("b", 1, 2, "bad upstream") }, 3, []string{"b refused", "c"}},
		{"one dies", func() { r.Gone("c") }, 2, []string{"b refused"}},
		{"one that came later does not count", func() { r.Report("d", 1, 0, "") }, 2, []string{"b refused"}},
		{"a newer one is as good", func() { r.Published(3, []string{"a", "b"}); r.Report("b", 3, 0, "") }, 2, nil},
	} {
		row.do()
		nodes, pending := r.Progress(2)
		ok := nodes == row.nodes && len(pending) == len(row.pending)
		for i := range min(len(pending), len(row.pending)) {
			got := pending[i].Node
			if pending[i].Refused {
				got += " refused"
			}
			ok = ok && got == row.pending[i]
		}
		if !ok {
			t.Errorf("%s: %d nodes, pending %v; want %d, %v", row.what, nodes, pending, row.nodes, row.pending)
		}
	}
	if n := r.Behind([]string{"a", "b", "d"}); n != 2 || r.Newest() != 3 {
		t.Errorf("%d are behind revision %d", n, r.Newest())
	}
	if nodes, pending := r.Progress(7); nodes != 0 || pending != nil {
		t.Error("an unknown revision has a progress")
	}
}

func TestOldRevisionsAreForgotten(t *testing.T) {
	r := New()
	r.Report("a", 1, 0, "")
	for rev := range uint64(1000) {
		r.Published(rev, []string{"a"})
	}
	if nodes, _ := r.Progress(999); nodes != 1 {
		t.Error("the newest revision is unknown")
	}
	if nodes, _ := r.Progress(900); nodes != 0 || len(r.aimed) != kept {
		t.Errorf("%d revisions are kept", len(r.aimed))
	}
}
