package node

import (
	"sync"
	"time"

	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/dataplane/internal/verdict"
)

// failureEvery is how often error.log tells of failures of one kind.
const failureEvery = 10 * time.Second

// failures thins out what is told of failures: one line per subject (a provider,
// a kind of trouble) and failureEvery, which also says how many were left out.
// Safe for simultaneous use.
type failures struct {
	mu   sync.Mutex
	seen map[string]*failureCount
}

type failureCount struct {
	told    int64 // when, in nanoseconds of the node's clock
	skipped int
}

// count reports whether to tell of a failure at now, and how many before it were
// not told of.
func (f *failures) count(subject string, now int64) (skipped int, tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = make(map[string]*failureCount)
	}
	c := f.seen[subject]
	if c == nil {
		c = &failureCount{told: now - int64(failureEvery)}
		f.seen[subject] = c
	}
	if now-c.told < int64(failureEvery) {
		c.skipped++
		return 0, false
	}
	skipped = c.skipped
	c.told, c.skipped = now, 0
	return skipped, true
}

// upstreamFailed says why a provider does not answer; a status of its own is in
// the access log.
func (n *Node) upstreamFailed(provider string, outcome verdict.AttemptOutcome, err error) {
	if skipped, tell := n.failures.count(provider, n.clock()); tell {
		log := n.log.With("provider", provider, "outcome", outcome.String(), "error", err.Error(), "similar_before", skipped)
		if upstream.IsShortage(err) {
			log.Warn("cannot connect to upstreams for want of descriptors, memory or local ports; raise the limit of open files (ulimit -n)")
			return
		}
		log.Warn("upstream attempt failed")
	}
}

// troubled tells of what goes wrong with the coordination.
func (n *Node) troubled(what string, err error) {
	if skipped, tell := n.failures.count("nats: "+what, n.clock()); tell {
		n.log.Warn(what, "error", err.Error(), "similar_before", skipped) //nolint:sloglint // one of the constants in package bus
	}
}
