package store

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"
)

// A purge that lets others go on between any two blocks leaves nothing behind of
// what it was meant for, wherever the log has gone meanwhile, and forgets nothing
// else.
func TestPurgeWhileTheLogMoves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := New(rapid.SampledFrom([]int64{5000, 9000, 20_000}).Draw(t, "size"), 100, heap)
		sh := s.table.Load().shards[0]
		meant := func(key []byte) bool { return key[len(key)-1]%2 == 0 }
		old := s.Generation()
		do := func(generation uint64) {
			k := key(fmt.Sprint("r", rapid.IntRange(0, 9).Draw(t, "resource")), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "variant")))
			switch rapid.IntRange(0, 4).Draw(t, "action") {
			case 0, 1:
				s.Put(k, &Entry{Body: make([]byte, rapid.IntRange(0, 900).Draw(t, "body")), Until: 1, Generation: generation, Changes: s.Changes(k.Bytes[:k.Group])}, 0)
			case 2, 3:
				s.Get(k, 0, nil, nil)
			case 4:
				s.Invalidate(k.Bytes[:k.Group])
			}
		}
		for range rapid.IntRange(0, 100).Draw(t, "before") {
			do(old)
		}
		s.purges.Store(s.purges.Load().with(meant)) // as Purge begins
		w := sh.walk()
		for more := true; more; {
			_, more = sh.purgeSome(&w, meant, rapid.IntRange(1, 5).Draw(t, "blocks"))
			for range rapid.SampledFrom([]int{0, 1, 5, 40}).Draw(t, "between") {
				do(s.Generation())
			}
			check(t, s)
		}
		s.purged.Add(1)
		if n := count(s, meant); n != 0 {
			t.Fatalf("%d entries are left", n)
		}
		if e := (Entry{Until: 1, Generation: old, Changes: s.Changes([]byte("r\x00"))}); s.Put(key("r", "2"), &e, 0) || !s.Put(key("r", "3"), &e, 0) {
			t.Fatalf("an answer that was asked for before a purge is kept or not, and it should be the other way round")
		}
		if !s.Put(key("r", "2"), &Entry{Until: 1, Generation: s.Generation(), Changes: s.Changes([]byte("r\x00"))}, 0) {
			t.Fatalf("an answer that was asked for after a purge is refused")
		}
	})
}

// While answers are fetched, confirmed and read by many, a purge that has returned
// leaves no answer that the provider gave before the purge.
func TestPurgeAgainstFetches(t *testing.T) {
	s := New(200_000, 1000, heap)
	var truth atomic.Uint64 // what the provider answers now
	stop := make(chan struct{})
	var fetches sync.WaitGroup
	for f := range 4 {
		fetches.Go(func() {
			for i := f; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := key(fmt.Sprint("r", i%200), "v")
				generation := s.Generation()
				_, body, found := s.Get(k, 0, nil, nil)
				if !found || i%7 == 0 { // else the copy is confirmed, and stored again
					body = binary.BigEndian.AppendUint64(nil, truth.Load())
					body = append(body, make([]byte, i%900)...)
				}
				s.Put(k, &Entry{Body: body, Until: 1, Generation: generation}, 0)
			}
		})
	}
	for range 300 {
		now := truth.Add(1)
		last := byte('0' + now%10)
		meant := func(key []byte) bool { return bytes.HasSuffix(key, []byte{last, 0, 'v'}) }
		s.Purge(meant)
		for i := range 200 {
			k := key(fmt.Sprint("r", i), "v")
			if !meant(k.Bytes) {
				continue
			}
			if _, body, found := s.Get(k, 0, nil, nil); found && binary.BigEndian.Uint64(body) < now {
				t.Fatalf("%q was purged and has answer %d, the provider's is %d", k.Bytes, binary.BigEndian.Uint64(body), now)
			}
		}
	}
	close(stop)
	fetches.Wait()
	check(t, s)
}

// Whoever slept through more purges than are remembered is not trusted.
func TestForgottenPurges(t *testing.T) {
	s := New(20_000, 100, heap)
	never := func([]byte) bool { return false }
	e := Entry{Until: 1, Generation: s.Generation()}
	for range keptPurges {
		s.Purge(never)
	}
	if !s.Put(key("r", ""), &e, 0) {
		t.Errorf("refused after %d purges of others", keptPurges)
	}
	s.Purge(never)
	if s.Put(key("r", ""), &e, 0) {
		t.Errorf("stored after %d purges", keptPurges+1)
	}
}

// A purge of an empty store, and of one of size 0, is one of nothing.
func TestPurgeOfNothing(t *testing.T) {
	all := func([]byte) bool { return true }
	for _, size := range []int64{0, 20_000} {
		s := New(size, 100, heap)
		if n := s.Purge(all); n != 0 {
			t.Errorf("%d purged", n)
		}
	}
}
