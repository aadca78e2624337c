package retry

import (
	"sync"

	"apiproxy.internal/dataplane/internal/meter"
)

const (
	// budgetDivisor allows one retry for ten requests.
	budgetDivisor = 10

	// budgetFloor lets a quiet provider retry all the same: 3 a second over
	// the ten seconds of a meter.Window.
	budgetFloor = 30
)

// Budget bounds the retries to one provider from one node, so that a failing
// upstream sees at most a tenth more traffic, however many clients wait for it:
//
//	retries of the last 10 s <= max(10 % of the requests of the last 10 s, 30)
//
// "The last 10 s" is that of meter.Window. The zero value is a full budget,
// ready for use. All methods are safe for simultaneous use.
type Budget struct {
	requests meter.Window

	mu      sync.Mutex // makes compare-and-spend one step; guards the fields below
	retries meter.Window
	latest  int64
}

// Request counts one request, not its retries, at now. It is lock-free.
func (b *Budget) Request(now int64) { b.requests.Add(now, 1) }

// TryRetry spends one retry at now, or reports that none is left. Simultaneous
// callers never overspend together.
func (b *Budget) TryRetry(now int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	// A caller that read its clock before the last one would not see what that
	// one spent in a later second.
	b.latest = max(b.latest, now)
	allowed := max(b.requests.Sum(b.latest)/budgetDivisor, budgetFloor)
	if b.retries.Sum(b.latest) >= allowed {
		return false
	}
	b.retries.Add(b.latest, 1)
	return true
}
