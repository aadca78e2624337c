package store

import "runtime"

const (
	// purgeStep is how many blocks a purge looks at before it lets others have the
	// shard: some 20 us of work.
	purgeStep = 512
	// keptPurges is how many purges a request may sleep through. What was asked for
	// before more of them is not stored, whatever they were meant for.
	keptPurges = 64
)

// purges are the latest ones that have begun; immutable. Of all of them only the
// last may be running.
type purges struct {
	begun uint64
	last  []func(key []byte) bool // at most keptPurges, oldest first
}

// with is p with one more purge.
func (p *purges) with(match func(key []byte) bool) *purges {
	last := append([]func(key []byte) bool{}, p.last[max(0, len(p.last)-keptPurges+1):]...)
	return &purges{begun: p.begun + 1, last: append(last, match)}
}

// since reports whether a key is meant by a purge that had not ended at that
// generation.
func (p *purges) since(generation uint64, key []byte) bool {
	missed := p.begun - generation
	if missed > uint64(len(p.last)) {
		return true
	}
	for _, match := range p.last[uint64(len(p.last))-missed:] {
		if match(key) {
			return true
		}
	}
	return false
}

// beingPurged reports whether a key is meant by the purge that is running.
func (s *Store) beingPurged(key []byte) bool {
	generation := s.Generation() // before the purges, of which it must not be ahead
	p := s.purges.Load()
	return p.begun != generation && p.since(generation, key)
}

// Purge forgets the entries whose keys match and returns how many they were, but
// for those that made room meanwhile. It reads every key, a few hundred at a time:
// others wait no longer than that. match is called by several goroutines at once,
// also after Purge has returned; it must not keep the key, nor call the store.
//
// When it returns no entry matches that was asked for before. One found by a
// request that was looking at the same time cannot come back either: see Generation.
func (s *Store) Purge(match func(key []byte) bool) (n int) {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.purges.Store(s.purges.Load().with(match))
	for _, sh := range s.table.Load().shards {
		n += sh.purge(match)
	}
	s.purged.Add(1)
	return n
}

// purge goes through the blocks that there are when it begins. Those that are
// written meanwhile are checked by put, and those that move by passTail.
func (sh *shard) purge(match func(key []byte) bool) (n int) {
	w := sh.walk()
	for more := true; more; runtime.Gosched() {
		var dropped int
		dropped, more = sh.purgeSome(&w, match, purgeStep)
		n += dropped
	}
	return n
}

// purged drops an entry that a purge is meant for.
func (sh *shard) purged(at int) {
	sh.store.usage(sh.block(at).owner()).purged.Add(1)
	sh.drop(at)
}

// walk is a place in a log that goes on changing. Blocks are numbered as they are
// written, see shard.passed.
type walk struct {
	next, end uint64 // numbers of blocks
	at        int    // where next begins, unless the tail has passed it
}

// walk is one over all blocks that there are now.
func (sh *shard) walk() walk {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return walk{next: sh.passed, at: sh.tail, end: sh.passed + uint64(sh.blocks)}
}

// purgeSome goes on with a walk for a number of blocks at most.
func (sh *shard) purgeSome(w *walk, match func(key []byte) bool, blocks int) (n int, more bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if w.next <= sh.passed {
		w.next, w.at = sh.passed, sh.tail
	}
	for range blocks {
		if w.next >= w.end {
			return n, false
		}
		if sh.wrapped && w.at == sh.end {
			w.at = 0
		}
		b := sh.block(w.at)
		if b.isLive() && match(b.key()) {
			sh.purged(w.at)
			n++
		}
		w.next++
		w.at += b.size()
	}
	return n, true
}
