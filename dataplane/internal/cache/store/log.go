package store

// Reinsertions at one Put may move at most so many times the bytes that it
// needs, plus a few small entries: nobody waits for a whole shard of popular
// entries to go round.
const (
	moveFactor = 8
	moveExtra  = 64 << 10
)

// reserve makes room for size bytes at the head of the log and returns where. An
// entry that has gone round and was read meanwhile is moved to the head, which
// leaves the gap as large as it was; any other one makes it larger.
func (sh *shard) reserve(size int, now int64) int {
	budget := moveFactor*size + moveExtra
	for {
		switch {
		case sh.blocks == 0:
			sh.head, sh.tail, sh.wrapped = 0, 0, false
			return 0
		case !sh.wrapped && len(sh.arena)-sh.head >= size:
			return sh.head
		case !sh.wrapped:
			sh.end, sh.head, sh.wrapped = sh.head, 0, true
		case sh.tail-sh.head >= size:
			return sh.head
		}
		budget -= sh.passTail(now, budget > 0)
	}
}

// passTail takes the oldest block out of the log or moves it to the head, and
// returns how many bytes it moved.
func (sh *shard) passTail(now int64, mayMove bool) (moved int) {
	at := sh.tail
	b := sh.block(at)
	size := b.size()
	switch {
	case !b.isLive():
	case sh.store.beingPurged(b.key()):
		sh.purged(at) // at the head the purge would not see it any more
	case mayMove && b.heat() > 0 && b.until() >= now:
		b.cool()
		sh.relink(at, sh.head)
		copy(sh.arena[sh.head:], b) // what it overwrites is its own old place at most
		sh.head += size
		sh.blocks++
		moved = size
	default:
		if b.until() >= now {
			sh.store.usage(b.owner()).evictions.Add(1)
		}
		sh.drop(at)
	}
	sh.blocks--
	sh.passed++
	sh.tail += size
	if sh.tail == sh.end {
		sh.tail, sh.wrapped = 0, false
	}
	return moved
}

// drop takes a live entry out of the index. Its bytes stay until the tail passes.
func (sh *shard) drop(at int) {
	b := sh.block(at)
	sh.relink(at, -1)
	b.kill()
	sh.live--
	sh.store.usage(b.owner()).add(-1, -int64(b.size()))
}

func (sh *shard) link(at int) {
	i := sh.bucket(sh.block(at).sum())
	sh.block(at).setNext(sh.buckets[i])
	sh.buckets[i] = reference(at)
}

// relink lets what refers to the block at from refer to the one at to, which
// takes its place; with a negative one, to what follows it.
func (sh *shard) relink(from, to int) {
	b := sh.block(from)
	ref := b.next()
	if to >= 0 {
		ref = reference(to)
	}
	i := sh.bucket(b.sum())
	if sh.buckets[i] == reference(from) {
		sh.buckets[i] = ref
		return
	}
	before := sh.block(position(sh.buckets[i]))
	for before.next() != reference(from) {
		before = sh.block(position(before.next()))
	}
	before.setNext(ref)
}

func (sh *shard) bucket(sum uint64) int { return int(sum) & (len(sh.buckets) - 1) }

// growIndex doubles the buckets when there are more entries than that, up to one
// for each 256 bytes of the arena.
func (sh *shard) growIndex() {
	if sh.live <= len(sh.buckets) || 2*len(sh.buckets) > len(sh.arena)/256 {
		return
	}
	old := sh.buckets
	sh.buckets = make([]uint32, 2*len(old))
	for _, ref := range old {
		// Turned around first, so that the newest entries stay in front.
		var reversed uint32
		for ref != 0 {
			b := sh.block(position(ref))
			next := b.next()
			b.setNext(reversed)
			reversed, ref = ref, next
		}
		for reversed != 0 {
			at := position(reversed)
			reversed = sh.block(at).next()
			sh.link(at)
		}
	}
}
