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

	// generation counts the purges. What was asked for before one is not stored
	// after it.
	generation atomic.Uint64
	evictions  atomic.Uint64

	changing sync.Mutex // one Resize or Owner at a time
	size     int64
	owners   atomic.Pointer[[]*usage]
	names    map[string]Owner // guarded by changing
}

// table is one set of shards; Resize puts another one in its place.
type table struct {
	shards []*shard
}

// Owner is whom entries are counted for. The zero Owner is nobody in particular.
type Owner uint16

type usage struct {
	entries, bytes atomic.Int64
}

// Usage is what the entries of an owner, or all of them, take up.
type Usage struct {
	Entries, Bytes int64
}

// New returns a store that takes size bytes at most, its own index included; 0
// stores nothing. Entries of up to largest bytes, key and head included, always
// fit if size is four times as much.
func New(size, largest int64, memory Memory) *Store {
	s := &Store{memory: memory, seed: maphash.MakeSeed(), names: map[string]Owner{}}
	s.owners.Store(&[]*usage{})
	s.table.Store(&table{})
	s.Owner("") // the zero Owner
	s.Resize(size, largest, 0)
	return s
}

// Owner is the owner of that name, made at its first use. There are
// 65,535; entries of further ones count for the zero Owner.
func (s *Store) Owner(name string) Owner {
	s.changing.Lock()
	defer s.changing.Unlock()
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

// Generation is to be read before the provider is asked and handed to Put.
func (s *Store) Generation() uint64 { return s.generation.Load() }

// Entry is what Put stores.
type Entry struct {
	Owner      Owner
	Head, Body []byte
	Until      int64 // the last moment at which it may be of use
	Generation uint64
}

// Put stores an entry in place of the one with that key, and reports whether it
// did: an entry may be too large, or asked for before a purge. now tells which
// entries are not worth their room any more.
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

// Invalidate forgets all entries of a resource and returns how many they were.
func (s *Store) Invalidate(resource []byte) int {
	sum := maphash.Bytes(s.seed, resource)
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

// Purge forgets the entries whose keys match and returns how many they were. It
// reads every key, a shard at a time. match must not keep the key, nor call the
// store.
func (s *Store) Purge(match func(key []byte) bool) (n int) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.generation.Add(1)
	for _, sh := range s.table.Load().shards {
		n += sh.purge(match)
	}
	return n
}

// Clear forgets everything and gives the memory back.
func (s *Store) Clear() {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.generation.Add(1)
	for _, sh := range s.table.Load().shards {
		sh.clear()
	}
}

// Evictions is how many entries had to make room although they were of use.
func (s *Store) Evictions() uint64 { return s.evictions.Load() }

// Usage is what the entries of one owner take up.
func (s *Store) Usage(o Owner) Usage {
	owners := *s.owners.Load()
	if int(o) >= len(owners) {
		return Usage{}
	}
	return Usage{owners[o].entries.Load(), owners[o].bytes.Load()}
}

// Total is what all entries take up.
func (s *Store) Total() (sum Usage) {
	for o := range *s.owners.Load() {
		u := s.Usage(Owner(o))
		sum.Entries += u.Entries
		sum.Bytes += u.Bytes
	}
	return sum
}

func (s *Store) count(o Owner, entries, bytes int64) {
	if owners := *s.owners.Load(); int(o) < len(owners) {
		owners[o].entries.Add(entries)
		owners[o].bytes.Add(bytes)
	}
}

func (s *Store) sum(k Key) uint64 { return maphash.Bytes(s.seed, k.Bytes[:k.Group]) }

// shard is chosen by the upper bits of the sum, a bucket in it by the lower ones.
func (t *table) shard(sum uint64) *shard {
	return t.shards[int(sum>>48)&(len(t.shards)-1)]
}
