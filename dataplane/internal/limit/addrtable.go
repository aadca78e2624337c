package limit

import (
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
)

// DefaultSlots is the size of a table for a million live addresses: 48 MiB,
// allocated as they are needed. An address is live until its bucket is full
// again, burst/rate seconds after its last request at most.
const DefaultSlots = 3 << 20

const (
	stripes  = 256
	maxSlots = 1 << 28 // 4 GiB
)

// AddrTable is a token bucket for each client address, all with the same
// parameters, in a table of bounded size without pointers. All methods may be
// called at the same time.
//
// A bucket that is full equals no entry, so a new address needs a slot only
// while it has spent something, and a slot whose bucket has filled up is free.
//
// What is given up for the bound: an address may only lie in the 8 slots
// of its set. When all of them are live the one with the most tokens left is
// evicted, which hands its address a full bucket at its next request; heavy
// hitters, who have the fewest, stay limited. At a million live addresses in
// DefaultSlots about 1 set in 800 is that crowded. And an address is known by
// 64 bits of a hash only: among a million, two share a bucket with probability
// 3e-8. The hash is keyed anew for each table, so nobody outside can aim for
// either.
type AddrTable struct {
	stripes [stripes]stripe
	seed    maphash.Seed
	prefix  atomic.Int32 // of IPv6 addresses

	configuring sync.Mutex
	params      Params // guarded by configuring
}

// Ref names the entry from which a token was taken. The zero Ref names none.
type Ref struct{ tag uint64 }

// Tag is a number that is different for each entry of a table, with the odds of
// a hash; 0 for the zero Ref.
func (r Ref) Tag() uint64 { return r.tag }

// NewAddrTable returns a table that grows to at least that many slots of 16
// bytes, a multiple of 2048. IPv6 addresses count by their first prefix bits,
// 0..128; values outside mean the nearest one inside.
func NewAddrTable(now int64, p Params, prefix, slots int) *AddrTable {
	most := (min(max(slots, 1), maxSlots)-1)/(stripes*len(set{})) + 1
	t := &AddrTable{seed: maphash.MakeSeed(), params: p}
	for i := range t.stripes {
		st := &t.stripes[i]
		st.meter = newMeter(now, p)
		st.sets = make([]set, most>>bits.TrailingZeros(uint(most)))
		st.most = most
	}
	t.setPrefix(prefix)
	return t
}

// Take takes one token of the address, or none and says when to come back. The
// Ref gives it back; it is the zero Ref when nothing was taken. IPv4-mapped
// addresses count as IPv4, zones do not count, and all calls with the zero
// Addr share one bucket.
func (t *AddrTable) Take(now int64, addr netip.Addr) (Decision, Ref) {
	tag := t.tag(addr)
	d := t.stripe(tag).take(now, tag)
	if !d.OK {
		return d, Ref{}
	}
	return d, Ref{tag}
}

// Refund gives the token of a Take back. When the entry was evicted meanwhile
// there is nothing to give back to: its address has a full bucket already.
func (t *AddrTable) Refund(r Ref) {
	if r != (Ref{}) {
		t.stripe(r.tag).refund(r.tag)
	}
}

// Lower leaves the bucket of an entry with that many micro-tokens at most. Below
// 0 it is a debt, of a thousand bursts at most. An entry that was evicted
// meanwhile is left alone.
func (t *AddrTable) Lower(now int64, r Ref, level int64) {
	if r != (Ref{}) {
		t.stripe(r.tag).lower(now, r.tag, level)
	}
}

// Configure changes the parameters of all buckets, stripe by stripe; a racing
// Take goes by the parameters that its stripe has at that moment. Levels are
// kept, cut to the new burst. Another prefix makes all IPv6 addresses new ones.
// With the parameters in force it costs nothing, else it reads the whole table:
// at most some twenty milliseconds, with each stripe locked for a 256th of them.
func (t *AddrTable) Configure(now int64, p Params, prefix int) {
	t.configuring.Lock()
	defer t.configuring.Unlock()
	t.setPrefix(prefix)
	if p == t.params {
		return
	}
	t.params = p
	for i := range t.stripes {
		t.stripes[i].configure(now, p)
	}
}

// Evicted is how many live entries had to make room so far.
func (t *AddrTable) Evicted() (n uint64) {
	for i := range t.stripes {
		n += t.stripes[i].evicted.Load()
	}
	return n
}

func (t *AddrTable) setPrefix(n int) { t.prefix.Store(int32(min(max(n, 0), 128))) }

// stripe is chosen by the first 8 bits of the tag, the set by those after them.
func (t *AddrTable) stripe(tag uint64) *stripe { return &t.stripes[tag>>56] }

// tag is the hash under which an address is known; never 0.
func (t *AddrTable) tag(addr netip.Addr) uint64 {
	if addr = addr.Unmap(); addr.Is4() {
		key := addr.As4()
		return max(1, maphash.Bytes(t.seed, key[:]))
	}
	network, _ := addr.Prefix(int(t.prefix.Load())) // fails for the zero Addr only
	key := network.Addr().As16()
	return max(1, maphash.Bytes(t.seed, key[:]))
}
