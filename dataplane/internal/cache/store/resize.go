package store

// Shards are large enough for four of the largest entries, and there are no more
// of them than keep 64 cores apart.
const (
	maxShards    = 64
	minShardSize = 1 << 20
	maxShardSize = 1 << 36 // what a link of 32 bits reaches, in units of 16 bytes
)

// indexShare is the part of a store's size that is kept for the index: 1/32.
// Buckets take at most 4 bytes for each 256 of a shard.
const indexShare = 32

// Resize changes the store's size, see New. Entries move to the new memory as
// far as they fit, the newest last, so that they are the ones that stay. Each
// shard is locked while it moves; others go on.
func (s *Store) Resize(size, largest, now int64) {
	n, each := shape(size, largest)
	same := func(t *table) bool { return size == t.size && n == len(t.shards) }
	if same(s.table.Load()) {
		return // without waiting for a purge
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	old := s.table.Load()
	if same(old) {
		return
	}
	fresh := &table{size: size, shards: make([]*shard, n)}
	for i := range fresh.shards {
		fresh.shards[i] = newShard(s, each)
	}
	s.table.Store(fresh)
	for _, sh := range old.shards {
		sh.moveTo(fresh, now)
	}
}

// shape is the number of shards and the bytes of each.
func shape(size, largest int64) (n int, each int64) {
	size -= size / indexShare
	if size < 4096 {
		return 0, 0
	}
	least := max(minShardSize, 4*largest)
	for n = 1; n < maxShards && size/int64(2*n) >= least; n *= 2 {
	}
	each = min(size/int64(n), maxShardSize) &^ (unit - 1)
	return n, each
}
