//go:build !race

package store

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"

	"apiproxy.internal/dataplane/internal/offheap"
)

func TestAllocations(t *testing.T) {
	s := New(8<<20, 4096, heap)
	k := key("resource", "variant")
	e := Entry{Head: make([]byte, 300), Body: make([]byte, 2000), Until: 1, Generation: s.Generation()}
	s.Put(k, &e, 0)
	var head, body []byte
	for name, f := range map[string]func(){
		"hit":  func() { head, body, _ = s.Get(k, 0, head[:0], body[:0]) },
		"miss": func() { head, body, _ = s.Get(Key{Bytes: k.Bytes[:9], Group: 9}, 0, head[:0], body[:0]) },
		"put":  func() { s.Put(k, &e, 0) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times, want 0", name, got)
		}
	}
}

// A million entries are no objects of the collector.
func TestEntriesAreNoHeapObjects(t *testing.T) {
	objects := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapObjects
	}
	before := objects()
	s := New(256<<20, 4096, Memory{offheap.Alloc, offheap.Free})
	defer s.Resize(0, 0, 0)
	fill(s, 1_000_000, 100)
	if after := objects(); after > before+1000 {
		t.Errorf("%d heap objects more for %d entries", after-before, s.Total().Entries)
	}
	if n := s.Total().Entries; n < 900_000 {
		t.Errorf("only %d entries of 1,000,000 fit", n)
	}
}

func fill(s *Store, n, size int) {
	e := Entry{Head: make([]byte, 48), Body: make([]byte, size), Until: 1, Generation: s.Generation()}
	var k []byte
	for i := range n {
		k = strconv.AppendInt(append(k[:0], "provider\x00/path/"...), int64(i), 10)
		s.Put(Key{Bytes: k, Group: len(k)}, &e, 0)
	}
}

// However much goes through a store, the process grows by its size at most.
func TestMemoryIsBounded(t *testing.T) {
	const size = 64 << 20
	before := resident(t)
	s := New(size, 320<<10, Memory{offheap.Alloc, offheap.Free})
	if grown := resident(t) - before; grown > 2<<20 {
		t.Errorf("an empty store takes %d KiB", grown>>10)
	}
	fill(s, 130_000, 2000) // 4 times its size
	fill(s, 1000, 256<<10) // and 4 times again, large ones
	if grown := resident(t) - before; grown > size*13/10 || grown < size/2 {
		t.Errorf("the process has grown by %d KiB for a store of %d KiB", grown>>10, size>>10)
	}
	s.Resize(0, 0, 0)
	if grown := resident(t) - before; grown > 4<<20 {
		t.Errorf("a store of size 0 takes %d KiB", grown>>10)
	}
}

// resident is the anonymous memory of the process after a collection.
func resident(t *testing.T) int64 {
	debug.FreeOSMemory()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Skip("SKIP: no /proc here: ", err)
	}
	for line := range strings.Lines(string(status)) {
		if kb, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10
		}
	}
	t.Skip("SKIP: no RssAnon in /proc/self/status")
	return 0
}

func BenchmarkHit(b *testing.B) {
	for _, size := range []int{200, 2000, 32_000} {
		b.Run(fmt.Sprint(size, "B"), func(b *testing.B) {
			s := New(64<<20, 320<<10, Memory{offheap.Alloc, offheap.Free})
			defer s.Resize(0, 0, 0)
			const n = 1000
			fill(s, n, size)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				var k, head, body []byte
				for i := 0; pb.Next(); i++ {
					k = strconv.AppendInt(append(k[:0], "provider\x00/path/"...), int64(i%n), 10)
					var ok bool
					if head, body, ok = s.Get(Key{Bytes: k, Group: len(k)}, 0, head[:0], body[:0]); !ok {
						b.Error("missed")
						return
					}
				}
			})
		})
	}
}

func BenchmarkPut(b *testing.B) {
	s := New(64<<20, 320<<10, Memory{offheap.Alloc, offheap.Free})
	defer s.Resize(0, 0, 0)
	b.ReportAllocs()
	fill(s, b.N, 2000)
}

// BenchmarkCollection is what a collection costs with a million entries.
func BenchmarkCollection(b *testing.B) {
	s := New(256<<20, 4096, Memory{offheap.Alloc, offheap.Free})
	defer s.Resize(0, 0, 0)
	fill(s, 1_000_000, 100)
	for b.Loop() {
		runtime.GC()
	}
}

// BenchmarkPurge is a purge that looks at a million entries and is meant for none.
func BenchmarkPurge(b *testing.B) {
	s := New(256<<20, 4096, Memory{offheap.Alloc, offheap.Free})
	defer s.Resize(0, 0, 0)
	fill(s, 1_000_000, 100)
	other := []byte("other")
	for b.Loop() {
		s.Purge(func(key []byte) bool { return bytes.HasPrefix(key, other) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(s.Total().Entries), "ns/entry")
}
