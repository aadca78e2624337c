// Package store keeps stored answers in memory that is bounded and holds no
// pointers: neither their number nor their size is work for the garbage
// collector. It knows keys and bytes only; what they mean is package cache's.
//
// Each shard is a log in one piece of memory. New entries are written at its
// head; at its tail an entry that was read since it was last there moves to the
// head, up to three times, and any other one is forgotten (FIFO with
// reinsertion, the k-bit CLOCK; Corbató, "A Paging Experiment with the Multics
// System", 1968). There is nothing to fragment and no list to keep in order at a
// hit. What that costs: an entry that was replaced or purged takes its room
// until the tail comes by.
package store

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// Memory is where shards live: Alloc returns n zero bytes, which are best not
// resident before they are touched, and Free takes them back.
type Memory struct {
	Alloc func(n int) []byte
	Free  func([]byte)
}

// Key names an entry. Its first Group bytes name the resource that it belongs
// to, whose entries can be invalidated together.
type Key struct {
	Bytes []byte
	Group int
}

// maxGroup is how many entries one resource may have. A flood of variants of one
// resource thus neither fills the store nor makes it slow.
const maxGroup = 16

// Store is safe for simultaneous use. All times are int64 nanoseconds of one
// monotonic clock.
type Store struct {
	memory Memory
	seed   maphash.Seed
	table  atomic.Pointer[table]

	purges atomic.Pointer[purges]
	purged atomic.Uint64 // purges that have ended

	changes [1024]atomic.Uint32 // by the sum of a resource: how often it was invalidated

	changing sync.Mutex // one Resize or Purge at a time

	naming sync.Mutex
	owners atomic.Pointer[[]*usage]
	names  map[string]Owner // guarded by naming
}

// table is one set of shards; Resize puts another one in its place.
type table struct {
	size   int64
	shards []*shard
}

// Owner is whom entries are counted for. The zero Owner is nobody in particular.
type Owner uint16

type usage struct {
	entries, bytes    atomic.Int64
	evictions, purged atomic.Uint64
}

func (u *usage) add(entries, bytes int64) {
	u.entries.Add(entries)
	u.bytes.Add(bytes)
}

// Usage is what the entries of an owner, or all of them, take up, and what became
// of others since the start.
type Usage struct {
	Entries, Bytes int64
	Evictions      uint64 // had to make room although they were of use
	Purged         uint64 // see Purge
}

// New returns a store that takes size bytes at most, its own index included; 0
// stores nothing. Entries of up to largest bytes, key and head included, always
// fit if size is four times as much.
func New(size, largest int64, memory Memory) *Store {
	s := &Store{memory: memory, seed: maphash.MakeSeed(), names: map[string]Owner{}}
	s.owners.Store(&[]*usage{})
	s.table.Store(&table{})
	s.purges.Store(&purges{})
	s.Owner("") // the zero Owner
	s.Resize(size, largest, 0)
	return s
}

// Owner is the owner of that name, made at its first use. There are
// 65,535; entries of further ones count for the zero Owner.
func (s *Store) Owner(name string) Owner {
	s.naming.Lock()
	defer s.naming.Unlock()
	o, ok := s.names[name]
	if !ok && len(s.names) < 1<<16 {
		o = Owner(len(s.names))
		s.names[name] = o
		grown := append(append([]*usage{}, *s.owners.Load()...), new(usage))
		s.owners.Store(&grown)
	}
	return o
}

// Get appends the head and the body of an entry that is still worth keeping at
// now. It allocates nothing beyond the growth of the two.
func (s *Store) Get(k Key, now int64, head, body []byte) (h, b []byte, ok bool) {
	sum := s.sum(k)
	for {
		t := s.table.Load()
		if len(t.shards) == 0 {
			return head, body, false
		}
		h, b, ok, closed := t.shard(sum).get(k, sum, now, head, body)
		if !closed {
			return h, b, ok
		}
	}
}

// Generation tells apart what was asked for before and after a purge. It is to be
// read before the copy is looked up and the provider asked, and handed to Put.
func (s *Store) Generation() uint64 { return s.purged.Load() }

// Entry is what Put stores.
type Entry struct {
	Owner      Owner
	Head, Body []byte
	Until      int64 // the last moment at which it may be of use
	Generation uint64
	Changes    uint32
}

// Put stores an entry in place of the one with that key, and reports whether it
// did: an entry may be too large, or asked for before the end of a purge that is
// meant for it, or before its resource was invalidated. now tells which entries are
// not worth their room any more.
func (s *Store) Put(k Key, e *Entry, now int64) bool {
	sum := s.sum(k)
	for {
		t := s.table.Load()
		if len(t.shards) == 0 {
			return false
		}
		stored, closed := t.shard(sum).put(k, sum, e, now, false)
		if !closed {
			return stored
		}
	}
}

// Changes tells apart what was asked for before and after the resource was
// invalidated, or another one that shares its place. It is to be read before the
// provider is asked, and handed to Put.
func (s *Store) Changes(resource []byte) uint32 {
	return s.changed(maphash.Bytes(s.seed, resource)).Load()
}

func (s *Store) changed(sum uint64) *atomic.Uint32 {
	return &s.changes[sum%uint64(len(s.changes))]
}

// Invalidate forgets all entries of a resource and returns how many they were. One
// that was asked for before is not stored any more.
func (s *Store) Invalidate(resource []byte) int {
	sum := maphash.Bytes(s.seed, resource)
	s.changed(sum).Add(1) // before the entries: put looks at it while it holds the shard
	for {
		t := s.table.Load()
		if len(t.shards) == 0 {
			return 0
		}
		n, closed := t.shard(sum).invalidate(sum, resource)
		if !closed {
			return n
		}
	}
}

// Usage is what the entries of one owner take up.
func (s *Store) Usage(o Owner) Usage {
	u := s.usage(o)
	return Usage{u.entries.Load(), u.bytes.Load(), u.evictions.Load(), u.purged.Load()}
}

// Total is what all entries take up.
func (s *Store) Total() (sum Usage) {
	for o := range *s.owners.Load() {
		u := s.Usage(Owner(o))
		sum.Entries += u.Entries
		sum.Bytes += u.Bytes
		sum.Evictions += u.Evictions
		sum.Purged += u.Purged
	}
	return sum
}

// usage is what is counted for an owner; who is none counts for the zero one.
func (s *Store) usage(o Owner) *usage {
	owners := *s.owners.Load()
	if int(o) >= len(owners) {
		o = 0
	}
	return owners[o]
}

func (s *Store) sum(k Key) uint64 { return maphash.Bytes(s.seed, k.Bytes[:k.Group]) }

// shard is chosen by the upper bits of the sum, a bucket in it by the lower ones.
func (t *table) shard(sum uint64) *shard {
	return t.shards[int(sum>>48)&(len(t.shards)-1)]
}
