package linear

import (
	"path/filepath"
	"testing"
	"time"
)

// TestNotices: the judge lets good histories pass and notices bad ones.
func TestNotices(t *testing.T) {
	put := func(expect uint64, a, b int64) Input { return Input{Put, expect, a, b} }
	at := func(revision uint64, a, b int64) Output { return Output{State: State{revision, a, b}} }
	for name, c := range map[string]struct {
		calls func(h *History)
		good  bool
	}{
		"in turn": {func(h *History) {
			h.Call(0, put(0, 1, 2)).Done(at(2, 0, 0))
			h.Call(0, Input{Kind: PatchB, B: 3}).Done(at(3, 0, 0))
			h.Call(1, Input{Kind: PatchA, A: 4}).Done(at(4, 0, 0))
			h.Call(1, Input{Kind: Get}).Done(at(4, 4, 3))
			h.Call(1, put(3, 1, 2)).Done(Output{Stale: true})
		}, true},
		"at once": {func(h *History) {
			one, two := h.Call(0, put(1, 1, 1)), h.Call(1, put(1, 2, 2))
			one.Done(Output{Stale: true})
			two.Done(at(2, 0, 0))
			h.Call(0, Input{Kind: Get}).Done(at(2, 2, 2))
		}, true},
		"a lost write": {func(h *History) {
			h.Call(0, put(0, 1, 2)).Done(at(2, 0, 0))
			h.Call(0, Input{Kind: Get}).Done(at(1, 0, 0))
		}, false},
		"a lost patch": {func(h *History) {
			one, two := h.Call(0, Input{Kind: PatchA, A: 1}), h.Call(1, Input{Kind: PatchB, B: 1})
			one.Done(at(2, 0, 0))
			two.Done(at(3, 0, 0))
			h.Call(0, Input{Kind: Get}).Done(at(3, 0, 1))
		}, false},
		"two winners": {func(h *History) {
			one, two := h.Call(0, put(1, 1, 1)), h.Call(1, put(1, 2, 2))
			one.Done(at(2, 0, 0))
			two.Done(at(2, 0, 0))
		}, false},
		"a revision twice": {func(h *History) {
			h.Call(0, put(0, 1, 2)).Done(at(2, 0, 0))
			h.Call(0, put(0, 2, 2)).Done(at(2, 0, 0))
		}, false},
		"refused without a reason": {func(h *History) { h.Call(0, put(1, 1, 2)).Done(Output{Stale: true}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := New(State{Revision: 1})
			c.calls(h)
			if err := h.Check(10*time.Second, filepath.Join(t.TempDir(), "history.html")); (err == nil) != c.good {
				t.Fatal(err)
			}
		})
	}
}
