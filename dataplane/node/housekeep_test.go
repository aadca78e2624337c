package node

import (
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/shared/config"
)

// Rates are those of the last ten seconds, and a connection that is idle for
// longer is closed, without any traffic that would notice.
func TestHousekeeping(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := &Node{started: time.Now(), metrics: metrics.New(metrics.Info{}), options: Options{LogDir: dir}}
		if err := n.openLogs(); err != nil {
			t.Fatal(err)
		}
		far := make(chan net.Conn, 1)
		dial := func(context.Context, string, string) (net.Conn, error) {
			near, other := net.Pipe()
			far <- other
			return near, nil
		}
		n.state = snapshot.NewState(n.metrics, dial, func(string) (string, bool) { return "", false }, n.clock)
		doc, _, err := config.Parse([]byte(`providers: {up: {upstream: "http://127.0.0.1:1"}}`))
		if err != nil {
			t.Fatal(err)
		}
		var plan *snapshot.Plan
		if err := n.state.Apply(doc, 0, func(s *snapshot.Snapshot) { plan = s.Plans[0] }); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { n.housekeep(ctx) })
		synctest.Wait()

		plan.Metrics.Observe(metrics.Observation{Status: 200})
		bounds := upstream.Timeouts{Connect: time.Hour, Send: time.Hour, Read: time.Hour}
		c, err := plan.Pool.Get(bounds, time.Time{}, false)
		if err != nil {
			t.Fatal(err)
		}
		c.Release(true)
		for _, row := range []struct {
			wait   time.Duration
			recent uint64
		}{{5 * time.Second, 1}, {20 * time.Second, 0}} {
			<-time.After(row.wait)
			synctest.Wait()
			if got := plan.Metrics.Stats().Recent.Requests; got != row.recent {
				t.Errorf("after %v: %d recent requests, want %d", row.wait, got, row.recent)
			}
		}
		if _, err := (<-far).Read(make([]byte, 1)); err == nil {
			t.Error("the idle connection is open")
		}
		cancel()
		wg.Wait()
		if err := n.closeLogs(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// Dropped log lines are told of at once, then once a minute while it goes on.
func TestLostLinesAreTold(t *testing.T) {
	var l lostLines
	told := 0
	for second := range uint64(130) {
		if lost := l.since(second * 10); lost > 0 { // ten a second, from the second one on
			told++
		}
	}
	if told != 3 {
		t.Errorf("told %d times in 130 s, want 3", told)
	}
	if lost := l.since(1290); lost != 0 {
		t.Errorf("%d lines lost although nothing was dropped since", lost)
	}
}
