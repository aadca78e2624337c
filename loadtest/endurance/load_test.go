package endurance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// workers is how many requests of a load may be under way.
const workers = 16

// load is a stream of requests at a constant rate.
type load struct {
	mu       sync.Mutex // guards the fields below
	statuses map[int]int
	failed   []error
	waits    []time.Duration // from the moment when a request was due

	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// load sends GETs of path until stopped. Those that fall due while the node is
// slow are sent late, and their wait counts.
func (p *program) load(perSecond int, path string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{statuses: map[int]int{}, cancel: cancel}
	due := make(chan time.Time, 100_000)
	l.wg.Go(func() { pace(ctx, perSecond, due) })
	for range workers {
		l.wg.Go(func() {
			for at := range due {
				status, _, err := p.get(path)
				l.record(status, err, time.Since(at))
			}
		})
	}
	p.t.Cleanup(func() { l.stop() }) // of a test that failed
	return l
}

func pace(ctx context.Context, perSecond int, due chan<- time.Time) {
	defer close(due)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	begin := time.Now()
	interval := time.Second / time.Duration(perSecond)
	for next := begin; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for ; next.Before(now); next = next.Add(interval) {
				due <- next
			}
		}
	}
}

func (l *load) record(status int, err error, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed = append(l.failed, err)
		return
	}
	l.statuses[status]++
	l.waits = append(l.waits, wait)
}

// answered is how many requests got an answer so far.
func (l *load) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waits)
}

// stop sends no more and waits for the answers. Idempotent.
func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

// String sums up a load that was stopped.
func (l *load) String() string {
	slices.Sort(l.waits)
	p99 := time.Duration(0)
	if n := len(l.waits); n > 0 {
		p99 = l.waits[n*99/100]
	}
	return fmt.Sprintf("%d answers %v, %d failed, p99 %v", len(l.waits), l.statuses, len(l.failed), p99.Round(10*time.Microsecond))
}

// after lets a load go on for n more answers.
func (l *load) after(t *testing.T, n int) {
	t.Helper()
	n += l.answered()
	eventually(t, fmt.Sprintf("%d answers", n), func() bool { return l.answered() >= n })
}
