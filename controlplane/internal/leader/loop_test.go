package leader

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// The loop ticks, runs what it is given in order, and ends.
func TestLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t}
		l := New(time.Now(), Restored{Epoch: 1}, s)
		loop := Run(l)
		time.Sleep(time.Second) // virtual
		ticks, order := 0, []int(nil)
		for i := range 3 {
			if !loop.Offer(func(l *Leader, _ time.Time) { order = append(order, i) }) {
				t.Error("no room in an empty loop")
			}
		}
		if !loop.Do(t.Context(), func(l *Leader, _ time.Time) { ticks = l.ticks }) {
			t.Error("not run")
		}
		if ticks < 48 || ticks > 50 || len(order) != 3 || order[0] != 0 || order[2] != 2 {
			t.Errorf("%d ticks in a second, order %v", ticks, order)
		}

		// A piece of work that hangs holds up others, whose callers may give up.
		release := make(chan struct{})
		loop.Offer(func(*Leader, time.Time) { <-release })
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if loop.Do(short, func(*Leader, time.Time) {}) {
			t.Error("run behind one that hangs")
		}
		offered := 0
		for loop.Offer(func(*Leader, time.Time) {}) {
			offered++
		}
		if offered < backlog-2 {
			t.Errorf("only %d pieces of work may wait", offered)
		}
		close(release)
		synctest.Wait()
		loop.Stop()
		loop.Stop()
		if loop.Do(t.Context(), func(*Leader, time.Time) {}) {
			t.Error("run after the end")
		}
	})
}
