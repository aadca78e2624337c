//go:build !race

package clientaddr

import (
	"net/netip"
	"testing"
)

func TestAllocations(t *testing.T) {
	trusted := trust("10.0.0.0/8")
	peer := netip.MustParseAddr("::ffff:10.0.0.1")
	for _, line := range []string{
		"A: 1",
		"X-Forwarded-For: 198.51.100.1:80, [2001:db8::1], 10.2.3.4, ::ffff:10.2.3.4",
		"X-Forwarded-For: [2001:db8::1]:4711",
		"X-Real-IP: 198.51.100.1",
	} {
		fields := parseBlock(t, line)
		if got := testing.AllocsPerRun(100, func() { Derive(peer, trusted, fields) }); got != 0 {
			t.Errorf("%s: %v allocations, want 0", line, got)
		}
	}
}
