package controller

import (
	"context"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// stored is the epoch that is written down.
func stored(t *testing.T, c *Controller) uint64 {
	t.Helper()
	e, err := c.broker.Bucket(wire.ConfigBucket).Get(context.Background(), wire.EpochKey)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := wire.Decode[wire.Epoch](e.Value)
	if err != nil {
		t.Fatal(err)
	}
	return epoch.Epoch
}

// obeying lets a node report that obeys the leader of an epoch.
func obeying(c *Controller, epoch uint64) {
	c.ask(func(l *leader.Leader, now time.Time) {
		l.Report(now, "a", wire.Report{Head: wire.Now(), Node: "a", Incarnation: "1", Nonce: 1, Epoch: epoch, State: status.Live})
	})
}

// A controller that holds the lead begins an epoch above the one that a node obeys,
// and writes it down first.
func TestOutranked(t *testing.T) {
	c := startController(t, options(t, t.TempDir()))
	obeying(c, 9)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var epoch uint64
		c.ask(func(l *leader.Leader, _ time.Time) { epoch = l.Epoch() })
		if epoch == 10 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("epoch %d", epoch)
		}
	}
	if got := stored(t, c); got != 10 {
		t.Errorf("epoch %d is written down", got)
	}
}

// Where another really leads, the one that nodes do not obey changes nothing, and
// ends.
func TestOutrankedByALeader(t *testing.T) {
	c := startController(t, options(t, t.TempDir()))
	if _, err := c.broker.Bucket(wire.ControlBucket).Put(context.Background(), wire.LeaderKey, []byte("another")); err != nil {
		t.Fatal(err)
	}
	obeying(c, 9)
	select {
	case <-c.Failed():
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	var epoch uint64
	c.ask(func(l *leader.Leader, _ time.Time) { epoch = l.Epoch() })
	if got := stored(t, c); epoch != 1 || got != 1 {
		t.Errorf("epoch %d, %d is written down", epoch, got)
	}
}
