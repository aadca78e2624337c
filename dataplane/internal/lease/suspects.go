package lease

import (
	"net/netip"
	"sync"

	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/shared/quota"
)

// Suspects is a node's part in the limit per client address. Each node keeps
// the whole limit for each address, and is charged with what the other nodes
// admitted once the leader has added it up. The bound is in docs/MODEL.md.
//
// It remembers the 512 addresses that took most lately: 64 sets of 8, in which a
// newcomer replaces the one that took least. All methods may be called at the
// same time.
type Suspects struct {
	key  [16]byte
	sets [suspectSets]suspectSet
}

const (
	suspectSets = 64
	// remember is what is left of a count after a tick: half after a second, so a
	// steady rate counts as 1.47 seconds of it.
	remember = 0.966
	spread   = 1.47
	// below is the part of an address's limit, divided among the nodes, that is
	// not worth a report: an eighth.
	below = 8
)

type suspectSet struct {
	mu    sync.Mutex
	slots [8]suspect
}

type suspect struct {
	ref    limit.Ref
	hash   uint64 // 0 until it is reported for the first time
	addr   netip.Addr
	taken  int64   // not reported yet
	lately float64 // taken, fading
}

// NewSuspects makes a table. The key is the same on all nodes of the cluster.
func NewSuspects(key [16]byte) *Suspects { return &Suspects{key: key} }

// Note is told of each token that was taken from an address's bucket.
func (s *Suspects) Note(addr netip.Addr, ref limit.Ref) {
	set := &s.sets[ref.Tag()%suspectSets]
	set.mu.Lock()
	defer set.mu.Unlock()
	least := &set.slots[0]
	for i := range set.slots {
		x := &set.slots[i]
		if x.ref == ref {
			x.taken++
			x.lately++
			return
		}
		if x.lately < least.lately {
			least = x
		}
	}
	*least = suspect{ref: ref, addr: addr, taken: 1, lately: 1}
}

// Report appends, at each tick, what those took that use more than an eighth of
// an even share of their limit here: rate in nano-tokens per second over that
// many nodes. prefix is that of IPv6 networks.
func (s *Suspects) Report(dst []quota.Suspect, rate int64, nodes, prefix int) []quota.Suspect {
	least := spread * float64(rate) / quota.PerSecond / float64(below*max(nodes, 1))
	for i := range s.sets {
		dst = s.sets[i].report(dst, least, s.key, prefix)
	}
	return dst
}

func (s *suspectSet) report(dst []quota.Suspect, least float64, key [16]byte, prefix int) []quota.Suspect {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		x := &s.slots[i]
		if x.taken > 0 && x.lately >= least && len(dst) < quota.MaxSuspects {
			x.hash = addrHash(key, x.addr, prefix)
			dst = append(dst, quota.Suspect{Hash: x.hash, Taken: x.taken})
			x.taken = 0
		}
		x.lately *= remember
	}
	return dst
}

// Apply charges what the other nodes admitted: no bucket holds more than is left
// in the whole cluster, less what was taken here since the report.
func (s *Suspects) Apply(now int64, table *limit.AddrTable, verdicts []quota.Verdict) {
	levels := make(map[uint64]int64, len(verdicts))
	for _, v := range verdicts {
		levels[v.Hash] = v.Level
	}
	for i := range s.sets {
		s.sets[i].apply(now, table, levels)
	}
}

func (s *suspectSet) apply(now int64, table *limit.AddrTable, levels map[uint64]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.slots {
		x := &s.slots[i]
		if level, ok := levels[x.hash]; ok && x.ref != (limit.Ref{}) && x.hash != 0 {
			table.Lower(now, x.ref, max(level, -quota.MaxRoom*1000)-x.taken*quota.Token)
		}
	}
}
