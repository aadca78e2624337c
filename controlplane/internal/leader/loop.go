package leader

import (
	"context"
	"sync"
	"time"
)

const tickEvery = 20 * time.Millisecond

// Loop gives a Leader its one goroutine. Safe for simultaneous use.
type Loop struct {
	leader *Leader
	work   chan func(*Leader, time.Time)
	ended  chan struct{}
	stop   context.CancelFunc
	once   sync.Once
}

// backlog is how many pieces of work may wait. Reports beyond it are dropped:
// the next one says it all again.
const backlog = 4096

// Run starts the loop.
func Run(l *Leader) *Loop {
	ctx, stop := context.WithCancel(context.Background())
	loop := &Loop{leader: l, work: make(chan func(*Leader, time.Time), backlog), ended: make(chan struct{}), stop: stop}
	go loop.run(ctx)
	return loop
}

func (l *Loop) run(ctx context.Context) {
	defer close(l.ended)
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-l.work:
			f(l.leader, time.Now())
		case <-tick.C:
			l.leader.Tick(time.Now())
		}
	}
}

// Do runs f in the loop and waits for it. It reports false, and f may not have
// run, if ctx or the loop ended first.
func (l *Loop) Do(ctx context.Context, f func(*Leader, time.Time)) bool {
	done := make(chan struct{})
	select {
	case l.work <- func(leader *Leader, now time.Time) { f(leader, now); close(done) }:
	case <-ctx.Done():
		return false
	case <-l.ended:
		return false
	}
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	case <-l.ended:
		return false
	}
}

// Offer runs f in the loop soon, or never if too much waits already. It does not
// block.
func (l *Loop) Offer(f func(*Leader, time.Time)) bool {
	select {
	case l.work <- f:
		return true
	default:
		return false
	}
}

// Stop ends the loop and waits for it. Idempotent.
func (l *Loop) Stop() {
	l.once.Do(l.stop)
	<-l.ended
}
