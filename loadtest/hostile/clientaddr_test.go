package hostile

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// What a client says about its address moves it into another bucket only if a
// trusted peer says it. Five requests fit into a bucket, and none comes back
// within the test.
func TestClientAddress(t *testing.T) {
	const bucket = 5
	trusting := "proxy: {trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}\n"
	random := func(rnd *rand.Rand) string {
		return netip.AddrFrom4([4]byte{203, byte(rnd.Uint32()), byte(rnd.Uint32()), byte(rnd.Uint32())}).String()
	}
	for _, row := range []struct {
		name, more string
		requests   int
		fields     func(rnd *rand.Rand, i int) string
		buckets    int    // that the requests fall into
		client     string // of every log line; empty = not looked at
	}{
		{"random X-Forwarded-For from a stranger", "", 1000,
			func(rnd *rand.Rand, _ int) string { return "X-Forwarded-For: " + random(rnd) + "\r\n" }, 1, "127.0.0.1"},
		{"random X-Real-IP and Forwarded from a stranger", "", 200,
			func(rnd *rand.Rand, _ int) string {
				return "X-Real-IP: " + random(rnd) + "\r\nForwarded: for=" + random(rnd) + "\r\n"
			}, 1, "127.0.0.1"},
		{"random inventions left of what the trusted peer wrote", trusting, 200,
			func(rnd *rand.Rand, _ int) string { return "X-Forwarded-For: " + random(rnd) + ", 192.0.2.7\r\n" }, 1, "192.0.2.7"},
		{"the same in two lines, with a trusted hop between", trusting, 200,
			func(rnd *rand.Rand, _ int) string {
				return "X-Forwarded-For: " + random(rnd) + ", 192.0.2.7\r\nx-forwarded-for: 10.1.2.3\r\n"
			}, 1, "192.0.2.7"},
		{"forty clients of a trusted peer", trusting, 200,
			func(_ *rand.Rand, i int) string { return fmt.Sprintf("X-Forwarded-For: 192.0.2.%d\r\n", i%40) }, 40, ""},
		{"what is no address counts for the peer", trusting, 200,
			func(rnd *rand.Rand, _ int) string { return fmt.Sprintf("X-Forwarded-For: %x\r\n", rnd.Uint64()) }, 1, "127.0.0.1"},
		{"a trailing comma counts for the peer", trusting, 20,
			func(rnd *rand.Rand, _ int) string { return "X-Forwarded-For: " + random(rnd) + ",\r\n" }, 1, "127.0.0.1"},
		{"zones count for the peer", trusting, 20,
			func(_ *rand.Rand, i int) string { return fmt.Sprintf("X-Forwarded-For: fe80::1%%eth%d\r\n", i) }, 1, "127.0.0.1"},
		{"two X-Real-IP count for the peer", trusting, 20,
			func(rnd *rand.Rand, _ int) string {
				return "X-Real-IP: " + random(rnd) + "\r\nX-Real-IP: " + random(rnd) + "\r\n"
			}, 1, "127.0.0.1"},
		{"addresses of one IPv6 network of 64 bits", trusting, 1000,
			func(rnd *rand.Rand, _ int) string {
				return fmt.Sprintf("X-Forwarded-For: 2001:db8:0:1:%x::%x\r\n", rnd.IntN(0xffff)+1, rnd.IntN(0xffff)+1)
			}, 1, ""},
		{"addresses of forty such networks", trusting, 200,
			func(_ *rand.Rand, i int) string { return fmt.Sprintf("X-Forwarded-For: 2001:db8:0:%x::1\r\n", i%40) }, 40, ""},
		{"spellings of one IPv6 address", trusting, 20, func(_ *rand.Rand, i int) string {
			return "X-Forwarded-For: " + []string{"2001:db8::1", "2001:DB8:0:0::1", "[2001:db8::1]", "[2001:0db8:0000::0001]:443"}[i%4] + "\r\n"
		}, 1, "2001:db8::1"},
		{"an IPv4 address, mapped and not, with and without a port", trusting, 20, func(_ *rand.Rand, i int) string {
			return "X-Forwarded-For: " + []string{"192.0.2.7", "::ffff:192.0.2.7", "::FFFF:c000:207", "192.0.2.7:80", "[::ffff:192.0.2.7]:80"}[i%5] + "\r\n"
		}, 1, "192.0.2.7"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, row.more+fmt.Sprintf("rate_limit: {per_ip: {rate: 1/h, burst: %d}}", bucket))
			rnd := rand.New(rand.NewPCG(7, 7))
			statuses := map[int]int{}
			for i := range row.requests {
				statuses[status(b.get("/api/x", row.fields(rnd, i)))]++
			}
			if want := row.buckets * bucket; statuses[200] != want || statuses[200]+statuses[429] != row.requests {
				t.Errorf("statuses %v, want %d times 200 and 429 else", statuses, want)
			}
			if seen, faults := b.origin.take(); len(seen) != statuses[200] || len(faults) > 0 {
				t.Errorf("the origin saw %d requests and %q", len(seen), faults)
			}
			for _, l := range b.accessLog() {
				if row.client != "" && l.ClientIP != row.client {
					t.Fatalf("logged as a request of %s, want %s", l.ClientIP, row.client)
				}
			}
		})
	}
}
