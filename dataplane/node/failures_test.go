package node

import (
	"testing"
	"time"
)

// A provider that fails all the time is told of every ten seconds, with the
// number of failures between; another one is told of by itself.
func TestFailuresAreThinnedOut(t *testing.T) {
	var f failures
	for _, row := range []struct {
		at       time.Duration
		provider string
		skipped  int
		tell     bool
	}{
		{0, "a", 0, true},
		{time.Second, "a", 0, false},
		{time.Second, "b", 0, true},
		{9 * time.Second, "a", 0, false},
		{10 * time.Second, "a", 2, true},
		{time.Hour, "a", 0, true},
	} {
		if skipped, tell := f.count(row.provider, int64(row.at)); skipped != row.skipped || tell != row.tell {
			t.Errorf("%s at %v: %d, %t, want %d, %t", row.provider, row.at, skipped, tell, row.skipped, row.tell)
		}
	}
}
