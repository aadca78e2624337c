package fakeprovider

import (
	"slices"
	"sync"
)

const (
	chunkSize  = 4096
	chunkCount = 256

	// keptArrivals is how many arrivals a ledger remembers; 32 bytes each.
	keptArrivals = chunkSize * chunkCount

	maxPaths    = 10_000 // paths a ledger tells apart; later ones are "other"
	maxPathSize = 256    // bytes; longer ones are "other"
	shownPaths  = 100    // paths in Stats.ByPath
	otherPath   = "other"
)

// arrival is one request in compact form.
type arrival struct {
	ns         int64 // unix nanoseconds: headers parsed
	admitted   int64 // unix nanoseconds; 0 = not said
	conn       uint32
	leaks      leakSet
	path       uint16 // index into ledger.paths
	status     uint16 // 0 = no answer (yet)
	method     uint8  // index into methods
	authorized bool
}

// tally is what a ledger counts since its last reset.
type tally struct {
	arrivals, authorized int64
	firstNS, lastNS      int64
	maxInFlight          int64
	leaks                [len(leakNames)]int64
	methods              [len(methods)]int64
	statuses             [600]int64
}

// ledger counts and remembers the arrivals of one provider. It is a ring of
// chunks that are made as they are first needed: it never copies to grow, so the
// lock is held for nanoseconds.
type ledger struct {
	mu       sync.Mutex
	tally    tally
	inFlight int64

	first, next int64 // sequence numbers: of the last reset, of the next arrival
	chunks      [chunkCount]*[chunkSize]arrival

	paths     []string // by index; 0 is otherPath
	pathCount []int64
	pathIndex map[string]uint16
}

// begin enters a request and returns its sequence number.
func (l *ledger) begin(a arrival, path string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.path = l.indexLocked(path)
	l.pathCount[a.path]++
	l.countLocked(a)
	l.inFlight++
	l.tally.maxInFlight = max(l.tally.maxInFlight, l.inFlight)

	seq := l.next
	l.next++
	chunk := &l.chunks[seq/chunkSize%chunkCount]
	if *chunk == nil {
		*chunk = new([chunkSize]arrival)
	}
	(*chunk)[seq%chunkSize] = a
	return seq
}

// answered notes the status of a request, just before the client can see it.
func (l *ledger) answered(seq int64, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first || status >= len(l.tally.statuses) {
		return
	}
	l.tally.statuses[status]++
	if seq >= l.oldestLocked() {
		l.chunks[seq/chunkSize%chunkCount][seq%chunkSize].status = uint16(status)
	}
}

// end leaves a request.
func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
}

// reset forgets everything but the requests in flight. Sequence numbers go on,
// so that a request that began before cannot be taken for one after.
func (l *ledger) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tally = tally{maxInFlight: l.inFlight}
	l.first = l.next
	l.chunks = [chunkCount]*[chunkSize]arrival{}
	l.paths, l.pathCount, l.pathIndex = nil, nil, nil
}

// page copies remembered arrivals from seq on, at most one chunk, and the names
// of the paths they use. oldest is the sequence number of the first arrival
// returned, or the next one to come.
func (l *ledger) page(seq int64) (page []arrival, oldest int64, paths []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest = min(max(seq, l.oldestLocked()), l.next)
	n := min(l.next-oldest, chunkSize-oldest%chunkSize)
	if n > 0 {
		from := oldest % chunkSize
		page = slices.Clone(l.chunks[oldest/chunkSize%chunkCount][from : from+n])
	}
	return page, oldest, l.paths // append-only: reading the prefix needs no lock
}

// bounds are the sequence numbers of the last reset and of the next arrival.
func (l *ledger) bounds() (first, next int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first, l.next
}

func (l *ledger) oldestLocked() int64 { return max(l.first, l.next-keptArrivals) }

func (l *ledger) countLocked(a arrival) {
	t := &l.tally
	if t.arrivals == 0 {
		t.firstNS, t.lastNS = a.ns, a.ns
	}
	t.firstNS, t.lastNS = min(t.firstNS, a.ns), max(t.lastNS, a.ns)
	t.arrivals++
	if a.authorized {
		t.authorized++
	}
	t.methods[a.method]++
	for i := range t.leaks {
		if a.leaks&(1<<i) != 0 {
			t.leaks[i]++
		}
	}
}

func (l *ledger) indexLocked(path string) uint16 {
	if l.pathIndex == nil {
		l.pathIndex = map[string]uint16{}
		l.paths, l.pathCount = []string{otherPath}, []int64{0}
	}
	if i, ok := l.pathIndex[path]; ok {
		return i
	}
	if len(l.paths) > maxPaths || len(path) > maxPathSize {
		return 0
	}
	i := uint16(len(l.paths))
	l.paths, l.pathCount = append(l.paths, path), append(l.pathCount, 0)
	l.pathIndex[path] = i
	return i
}
