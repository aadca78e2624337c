package limit

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

// v4 is the i-th address of 10.0.0.0/8.
func v4(i int) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], 10<<24|uint32(i))
	return netip.AddrFrom4(b)
}

// live counts the entries that are not full at now.
func (t *AddrTable) live(now int64) (n int) {
	for i := range t.stripes {
		st := &t.stripes[i]
		earned, _ := st.read(now)
		for _, set := range st.sets {
			for _, s := range set {
				if s.tag != 0 && s.spent > st.full(earned) {
					n++
				}
			}
		}
	}
	return n
}

// The specification of the table: which addresses share a bucket.
func TestAddrTableKeys(t *testing.T) {
	for _, tt := range []struct {
		first, second string
		prefix        int
		shared        bool
	}{
		// an address is itself
		{"192.0.2.1", "192.0.2.1", 64, true},
		{"192.0.2.1", "192.0.2.2", 64, false},
		// IPv4 in IPv6 is IPv4, whatever the prefix
		{"192.0.2.1", "::ffff:192.0.2.1", 64, true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", 0, false},
		// IPv6 counts by its prefix
		{"2001:db8::1", "2001:db8::ffff:1", 64, true},
		{"2001:db8::1", "2001:db8:0:1::1", 64, false},
		{"2001:db8::1", "2001:db8:0:1::1", 63, true},
		{"2001:db8::1", "2001:db8::2", 128, false},
		{"2001:db8::1", "2001:db9::1", 0, true},
		// prefixes outside are the nearest one inside
		{"2001:db8::1", "2001:db9::1", -1, true},
		{"2001:db8::1", "2001:db8::2", 1000, false},
		// zones do not count
		{"fe80::1%eth0", "fe80::1%eth1", 128, true},
		// an IPv4 address is no IPv6 address of the same bits
		{"0.0.0.0", "::", 128, false},
	} {
		table := NewAddrTable(0, Params{1, 1, 1}, tt.prefix, 1)
		table.Take(0, netip.MustParseAddr(tt.first))
		if d, _ := table.Take(0, netip.MustParseAddr(tt.second)); d.OK == tt.shared {
			t.Errorf("%s and %s by /%d: second admitted = %v", tt.first, tt.second, tt.prefix, d.OK)
		}
	}
	table := NewAddrTable(0, Params{1, 1, 1}, 64, 1)
	if d, _ := table.Take(0, netip.Addr{}); !d.OK {
		t.Error("the zero Addr has no bucket")
	}
}

// The specification of one address: what the table answers, moment by moment.
func TestAddrTable(t *testing.T) {
	alice, bob := v4(1), v4(2)
	table := NewAddrTable(0, Params{10, 1, 2}, 64, 1)
	take := func(addr netip.Addr, now int64, want Decision) Ref {
		t.Helper()
		got, ref := table.Take(now, addr)
		if got != want {
			t.Errorf("at %d ms: got %+v, want %+v", now/ms, got, want)
		}
		if got.OK == (ref == Ref{}) {
			t.Errorf("at %d ms: OK %v with ref %v", now/ms, got.OK, ref)
		}
		return ref
	}
	// the burst goes at once, then one token each 100 ms
	take(alice, 0, Decision{true, 1, 0, 100 * ms})
	ref := take(alice, 0, Decision{true, 0, 100 * ms, 200 * ms})
	none := take(alice, 0, Decision{false, 0, 100 * ms, 200 * ms})
	// nobody else is concerned
	take(bob, 0, Decision{true, 1, 0, 100 * ms})
	// what was not used comes back, once for each ref; the zero Ref gives nothing
	table.Refund(none)
	table.Refund(ref)
	take(alice, 0, Decision{true, 0, 100 * ms, 200 * ms})
	take(alice, 0, Decision{false, 0, 100 * ms, 200 * ms})
	// an earlier clock finds less
	take(alice, 100*ms, Decision{true, 0, 100 * ms, 200 * ms})
	take(alice, 50*ms, Decision{false, 0, 150 * ms, 250 * ms})
	// a refund never exceeds the burst
	for range 5 {
		table.Refund(ref)
	}
	take(alice, 100*ms, Decision{true, 1, 0, 100 * ms})
	// a pause fills the bucket
	take(alice, 9000*ms, Decision{true, 1, 0, 100 * ms})

	// new parameters keep the level, up and down
	table.Configure(9000*ms, Params{1e9, 1, 5}, 64)
	take(alice, 9000*ms, Decision{true, 0, 1, 5})
	table.Configure(9000*ms, Params{1, 1, 5}, 64)
	take(alice, 9000*ms, Decision{false, 0, 1000 * ms, 5000 * ms})
	take(alice, 10000*ms, Decision{true, 0, 1000 * ms, 5000 * ms})
	// an unknown address is full
	take(v4(3), 10000*ms, Decision{true, 4, 0, 1000 * ms})
	// the zero Params refuse all, known or not
	table.Configure(10000*ms, Params{}, 64)
	take(alice, 10000*ms, Decision{false, 0, Never, 0})
	take(v4(4), 10000*ms, Decision{false, 0, Never, 0})
	// and refill nobody
	table.Configure(10000*ms, Params{1, 1, 5}, 64)
	take(alice, 10000*ms, Decision{false, 0, 1000 * ms, 5000 * ms})
}

// Another prefix makes IPv6 addresses new ones and leaves IPv4 as it was.
func TestAddrTableConfigurePrefix(t *testing.T) {
	p := Params{1, 1, 1}
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	table := NewAddrTable(0, p, 64, 1)
	table.Take(0, a)
	table.Take(0, v4(1))
	table.Configure(0, p, 128)
	for addr, want := range map[netip.Addr]bool{a: true, b: true, v4(1): false} {
		if d, _ := table.Take(0, addr); d.OK != want {
			t.Errorf("%v: admitted = %v, want %v", addr, d.OK, want)
		}
	}
}

// A thousand flips at one moment refill nobody.
func TestAddrTableFlippedDoesNotRefill(t *testing.T) {
	flips := []Params{{10, 1, 9}, {1e9, 1, 1000}, {1, 3600, 2}, {}}
	table := NewAddrTable(0, flips[0], 64, 1)
	for range 9 {
		table.Take(0, v4(1))
	}
	for i := range 1000 {
		table.Configure(0, flips[i%len(flips)], 64)
		if d, _ := table.Take(0, v4(1)); d.OK {
			t.Fatalf("flip %d refilled an empty bucket", i)
		}
	}
}

// Racing with changes, an address gets no more than burst and earnings.
func TestAddrTableRace(t *testing.T) {
	rates := []Params{{1e6, 1, 50}, {1e9, 50, 50}, {0, 1, 50}, {7, 60, 50}}
	var (
		clock  atomic.Int64
		counts [8]atomic.Int64
		done   atomic.Bool
		takers sync.WaitGroup
	)
	table, o := NewAddrTable(0, rates[0], 64, 1), newOracle(rates[0])
	for range 3 {
		takers.Go(func() {
			for i := 0; !done.Load(); i++ {
				n := i % len(counts)
				if d, ref := table.Take(clock.Add(7), v4(n)); d.OK && i%3 == 0 {
					table.Refund(ref)
				} else if d.OK {
					counts[n].Add(1)
				}
			}
		})
	}
	for i := range 500 {
		// Stripes change one after the other: a moment that is over for all.
		now, p := clock.Load(), rates[i%len(rates)]
		table.Configure(now, p, 64)
		o.configure(now, p)
	}
	done.Store(true)
	takers.Wait()
	for i := range counts {
		// Takers were ahead of the last changes: until their debt is paid.
		now := clock.Load()
		d, _ := table.Take(now, v4(i))
		o.advance(now + d.RetryAfter)
		most, _ := o.earned.Float64()
		if got := float64(counts[i].Load()); got > 50+most+1 {
			t.Errorf("address %d: admitted %v of %v", i, got, 50+most)
		}
	}
	if got := table.Evicted(); got != 0 {
		t.Errorf("%d evictions among 8 addresses", got)
	}
}

// When a set overflows, whoever has the most tokens left has to go: heavy
// hitters stay limited although a million others pass by.
func TestAddrTableEviction(t *testing.T) {
	const crowd, heavies = 1_000_000, 100
	p := Params{1, 3600, 20}
	table := NewAddrTable(0, p, 64, 1) // 2048 slots: 500 addresses for each
	for i := range heavies {
		for range p.Burst {
			table.Take(0, v4(i))
		}
	}
	if table.Evicted() != 0 {
		t.Fatalf("%d evictions among %d addresses", table.Evicted(), heavies)
	}
	for i := range crowd {
		if d, _ := table.Take(int64(i), v4(heavies+i)); !d.OK {
			t.Fatalf("address %d was refused its first request", i)
		}
	}
	for i := range heavies {
		if d, _ := table.Take(crowd, v4(i)); d.OK {
			t.Errorf("heavy hitter %d was forgotten", i)
		}
	}
	if got := table.Evicted(); got < crowd-2048 {
		t.Errorf("%d evictions, want %d or more", got, crowd-2048)
	}
	// Refunds of the evicted go nowhere, and full buckets are free slots.
	evicted := table.Evicted()
	for i := range crowd {
		table.Refund(Ref{table.tag(v4(heavies + i))})
	}
	later := crowd + 20*3600*int64(second)
	if got := table.live(later); got != 0 {
		t.Errorf("%d entries are live after all have filled up", got)
	}
	table.Take(later, v4(0))
	if table.Evicted() != evicted {
		t.Error("a full bucket counted as evicted")
	}
}

// A growing table forgets nobody and stays as small as it can.
func TestAddrTableGrows(t *testing.T) {
	const crowd = 100_000
	p := Params{1, 3600, 2}
	table := NewAddrTable(0, p, 64, DefaultSlots)
	for i := range crowd {
		table.Take(0, v4(i))
		if i%2 == 0 {
			table.Take(0, v4(i))
		}
	}
	for i := range crowd {
		if d, _ := table.Take(0, v4(i)); d.OK != (i%2 == 1) {
			t.Fatalf("address %d: third or second request admitted = %v", i, d.OK)
		}
	}
	var used int
	for i := range table.stripes {
		used += len(table.stripes[i].sets)
	}
	if slots := used * len(set{}); slots > 6*crowd {
		t.Errorf("%d slots for %d addresses", slots, crowd)
	}
	if table.Evicted() != 0 {
		t.Errorf("%d evictions in a table with room", table.Evicted())
	}
	t.Logf("%d sets for %d addresses", used, crowd)
}

// The promise: a million live addresses in 64 MiB, next to none evicted.
func TestAddrTableMillion(t *testing.T) {
	const million = 1_000_000
	table := NewAddrTable(0, Params{100, 1, 200}, 64, DefaultSlots)
	if got := unsafe.Sizeof(stripe{}) % 128; got != 0 {
		t.Errorf("a stripe is %d bytes away from whole cache lines", got)
	}
	for i := range million {
		table.Take(0, v4(i))
	}
	size := unsafe.Sizeof(*table)
	for i := range table.stripes {
		size += uintptr(len(table.stripes[i].sets)) * unsafe.Sizeof(set{})
	}
	if size > 64<<20 {
		t.Errorf("the table takes %d bytes", size)
	}
	if got := table.Evicted(); got > million/1000 {
		t.Errorf("%d of a million were evicted", got)
	}
	if got := table.live(0); got+int(table.Evicted()) != million {
		t.Errorf("%d live, %d evicted of a million", got, table.Evicted())
	}
	t.Logf("%.1f MiB, %d evicted", float64(size)/(1<<20), table.Evicted())
}
