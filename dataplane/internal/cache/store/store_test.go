package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

var heap = Memory{Alloc: func(n int) []byte { return make([]byte, n) }, Free: func([]byte) {}}

func key(resource, variant string) Key {
	return Key{Bytes: []byte(resource + "\x00" + variant), Group: len(resource) + 1}
}

// check walks a whole store and holds every count against what is there.
func check(t interface{ Fatalf(string, ...any) }, s *Store) {
	var entries, size int64
	for _, sh := range s.table.Load().shards {
		sh.mu.Lock()
		live, linked, blocks := 0, 0, 0
		sh.each(func(at int) {
			b := sh.block(at)
			live++
			entries++
			size += int64(b.size())
			if found, where := sh.find(Key{Bytes: b.key(), Group: b.group()}, b.sum()); found == nil || where != at {
				t.Fatalf("the entry at %d is found at %d", at, where)
			}
		})
		for _, ref := range sh.buckets {
			for ; ref != 0; ref = sh.block(position(ref)).next() {
				linked++
			}
		}
		blocks = sh.blocks
		if live != sh.live || linked != live || blocks < live {
			t.Fatalf("%d live entries, %d counted, %d linked, %d blocks", live, sh.live, linked, blocks)
		}
		sh.mu.Unlock()
	}
	if got := s.Total(); got.Entries != entries || got.Bytes != size {
		t.Fatalf("usage %+v, want %d entries of %d bytes", got, entries, size)
	}
}

// Whatever is done to a store, it answers with the last value of a key or not at
// all, and its counts are right.
func TestStoreAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.SampledFrom([]int64{0, 5000, 20_000, 1 << 20, 4 << 20}).Draw(t, "size")
		s := New(size, 1000, heap)
		owners := []Owner{s.Owner("a"), s.Owner("b")}
		type value struct {
			head, body string
			until      int64
		}
		oracle := map[string]value{}
		now := int64(0)
		drawKey := func() Key {
			return key(fmt.Sprint("r", rapid.IntRange(0, 12).Draw(t, "resource")), fmt.Sprint("v", rapid.IntRange(0, 20).Draw(t, "variant")))
		}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3).Draw(t, "tick")
			switch rapid.IntRange(0, 9).Draw(t, "action") {
			case 0, 1, 2, 3, 4:
				k := drawKey()
				v := value{
					head:  rapid.StringMatching(`[a-z]{0,40}`).Draw(t, "head"),
					body:  string(bytes.Repeat([]byte{byte(now)}, rapid.IntRange(0, 3000).Draw(t, "body"))),
					until: now + rapid.Int64Range(0, 50).Draw(t, "until"),
				}
				e := Entry{Owner: owners[rapid.IntRange(0, 1).Draw(t, "owner")], Head: []byte(v.head), Body: []byte(v.body), Until: v.until, Generation: s.Generation(), Changes: s.Changes(k.Bytes[:k.Group])}
				if s.Put(k, &e, now) {
					oracle[string(k.Bytes)] = v
				} else if size >= 20_000 {
					t.Fatalf("an entry of %d bytes is refused", len(v.body))
				}
			case 5, 6:
				k := drawKey()
				head, body, ok := s.Get(k, now, nil, nil)
				v, known := oracle[string(k.Bytes)]
				if ok && (!known || string(head) != v.head || string(body) != v.body || v.until < now) {
					t.Fatalf("%q: %q and %d bytes, want %q and %d", k.Bytes, head, len(body), v.head, len(v.body))
				}
				if !ok {
					delete(oracle, string(k.Bytes))
				}
			case 7:
				k := drawKey()
				s.Invalidate(k.Bytes[:k.Group])
				for known := range oracle {
					if bytes.HasPrefix([]byte(known), k.Bytes[:k.Group]) {
						delete(oracle, known)
					}
				}
			case 8:
				generation := s.Generation()
				last := k20(drawKey())
				meant := func(key []byte) bool { return k20(Key{Bytes: key}) == last }
				want, before := count(s, meant), s.Total()
				if got := s.Purge(meant); got != want || s.Total().Entries != before.Entries-int64(want) || s.Total().Purged != before.Purged+uint64(want) {
					t.Fatalf("%d purged, want %d; %+v became %+v", got, want, before, s.Total())
				}
				for known := range oracle {
					if meant([]byte(known)) {
						delete(oracle, known)
					}
				}
				k := drawKey()
				stored := s.Put(k, &Entry{Until: now, Generation: generation, Changes: s.Changes(k.Bytes[:k.Group])}, now)
				if stored && meant(k.Bytes) {
					t.Fatalf("what was asked for before a purge is stored after it")
				} else if stored {
					oracle[string(k.Bytes)] = value{until: now}
				} else if !meant(k.Bytes) && size >= 20_000 {
					t.Fatalf("what a purge was not meant for is refused")
				}
			case 9:
				size = rapid.SampledFrom([]int64{0, 20_000, 1 << 20, 8 << 20}).Draw(t, "resize")
				s.Resize(size, 1000, now)
			}
			check(t, s)
		}
	})
}

// count is how many entries have a key of a kind.
func count(s *Store, of func(key []byte) bool) (n int) {
	for _, sh := range s.table.Load().shards {
		sh.mu.Lock()
		sh.each(func(at int) {
			if of(sh.block(at).key()) {
				n++
			}
		})
		sh.mu.Unlock()
	}
	return n
}

// k20 is the last byte of a key.
func k20(k Key) byte { return k.Bytes[len(k.Bytes)-1] }

// Without pressure nothing is forgotten, and a resize to any size that is large
// enough keeps everything.
func TestNothingIsLostWithoutNeed(t *testing.T) {
	s := New(8<<20, 4096, heap)
	o := s.Owner("p")
	put := func(i int) bool {
		return s.Put(key(fmt.Sprint("r", i), "v"), &Entry{Owner: o, Head: []byte("h"), Body: fmt.Appendf(nil, "body %d", i), Until: 1e9, Generation: s.Generation()}, 0)
	}
	const n = 10_000
	for i := range n {
		if !put(i) {
			t.Fatal("refused")
		}
	}
	for _, size := range []int64{8 << 20, 32 << 20, 6 << 20, 8 << 20} {
		s.Resize(size, 4096, 0)
		check(t, s)
		for i := range n {
			if _, body, ok := s.Get(key(fmt.Sprint("r", i), "v"), 0, nil, nil); !ok || string(body) != fmt.Sprint("body ", i) {
				t.Fatalf("size %d, entry %d: %q, %v", size, i, body, ok)
			}
		}
	}
	if got := s.Total().Entries; got != n || s.Usage(o).Entries != n || s.Total().Evictions != 0 {
		t.Errorf("%d entries, %d evictions", got, s.Total().Evictions)
	}
	// Smaller than the entries: the newest stay.
	s.Resize(1<<20, 4096, 0)
	check(t, s)
	if _, _, ok := s.Get(key(fmt.Sprint("r", n-1), "v"), 0, nil, nil); !ok {
		t.Error("the newest entry is gone")
	}
	s.Resize(0, 4096, 0)
	if s.Total() != (Usage{}) || put(1) {
		t.Error("a store of size 0 stores")
	}
}

// What is asked for again and again stays while a flood of keys that are asked
// for once goes through.
func TestPopularEntriesSurviveAScan(t *testing.T) {
	s := New(1<<20, 1024, heap)
	put := func(name string) {
		s.Put(key(name, ""), &Entry{Body: make([]byte, 500), Until: 1, Generation: s.Generation()}, 0)
	}
	hits := 0
	for i := range 100 {
		put(fmt.Sprint("popular", i))
	}
	const rounds = 200
	for round := range rounds {
		for i := range 100 {
			if _, _, ok := s.Get(key(fmt.Sprint("popular", i), ""), 0, nil, nil); ok {
				hits++
			}
		}
		for i := range 500 {
			put(fmt.Sprint("once", round, "-", i))
		}
	}
	if hits != rounds*100 || s.Total().Evictions == 0 {
		t.Errorf("%d of %d hits, %d evictions", hits, rounds*100, s.Total().Evictions)
	}
}

// A flood of variants of one resource takes no room from the others.
func TestVariantsOfAResourceAreFew(t *testing.T) {
	s := New(1<<20, 1024, heap)
	for i := range 1000 {
		s.Put(key("r", fmt.Sprint(i)), &Entry{Until: 1, Generation: s.Generation()}, 0)
	}
	if got := s.Total().Entries; got != maxGroup {
		t.Errorf("%d variants, want %d", got, maxGroup)
	}
	for i := 1000 - maxGroup; i < 1000; i++ {
		if _, _, ok := s.Get(key("r", fmt.Sprint(i)), 0, nil, nil); !ok {
			t.Errorf("variant %d of the newest is gone", i)
		}
	}
	if n := s.Invalidate([]byte("r\x00")); n != maxGroup || s.Total().Entries != 0 {
		t.Errorf("%d invalidated, %d left", n, s.Total().Entries)
	}
	check(t, s)
}

// An entry may be as large as the promise says, and is refused beyond the half
// of a shard.
func TestLargeEntries(t *testing.T) {
	const largest = 320 << 10
	s := New(64<<20, largest, heap)
	body := make([]byte, largest-200)
	binary.LittleEndian.PutUint64(body, 42)
	for i := range 1000 {
		if !s.Put(key(fmt.Sprint(i), ""), &Entry{Body: body, Until: 1, Generation: s.Generation()}, 0) {
			t.Fatal("refused")
		}
	}
	check(t, s)
	if used := s.Total().Bytes; used < 40<<20 || used > 64<<20 {
		t.Errorf("%d bytes used of 64 MiB", used)
	}
	if s.Put(key("x", ""), &Entry{Body: make([]byte, 64<<20), Until: 1, Generation: s.Generation()}, 0) {
		t.Error("an entry as large as the store is stored")
	}
}

// An entry that nobody can use any more is not found, makes room without being
// counted as evicted, and does not go round again.
func TestExpiredEntries(t *testing.T) {
	s := New(1<<20, 1024, heap)
	k := key("r", "")
	s.Put(k, &Entry{Until: 10, Generation: s.Generation()}, 0)
	if _, _, ok := s.Get(k, 10, nil, nil); !ok {
		t.Error("not found in its last moment")
	}
	if _, _, ok := s.Get(k, 11, nil, nil); ok || s.Total().Entries != 0 {
		t.Error("found after its time")
	}
	for i := range 5000 {
		s.Put(key(fmt.Sprint(i), ""), &Entry{Body: make([]byte, 500), Until: int64(i), Generation: s.Generation()}, int64(i))
	}
	if s.Total().Evictions != 0 {
		t.Errorf("%d evictions", s.Total().Evictions)
	}
}

// What was asked for before its resource was invalidated is not stored.
func TestInvalidateOutlivesTheQuestion(t *testing.T) {
	s := New(1<<20, 1024, heap)
	k := key("r", "v")
	e := Entry{Until: 1, Generation: s.Generation(), Changes: s.Changes(k.Bytes[:k.Group])}
	s.Invalidate(k.Bytes[:k.Group])
	if s.Put(k, &e, 0) {
		t.Error("stored although it was asked for before")
	}
	e.Changes = s.Changes(k.Bytes[:k.Group])
	if !s.Put(k, &e, 0) {
		t.Error("refused although it was asked for after")
	}
	s.Resize(2<<20, 1024, 0)
	if _, _, ok := s.Get(k, 0, nil, nil); !ok {
		t.Error("lost while the store moved")
	}
}
