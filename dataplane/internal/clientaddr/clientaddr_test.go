package clientaddr

import (
	"net/netip"
	"testing"

	"apiproxy.internal/dataplane/internal/http1"
)

func trust(prefixes ...string) (t Trusted) {
	for _, p := range prefixes {
		t = append(t, netip.MustParsePrefix(p))
	}
	return t
}

// parseBlock reads header lines as a request brings them.
func parseBlock(t testing.TB, lines ...string) []http1.Field {
	t.Helper()
	block := ""
	for _, line := range lines {
		block += line + "\r\n"
	}
	fields, err := http1.ParseFields(nil, []byte(block))
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestDerive(t *testing.T) {
	trusted := trust("10.0.0.0/8", "2001:db8:ffff::/48", "127.0.0.1/32")
	const proxy, stranger = "10.0.0.1", "192.0.2.9"
	for _, tc := range []struct {
		peer   string
		fields []string
		want   string
	}{
		// Nothing said: the peer.
		{proxy, nil, proxy},
		{stranger, nil, stranger},
		// A stranger may say what he likes.
		{stranger, []string{"X-Forwarded-For: 198.51.100.1"}, stranger},
		{stranger, []string{"X-Real-IP: 198.51.100.1"}, stranger},
		{stranger, []string{"X-Forwarded-For: 10.0.0.7, 127.0.0.1"}, stranger},
		// Forwarded (RFC 7239) is not believed of anybody.
		{proxy, []string{"Forwarded: for=198.51.100.1"}, proxy},

		// The rightmost untrusted hop, whatever stands left of it.
		{proxy, []string{"X-Forwarded-For: 198.51.100.1"}, "198.51.100.1"},
		{proxy, []string{"x-forwarded-for: 203.0.113.1, 198.51.100.1"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: 203.0.113.1,198.51.100.1 ,\t10.2.3.4"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: unknown, <script>, , 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: 10.9.9.9, 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		// Several lines are one list, with other fields between them.
		{proxy, []string{"X-Forwarded-For: 203.0.113.1", "A: 1", "X-Forwarded-For: 198.51.100.1, 10.2.3.4"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For: 10.2.3.4"}, "198.51.100.1"},
		// All hops trusted: the leftmost, over several lines too.
		{proxy, []string{"X-Forwarded-For: 10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		{proxy, []string{"X-Forwarded-For: 10.1.1.1", "X-Forwarded-For: 10.2.2.2"}, "10.1.1.1"},

		// Malformed on the way: the peer.
		{proxy, []string{"X-Forwarded-For: 198.51.100.1, unknown"}, proxy},
		{proxy, []string{"X-Forwarded-For: unknown, 10.2.3.4"}, proxy},
		{proxy, []string{"X-Forwarded-For:"}, proxy},
		{proxy, []string{"X-Forwarded-For: ,"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1,"}, proxy},
		{proxy, []string{"X-Forwarded-For: ,10.2.3.4"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1", "X-Forwarded-For:"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1 10.2.3.4"}, proxy},
		{proxy, []string{"X-Forwarded-For: for=198.51.100.1"}, proxy},
		{proxy, []string{"X-Forwarded-For: \"198.51.100.1\""}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.01"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100"}, proxy},
		{proxy, []string{"X-Forwarded-For: 0xc0.0.0.1"}, proxy},
		// A zone names an interface of another host.
		{proxy, []string{"X-Forwarded-For: fe80::1%eth0"}, proxy},
		{proxy, []string{"X-Forwarded-For: [fe80::1%25eth0]:80"}, proxy},

		// Ports and brackets.
		{proxy, []string{"X-Forwarded-For: 198.51.100.1:4711"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: [2001:db8::1]:4711"}, "2001:db8::1"},
		{proxy, []string{"X-Forwarded-For: [2001:db8::1]"}, "2001:db8::1"},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1:99999"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1:"}, proxy},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1:+5"}, proxy},
		{proxy, []string{"X-Forwarded-For: [198.51.100.1]"}, proxy},
		{proxy, []string{"X-Forwarded-For: [198.51.100.1]:80"}, proxy},
		{proxy, []string{"X-Forwarded-For: [2001:db8::1"}, proxy},
		{proxy, []string{"X-Forwarded-For: [2001:db8::1]x"}, proxy},
		{proxy, []string{"X-Forwarded-For: [[2001:db8::1]]"}, proxy},
		{proxy, []string{"X-Forwarded-For: []"}, proxy},
		{proxy, []string{"X-Forwarded-For: ["}, proxy},
		{proxy, []string{"X-Forwarded-For: :80"}, proxy},

		// IPv6: one spelling for all, mapped IPv4 is IPv4, also for trust.
		{proxy, []string{"X-Forwarded-For: 2001:DB8:0:0::0001"}, "2001:db8::1"},
		{proxy, []string{"X-Forwarded-For: ::ffff:198.51.100.1"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: [::ffff:198.51.100.1]:80"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: ::FFFF:c633:6401"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1, ::ffff:10.2.3.4"}, "198.51.100.1"},
		{proxy, []string{"X-Forwarded-For: 198.51.100.1, 2001:db8:ffff::1"}, "198.51.100.1"},
		{"::ffff:10.0.0.1", []string{"X-Forwarded-For: 198.51.100.1"}, "198.51.100.1"},
		{"2001:db8:ffff::1", []string{"X-Forwarded-For: 198.51.100.1"}, "198.51.100.1"},
		{"::ffff:192.0.2.9", nil, stranger},
		{"fe80::1%eth0", nil, "fe80::1"},

		// X-Real-IP counts only where there is no X-Forwarded-For.
		{proxy, []string{"X-Real-IP: 198.51.100.1"}, "198.51.100.1"},
		{proxy, []string{"x-real-ip: [2001:db8::1]:80"}, "2001:db8::1"},
		{proxy, []string{"X-Real-IP: 10.2.3.4"}, "10.2.3.4"},
		{proxy, []string{"X-Real-IP: 203.0.113.1", "X-Forwarded-For: 198.51.100.1"}, "198.51.100.1"},
		{proxy, []string{"X-Real-IP: 203.0.113.1", "X-Forwarded-For: 10.2.3.4"}, "10.2.3.4"},
		{proxy, []string{"X-Real-IP: 203.0.113.1", "X-Forwarded-For:"}, proxy},
		// Malformed, a list, two of them.
		{proxy, []string{"X-Real-IP: unknown"}, proxy},
		{proxy, []string{"X-Real-IP:"}, proxy},
		{proxy, []string{"X-Real-IP: 198.51.100.1, 198.51.100.1"}, proxy},
		{proxy, []string{"X-Real-IP: 203.0.113.1", "X-Real-IP: 198.51.100.1"}, proxy},
	} {
		got := Derive(netip.MustParseAddr(tc.peer), trusted, parseBlock(t, tc.fields...))
		if got != netip.MustParseAddr(tc.want) {
			t.Errorf("%s with %q: %v, want %s", tc.peer, tc.fields, got, tc.want)
		}
	}
}

// A connection that is not TCP has no address; nothing it says is believed.
func TestInvalidPeer(t *testing.T) {
	fields := parseBlock(t, "X-Forwarded-For: 198.51.100.1")
	if got := Derive(netip.Addr{}, trust("0.0.0.0/0", "::/0"), fields); got.IsValid() {
		t.Errorf("got %v", got)
	}
}

// Whatever is said: an untrusted peer is itself, and a trusted one yields a plain
// address.
func FuzzDerive(f *testing.F) {
	for _, s := range []string{"198.51.100.1", "[::1]:80, 10.0.0.1", "::ffff:1.2.3.4", ",", "fe80::1%a", "1.2.3.4:5:6"} {
		f.Add([]byte(s), []byte(s))
	}
	trusted := trust("10.0.0.0/8")
	stranger, proxy := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, forwarded, realIP []byte) {
		fields := []http1.Field{
			{Name: []byte("X-Forwarded-For"), Value: forwarded},
			{Name: []byte("X-Real-IP"), Value: realIP},
		}
		for _, fields := range [][]http1.Field{fields, fields[1:]} {
			if got := Derive(stranger, trusted, fields); got != stranger {
				t.Fatalf("%q made a stranger %v", forwarded, got)
			}
			got := Derive(proxy, trusted, fields)
			if !got.IsValid() || got.Is4In6() || got.Zone() != "" {
				t.Fatalf("%q, %q: %v", forwarded, realIP, got)
			}
		}
	})
}
