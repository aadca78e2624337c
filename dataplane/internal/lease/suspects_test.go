package lease

import (
	"net/netip"
	"testing"

	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/shared/quota"
)

// The test vector of the SipHash paper: key 00..0f, message 00..0e has 15 bytes;
// this is the one of 16 bytes from the reference implementation's table.
func TestAddrHash(t *testing.T) {
	var key, message [16]byte
	for i := range key {
		key[i], message[i] = byte(i), byte(i)
	}
	if got := addrHash(key, netip.AddrFrom16(message), 128); got != 0x3f2acc7f57c29bdb {
		t.Errorf("%#x", got)
	}
	v4 := netip.MustParseAddr("192.0.2.1")
	if addrHash(key, v4, 64) != addrHash(key, netip.MustParseAddr("::ffff:192.0.2.1"), 64) {
		t.Error("a mapped address is another one")
	}
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if addrHash(key, a, 64) != addrHash(key, b, 64) || addrHash(key, a, 128) == addrHash(key, b, 128) {
		t.Error("the prefix does not count")
	}
}

// Who takes little is not reported; who takes much is, once, and is charged what
// the others admitted.
func TestSuspects(t *testing.T) {
	table := limit.NewAddrTable(0, limit.Params{Num: 100, Den: 1, Burst: 200}, 64, 1)
	s := NewSuspects([16]byte{9})
	heavy, light := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	take := func(addr netip.Addr, n int) (ok int) {
		for range n {
			if d, ref := table.Take(0, addr); d.OK {
				s.Note(addr, ref)
				ok++
			}
		}
		return ok
	}
	take(heavy, 100)
	take(light, 1)
	got := s.Report(nil, 100*quota.PerSecond, 2, 64)
	if len(got) != 1 || got[0].Taken != 100 {
		t.Fatalf("%+v", got)
	}
	if again := s.Report(nil, 100*quota.PerSecond, 2, 64); len(again) != 0 {
		t.Errorf("%+v", again)
	}
	// 60 are left of the cluster's 200, and 10 more were taken here since
	take(heavy, 10)
	s.Apply(0, table, []quota.Verdict{{Hash: got[0].Hash, Level: 60 * quota.Token}, {Hash: 0, Level: 0}})
	if n := take(heavy, 1000); n != 50 {
		t.Errorf("admitted %d of 50", n)
	}
	// a verdict never gives
	s.Apply(0, table, []quota.Verdict{{Hash: got[0].Hash, Level: 200 * quota.Token}})
	if n := take(heavy, 1000); n != 0 {
		t.Errorf("admitted %d", n)
	}
	if n := take(light, 1000); n != 199 {
		t.Errorf("the other address was charged: %d", n)
	}
}

// A flood of addresses does not push out the one that takes most, and a report
// stays short.
func TestSuspectsInAFlood(t *testing.T) {
	table := limit.NewAddrTable(0, limit.Params{Num: 1000, Den: 1, Burst: 100_000}, 64, limit.DefaultSlots)
	s := NewSuspects([16]byte{9})
	heavy := netip.MustParseAddr("192.0.2.1")
	heavyHash := addrHash(s.key, heavy, 64)
	reported := int64(0)
	for tick := range 20 {
		for i := range 2000 {
			addr := netip.AddrFrom4([4]byte{10, byte(tick), byte(i >> 8), byte(i)})
			_, ref := table.Take(0, addr)
			s.Note(addr, ref)
			if i%40 == 0 {
				_, ref := table.Take(0, heavy)
				s.Note(heavy, ref)
			}
		}
		report := s.Report(nil, 1000*quota.PerSecond, 10, 64)
		if len(report) > quota.MaxSuspects {
			t.Fatalf("%d suspects", len(report))
		}
		for _, x := range report {
			if x.Hash == heavyHash {
				reported += x.Taken
			}
		}
	}
	if reported < 900 {
		t.Errorf("reported %d of 1000", reported)
	}
}
