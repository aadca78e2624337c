//go:build !race

package limit

import (
	"net/netip"
	"testing"
)

func TestAllocations(t *testing.T) {
	var now int64
	p := Params{10, 1, 2}
	b := NewBucket(0, p)
	share := NewShare(0, make(chan struct{}, 1))
	share.End(Never)
	share.Reshape(0, Share{Rate: 1e10, Room: 2e6, Low: 1e6}, 0)
	table := NewAddrTable(0, p, 64, 1)
	v6 := netip.MustParseAddr("2001:db8::1%eth0")
	policy, d := NewPolicy("zerion", p), b.Peek(0)
	dst := make([]byte, 0, 64)
	for name, f := range map[string]func(){
		"Bucket.Take":            func() { now += ms; b.Take(now) },
		"Bucket.Refund":          func() { b.Refund(1) },
		"Bucket.Take of a share": func() { now += ms; share.Take(now); share.Rearm() },
		"Bucket.Withdraw":        func() { share.Withdraw(now, 1) },
		"Bucket.Counts":          func() { share.Counts() },
		"Bucket.Peek":            func() { b.Peek(now) },
		"AddrTable.Take, IPv4":   func() { now += ms; table.Take(now, v4(int(now)/10)) },
		"AddrTable.Take, IPv6":   func() { now += ms; table.Take(now, v6) },
		"AddrTable.Refund":       func() { _, ref := table.Take(now, v6); table.Refund(ref) },
		"AddrTable.Configure":    func() { now += ms; table.Configure(now, Params{10, 1, 2 + now%2}, 64) },
		"Policy.AppendRateLimit": func() { policy.AppendRateLimit(dst, d) },
	} {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times, want 0", name, got)
		}
	}
}
