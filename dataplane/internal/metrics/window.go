package metrics

import (
	"sync"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/latency"
)

// Tick is called every second; these are counted in ticks.
const (
	rateTicks    = 10 // the span of Stats.Recent
	latencyEvery = 5  // between two snapshots of the latencies
	latencySpan  = 60 // the sliding window of the latency gauges
)

// Counts are the cumulative counters that status pages show.
type Counts struct {
	Requests    uint64
	Success     uint64 // 2xx
	Retries     uint64
	Passed      uint64 // requests that the fairness limits were charged for
	Attempts    uint64 // each was charged to the provider's limit
	CacheHits   uint64 // fresh, stale and degraded
	CacheMisses uint64
	Degraded    uint64
	Rejected    [verdict.LimitScopes]uint64 // by the limit that refused
}

func (c Counts) since(earlier Counts) Counts {
	c.Requests -= earlier.Requests
	c.Success -= earlier.Success
	c.Retries -= earlier.Retries
	c.Passed -= earlier.Passed
	c.Attempts -= earlier.Attempts
	c.CacheHits -= earlier.CacheHits
	c.CacheMisses -= earlier.CacheMisses
	c.Degraded -= earlier.Degraded
	for i := range c.Rejected {
		c.Rejected[i] -= earlier.Rejected[i]
	}
	return c
}

// Latency sums up the requests of the last minute, in milliseconds; all 0
// without requests.
type Latency struct {
	Avg, P50, P95, P99 float64
}

// Stats is what a status page shows of a provider. It is a plain copy.
type Stats struct {
	Total   Counts        // since the node started
	Recent  Counts        // of the last Window
	Window  time.Duration // up to the last Tick: 10 s, less while the history is shorter
	Latency Latency

	// Histogram is what Latency sums up.
	Histogram latency.Snapshot
}

// PerSecond is the rate at which n events of Recent came; 0 before the first
// Tick.
func (s Stats) PerSecond(n uint64) float64 {
	if s.Window <= 0 {
		return 0
	}
	return float64(n) / s.Window.Seconds()
}

// history holds the samples that Tick takes of one provider.
type history struct {
	mu      sync.Mutex
	counts  ring[sample]           // one a tick
	latency ring[latency.Snapshot] // one every latencyEvery ticks
}

type sample struct {
	at int64
	Counts
}

// newHistory begins with the zeros of a provider created at now, so that the
// first samples have something to be compared with.
func newHistory(now int64) *history {
	h := &history{
		counts:  newRing[sample](rateTicks + 1),
		latency: newRing[latency.Snapshot](latencySpan / latencyEvery),
	}
	h.counts.push(sample{at: now})
	h.latency.push(latency.Snapshot{})
	return h
}

func (h *history) addCounts(at int64, c Counts) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts.push(sample{at, c})
}

func (h *history) addLatency(s latency.Snapshot) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latency.push(s)
}

func (h *history) recent() (Counts, time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first, last := h.counts.oldest(), h.counts.newest()
	return last.since(first.Counts), time.Duration(last.at - first.at)
}

// latencyBase is the snapshot at the beginning of the latency window: 55 to 60
// seconds ago.
func (h *history) latencyBase() latency.Snapshot {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *h.latency.oldest()
}

// ring keeps the last values pushed, as many as it has places. It is never
// asked before the first push.
type ring[T any] struct {
	places []T
	pushed int
}

func newRing[T any](size int) ring[T] { return ring[T]{places: make([]T, size)} }

func (r *ring[T]) push(v T) {
	r.places[r.pushed%len(r.places)] = v
	r.pushed++
}

func (r *ring[T]) oldest() *T { return &r.places[max(r.pushed-len(r.places), 0)%len(r.places)] }
func (r *ring[T]) newest() *T { return &r.places[(r.pushed-1)%len(r.places)] }
