package limit

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
)

// slot is the bucket of the address with that tag; tag 0 is none.
type slot struct {
	tag   uint64
	spent int64 // on the meter of the stripe
}

// set is where an address may lie: 8 slots, two cache lines.
type set [8]slot

// stripe is a part of an AddrTable with a lock of its own. It begins with few
// sets and doubles them whenever a live entry would have to be evicted: few
// addresses thus take little memory, mostly in the processor's cache.
type stripe struct {
	mu sync.Mutex
	meter
	sets    []set
	most    int           // sets: len(sets) doubled a few times
	evicted atomic.Uint64 // written under mu

	_ [24]byte // 128 bytes, so that stripes share no cache line
}

func (st *stripe) take(now int64, tag uint64) Decision {
	st.mu.Lock()
	defer st.mu.Unlock()
	earned, rest := st.read(now)
	s := st.find(tag)
	for st.evicts(s, tag, earned) && st.grow() {
		s = st.find(tag)
	}
	level := st.burst
	if s.tag == tag {
		level = st.level(earned, s.spent)
	}
	if level < st.unit {
		return st.report(false, level, st.unit, rest)
	}
	if st.evicts(s, tag, earned) {
		st.evicted.Add(1)
	}
	level -= st.unit
	*s = slot{tag, earned - level}
	return st.report(true, level, st.unit, rest)
}

// evicts reports whether giving s to tag takes it from an entry that is live.
func (st *stripe) evicts(s *slot, tag uint64, earned int64) bool {
	return s.tag != tag && s.tag != 0 && s.spent > st.full(earned)
}

func (st *stripe) refund(tag uint64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	if s := st.find(tag); s.tag == tag {
		s.spent = st.meter.refund(s.spent, 1)
	}
}

func (st *stripe) lower(now int64, tag uint64, level int64) {
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.find(tag)
	if s.tag != tag {
		return
	}
	earned, _ := st.read(now)
	scale := finestUnit / st.unit
	level = max(level/scale, -1000*max(st.burst, st.unit)) // a debt of 1000 bursts fits: <= 1e18
	s.spent = max(s.spent, earned-level)
}

func (st *stripe) configure(now int64, p Params) {
	st.mu.Lock()
	defer st.mu.Unlock()
	next := st.next(now, newMeter(now, p))
	for i := range st.sets {
		for j := range st.sets[i] {
			if s := &st.sets[i][j]; s.tag != 0 {
				s.spent = st.carry(s.spent, &next)
			}
		}
	}
	st.meter = next
}

// find is the slot of tag or, without one, the slot to use for it: an empty
// one, else the one with the most tokens, whose spent mark is the lowest.
func (st *stripe) find(tag uint64) *slot {
	var best *slot
	lowest := int64(math.MaxInt64)
	set := &st.sets[index(tag, len(st.sets))]
	for i := range set {
		s := &set[i]
		if s.tag == tag {
			return s
		}
		spent := s.spent
		if s.tag == 0 {
			spent = math.MinInt64
		}
		if spent < lowest {
			best, lowest = s, spent
		}
	}
	return best
}

// index maps a tag to one of n sets by multiply-shift (D. Lemire, "Fast Random
// Integer Generation in an Interval", 2019). It keeps the order of tags, so
// set i of n becomes the sets 2i and 2i+1 of 2n.
func index(tag uint64, n int) int {
	i, _ := bits.Mul64(tag<<8, uint64(n))
	return int(i)
}

// grow doubles the sets, unless there are as many as there may be.
func (st *stripe) grow() bool {
	if len(st.sets) == st.most {
		return false
	}
	grown := make([]set, 2*len(st.sets))
	for _, from := range st.sets {
		var filled [2]int
		for _, s := range from {
			if s.tag == 0 {
				continue
			}
			to := index(s.tag, len(grown))
			grown[to][filled[to%2]] = s
			filled[to%2]++
		}
	}
	st.sets = grown
	return true
}
