package store

import (
	"bytes"
	"sync"
)

// shard is a log in one piece of memory and an index of it.
//
// The log is a ring of blocks. If it has not wrapped around, the blocks lie from
// tail to head; if it has, from tail to end and from 0 to head.
type shard struct {
	store *Store

	mu      sync.Mutex // guards all below
	closed  bool       // its entries have moved to another table
	arena   []byte
	head    int
	tail    int
	end     int
	wrapped bool
	blocks  int    // dead ones included
	passed  uint64 // blocks that the tail has passed, ever: the number of the one at the tail
	live    int

	buckets []uint32 // reference of the first block, a power of two of them
}

const firstBuckets = 16

func newShard(s *Store, size int64) *shard {
	return &shard{store: s, arena: s.memory.Alloc(int(size)), buckets: make([]uint32, firstBuckets)}
}

func (sh *shard) get(k Key, sum uint64, now int64, head, body []byte) (h, b []byte, ok, closed bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return head, body, false, true
	}
	e, at := sh.find(k, sum)
	if e == nil {
		return head, body, false, false
	}
	if e.until() < now {
		sh.drop(at)
		return head, body, false, false
	}
	e.touch()
	return append(head, e.head()...), append(body, e.body()...), true, false
}

// put writes an entry; with keep an entry that is there already stays.
func (sh *shard) put(k Key, sum uint64, e *Entry, now int64, keep bool) (stored, closed bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return false, true
	}
	if sh.store.purges.Load().since(e.Generation, k.Bytes) || sh.store.changed(sum).Load() != e.Changes {
		return false, false
	}
	size := blockSize(len(k.Bytes), len(e.Head), len(e.Body))
	if size > len(sh.arena)/2 {
		return false, false
	}
	heat := uint8(0)
	if old, at := sh.find(k, sum); old != nil {
		if keep {
			return false, false
		}
		heat = old.heat()
		sh.drop(at)
	}
	sh.trim(k, sum)
	at := sh.reserve(size, now)
	b := block(sh.arena[at : at+size])
	b.write(k, sum, e, size, heat)
	sh.link(at)
	sh.head = at + size
	sh.blocks++
	sh.live++
	sh.store.usage(e.Owner).add(1, int64(size))
	sh.growIndex()
	return true, false
}

// find is the entry of a key, and where it lies.
func (sh *shard) find(k Key, sum uint64) (block, int) {
	for ref := sh.buckets[sh.bucket(sum)]; ref != 0; {
		at := position(ref)
		b := sh.block(at)
		if b.sum() == sum && bytes.Equal(b.key(), k.Bytes) {
			return b, at
		}
		ref = b.next()
	}
	return nil, 0
}

// trim drops the oldest entry of a resource that has as many as it may.
func (sh *shard) trim(k Key, sum uint64) {
	n, oldest := 0, 0
	for ref := sh.buckets[sh.bucket(sum)]; ref != 0; {
		at := position(ref)
		b := sh.block(at)
		if b.sum() == sum && b.belongs(k.Bytes[:k.Group]) {
			n, oldest = n+1, at // new ones are linked in front
		}
		ref = b.next()
	}
	if n >= maxGroup {
		sh.drop(oldest)
	}
}

func (sh *shard) invalidate(sum uint64, resource []byte) (n int, closed bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.closed {
		return 0, true
	}
	for ref := sh.buckets[sh.bucket(sum)]; ref != 0; {
		at := position(ref)
		b := sh.block(at)
		ref = b.next()
		if b.sum() == sum && b.belongs(resource) {
			sh.drop(at)
			n++
		}
	}
	return n, false
}

// moveTo gives the live entries to another table, oldest first, and closes the
// shard.
func (sh *shard) moveTo(t *table, now int64) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.closed = true
	sh.each(func(at int) {
		b := sh.block(at)
		e := Entry{Owner: b.owner(), Head: b.head(), Body: b.body(), Until: b.until(),
			Generation: sh.store.Generation(), Changes: sh.store.changed(b.sum()).Load()}
		if len(t.shards) > 0 && e.Until >= now {
			t.shard(b.sum()).put(Key{Bytes: b.key(), Group: b.group()}, b.sum(), &e, now, true)
		}
		sh.drop(at)
	})
	sh.store.memory.Free(sh.arena)
	sh.arena, sh.buckets = nil, nil
}

// each calls f with the position of every live entry, from the oldest one on.
func (sh *shard) each(f func(at int)) {
	at := sh.tail
	for range sh.blocks {
		if sh.wrapped && at == sh.end {
			at = 0
		}
		b := sh.block(at)
		size := b.size()
		if b.isLive() {
			f(at)
		}
		at += size
	}
}
