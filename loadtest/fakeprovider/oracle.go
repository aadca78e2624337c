package fakeprovider

import (
	"net/http"
	"slices"
	"strconv"
)

// methods are told apart; the last entry is every other one.
var methods = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "other"}

func methodIndex(name string) uint8 {
	if i := slices.Index(methods[:], name); i >= 0 {
		return uint8(i)
	}
	return uint8(len(methods) - 1)
}

// Stats is what arrived for one provider since the start or the last reset. Maps
// are never nil and hold no zeros.
type Stats struct {
	Arrivals     int64 `json:"arrivals"`
	Authorized   int64 `json:"authorized"`   // the right credential, or none needed
	Unauthorized int64 `json:"unauthorized"` // arrivals without the right credential
	InFlight     int64 `json:"in_flight"`    // running now
	MaxInFlight  int64 `json:"max_in_flight"`
	Dropped      int64 `json:"dropped"`  // arrivals counted here but no longer listed
	FirstNS      int64 `json:"first_ns"` // unix nanoseconds; 0 = nothing arrived
	LastNS       int64 `json:"last_ns"`

	// Leaks counts arrivals that carried what the proxy must remove, by header
	// name, or "key in query" and the like: a key where it does not belong.
	Leaks    map[string]int64 `json:"leaks"`
	ByMethod map[string]int64 `json:"by_method"`
	ByStatus map[int]int64    `json:"by_status"` // final statuses; a reset or hung request has none
	ByPath   map[string]int64 `json:"by_path"`   // the first 100 paths, raw, keys masked; the rest is "other"
}

// Arrival is one request as it arrived.
type Arrival struct {
	Seq        int64    `json:"seq"`                   // 0, 1, 2, ... per provider; resets do not restart it
	NS         int64    `json:"ns"`                    // unix nanoseconds when its headers were parsed
	AdmittedNS int64    `json:"admitted_ns,omitempty"` // header X-Proxy-Admitted-At; 0 = absent
	Method     string   `json:"method"`
	Path       string   `json:"path"`   // raw, without query, keys masked; "other" beyond 10,000 paths or 256 bytes
	Status     int      `json:"status"` // 0 = not answered, or not yet
	Conn       uint32   `json:"conn"`   // connection number, 1, 2, ...; 0 = not known
	Authorized bool     `json:"authorized"`
	Leaks      []string `json:"leaks,omitempty"`
}

// Stats returns the counts of a provider, taken at one instant.
func (s *Server) Stats(p Provider) Stats {
	if p >= numProviders {
		return (&ledger{}).stats()
	}
	return s.ledgers[p].stats()
}

// Arrivals returns the remembered arrivals of a provider, in the order in which
// they were entered; their stamps may be out of order by the few microseconds
// between stamping and entering. [Stats].Dropped says how many older ones are
// gone: the last 1,048,576 are kept.
func (s *Server) Arrivals(p Provider) []Arrival {
	if p >= numProviders {
		return nil
	}
	var list []Arrival
	_, next := s.ledgers[p].bounds()
	s.ledgers[p].each(0, next, func(batch []Arrival) bool {
		list = append(list, batch...)
		return true
	})
	return list
}

// Reset zeroes the counters and forgets the arrivals of all providers. Requests
// in flight stay counted as such; faults stay.
func (s *Server) Reset() {
	for i := range s.ledgers {
		s.ledgers[i].reset()
	}
}

func (l *ledger) stats() Stats {
	l.mu.Lock()
	t := l.tally
	st := Stats{
		Arrivals: t.arrivals, Authorized: t.authorized, Unauthorized: t.arrivals - t.authorized,
		InFlight: l.inFlight, MaxInFlight: t.maxInFlight,
		Dropped: l.oldestLocked() - l.first, FirstNS: t.firstNS, LastNS: t.lastNS,
		ByStatus: map[int]int64{}, ByPath: map[string]int64{},
	}
	for i, n := range l.pathCount {
		if n > 0 {
			name := l.paths[i]
			if i > shownPaths {
				name = otherPath
			}
			st.ByPath[name] += n
		}
	}
	l.mu.Unlock()

	st.Leaks, st.ByMethod = counts(leakNames[:], t.leaks[:]), counts(methods[:], t.methods[:])
	for status, n := range t.statuses {
		if n > 0 {
			st.ByStatus[status] = n
		}
	}
	return st
}

func counts(names []string, values []int64) map[string]int64 {
	m := map[string]int64{}
	for i, n := range values {
		if n > 0 {
			m[names[i]] = n
		}
	}
	return m
}

// each hands out the remembered arrivals with sequence numbers since..end-1 in
// batches, until f returns false. It holds the lock for one batch at a time, so
// that reading a million does not stall those that arrive.
func (l *ledger) each(since, end int64, f func([]Arrival) bool) {
	for seq := since; seq < end; {
		page, oldest, paths := l.page(seq)
		page = page[:min(int64(len(page)), max(0, end-oldest))]
		if len(page) == 0 {
			return
		}
		batch := make([]Arrival, len(page))
		for i, a := range page {
			batch[i] = Arrival{
				Seq: oldest + int64(i), NS: a.ns, AdmittedNS: a.admitted,
				Method: methods[a.method], Path: paths[a.path], Status: int(a.status),
				Conn: a.conn, Authorized: a.authorized, Leaks: a.leaks.names(),
			}
		}
		if !f(batch) {
			return
		}
		seq = oldest + int64(len(page))
	}
}

// admittedAt reads the proxy's stamp; what is no number counts as absent.
func admittedAt(r *http.Request) int64 {
	ns, err := strconv.ParseInt(r.Header.Get("X-Proxy-Admitted-At"), 10, 64)
	if err != nil {
		return 0
	}
	return ns
}
