package controller

import (
	"context"
	"sync"
)

// inbox keeps the newest report of each node until it can be read. A report says
// all that the ones before it said, so those are dropped. A controller that is short
// of processor time then reads fewer reports, but none that are old: answers to old
// ones are of no use to anybody, and a queue of them would never get shorter. Safe
// for simultaneous use.
type inbox struct {
	mu      sync.Mutex
	reports map[string][]byte // by node
	waiting []string          // nodes that have one, oldest first
	filled  chan struct{}
}

func newInbox() *inbox {
	return &inbox{reports: make(map[string][]byte), filled: make(chan struct{}, 1)}
}

// put keeps a report and says whether it took the place of another.
func (b *inbox) put(node string, data []byte) (replaced bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, replaced = b.reports[node]; !replaced {
		b.waiting = append(b.waiting, node)
	}
	b.reports[node] = data
	select {
	case b.filled <- struct{}{}:
	default:
	}
	return replaced
}

// take waits for a report, the one that waited longest; false at the end of ctx.
func (b *inbox) take(ctx context.Context) (node string, data []byte, ok bool) {
	for {
		if node, data, ok = b.next(); ok {
			return node, data, true
		}
		select {
		case <-b.filled:
		case <-ctx.Done():
			return "", nil, false
		}
	}
}

func (b *inbox) next() (node string, data []byte, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		return "", nil, false
	}
	node = b.waiting[0]
	if b.waiting = b.waiting[1:]; len(b.waiting) == 0 {
		b.waiting = nil // or the array would grow at its end for ever
	}
	data = b.reports[node]
	delete(b.reports, node)
	return node, data, true
}
