package controller

import (
	"sync"
	"time"
)

// refusals decides which of the clients that NATS refuses get a line in the log: a
// node with a wrong secret tries ten times a second, and a stranger may try under
// any name. Safe for simultaneous use.
type refusals struct {
	mu      sync.Mutex
	began   time.Time
	told    map[string]bool // since then
	skipped int             // since the last line
}

const (
	refusalsEvery = 10 * time.Second // the same client gets a line
	refusalsMost  = 20               // clients get a line in that time
)

// tell reports whether a refusal gets a line, and how many before it got none.
func (r *refusals) tell(client string, now time.Time) (skipped int, tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told == nil || now.Sub(r.began) >= refusalsEvery {
		r.began, r.told = now, make(map[string]bool)
	}
	if r.told[client] || len(r.told) >= refusalsMost {
		r.skipped++
		return 0, false
	}
	r.told[client] = true
	skipped, r.skipped = r.skipped, 0
	return skipped, true
}
