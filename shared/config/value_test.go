package config

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestRate(t *testing.T) {
	for _, row := range []struct {
		text     string
		num, den uint64
		canon    string
	}{
		// plain numbers, with as many decimals as they need
		{"0", 0, 1, "0"}, {"300", 300, 1, "300"}, {"0.5", 1, 2, "0.5"}, {"1.50", 3, 2, "1.5"}, {"0.000001", 1, 1e6, "0.000001"},
		{"1000000000", 1e9, 1, "1000000000"}, {"012", 12, 1, "12"}, {".5", 1, 2, "0.5"}, {"5.", 5, 1, "5"}, {"+5", 5, 1, "5"},
		// exponents are only a way to write them
		{"1e3", 1000, 1, "1000"}, {"1E-6", 1, 1e6, "0.000001"}, {"1000e-3", 1, 1, "1"}, {"0.001e3", 1, 1, "1"}, {"0e5", 0, 1, "0"},
		// other units are exact: 5/m is one in 12 s
		{"5/m", 1, 12, "5/m"}, {"100/h", 1, 36, "100/h"}, {"1/d", 1, 86400, "1/d"}, {"10/s", 10, 1, "10/s"}, {"0/m", 0, 1, "0/m"},
		{"0.1/m", 1, 600, "0.1/m"}, {"0.000001/d", 1, 86400e6, "0.000001/d"}, {"90/m", 3, 2, "90/m"},
	} {
		r, err := ParseRate(row.text)
		if err != nil {
			t.Errorf("%s: %v", row.text, err)
			continue
		}
		if num, den := r.PerSecond(); num != row.num || den != row.den || r.String() != row.canon {
			t.Errorf("%s: %d/%d %s, want %d/%d %s", row.text, num, den, r, row.num, row.den, row.canon)
		}
	}
	for _, text := range []string{
		"", "x", ".", "e", "1e", "1e+", "-1", "-0", "NaN", ".nan", "Inf", "inf", ".inf", "-.inf", "1e308", "1e309", "1e-400", "1e99999999999999999999",
		"1000000001", "1e10", "0.0000001", "1e-7", "1_000", "0x10", "1,5", " 1", "1 ", "1.2.3", "1e1e1", "99999999999999999999", "18446744073709551616",
		"/m", "5/", "5/min", "5/M", "5/w", "5/m/h", "5 /m", "5/ m", "-5/m", "NaN/m", "1/\x00", "５",
	} {
		if r, err := ParseRate(text); err == nil {
			t.Errorf("%q accepted as %s", text, r)
		}
	}
}

// In a document a number must not be text nor the other way round.
func TestRateKeepsItsType(t *testing.T) {
	for written, want := range map[string]string{"300": "300", "0.50": "0.5", "1e3": "1000", `"5/m"`: `"5/m"`, `"60/s"`: `"60/s"`} {
		rate := mustParse(t, document("rate_limit.global.rate", written)).RateLimit.Global.Rate
		if got, _ := json.Marshal(rate); string(got) != want {
			t.Errorf("%s: %s, want %s", written, got, want)
		}
	}
	for _, written := range []string{`"300"`, `"0.5"`, `""`, `"NaN"`, "true", "[]", "{}"} {
		refusal(t, document("rate_limit.global.rate", written))
	}
}

// TestRateIsExact compares with arbitrary precision.
func TestRateIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[0-9]{1,12}(\.[0-9]{1,8})?(e-?[0-9])?`).Draw(t, "count")
		unit := rapid.SampledFrom([]string{"", "/s", "/m", "/h", "/d"}).Draw(t, "unit")
		want, ok := new(big.Rat).SetString(text)
		if !ok {
			t.Fatalf("big.Rat does not read %s", text)
		}
		millionths := new(big.Rat).Mul(want, big.NewRat(1e6, 1))
		seconds := map[string]int64{"": 1, "/s": 1, "/m": 60, "/h": 3600, "/d": 86400}[unit]
		want.Quo(want, big.NewRat(seconds, 1))

		r, err := ParseRate(text + unit)
		if legal := millionths.IsInt() && want.Cmp(big.NewRat(1e9, 1)) <= 0; legal != (err == nil) {
			t.Fatalf("%s%s: legal %v, error %v", text, unit, legal, err)
		}
		if err != nil {
			return
		}
		num, den := r.PerSecond()
		got := new(big.Rat).SetFrac(new(big.Int).SetUint64(num), new(big.Int).SetUint64(den))
		if got.Cmp(want) != 0 || got.Denom().Uint64() != den {
			t.Fatalf("%s%s: %d/%d, want %s", text, unit, num, den, want)
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%s%s does not round-trip: %s", text, unit, r)
		}
	})
}

func TestDuration(t *testing.T) {
	for text, want := range map[string]string{
		"5s": "5s", "100ms": "100ms", "60s": "1m", "1h30m": "1h30m", "600s": "10m", "24h": "24h", "1m10s": "1m10s", "1h0m5s": "1h0m5s",
		"1.5s": "1.5s", "1h10m": "1h10m", "20m": "20m", "1500us": "1.5ms", "0.5h": "30m",
	} {
		doc := mustParse(t, fmt.Sprintf("proxy: {cache_ttl: %s}", text))
		if got := doc.Proxy.CacheTTL.String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"5", "0", "5.5", `""`, "5 s", "5S", "s", "5sec", "1d", "-5s", "9999999999h", "true", "2001-01-01", "1:30", "[5s]"} {
		refusal(t, fmt.Sprintf("proxy: {cache_ttl: %s}", text))
	}
	rapid.Check(t, func(t *rapid.T) {
		d := Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "d"))
		if back, err := time.ParseDuration(d.String()); err != nil || Duration(back) != d {
			t.Fatalf("%d is written %s", int64(d), d)
		}
	})
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]ByteSize{
		"0": 0, "1000": 1000, "0x10": 16, "256KiB": 256 << 10, "10MiB": 10 << 20, "1GiB": 1 << 30, "5B": 5, "0B": 0,
		"3KB": 3000, "7MB": 7e6, "1GB": 1e9, "1e3": 1000,
	} {
		doc := mustParse(t, fmt.Sprintf("proxy: {max_body_size: %s}", text))
		if doc.Proxy.MaxBodySize != want {
			t.Errorf("%s: %d, want %d", text, doc.Proxy.MaxBodySize, want)
		}
	}
	for _, text := range []string{
		"10m", "10 MiB", "10mib", "1.5MiB", "1.5", "-1KiB", "+1KiB", "KiB", `""`, "B", "1K", "1KiBKiB", "9223372036854775807KiB", "16777216TiB", "1e30", ".inf", "true", "[1]",
	} {
		refusal(t, fmt.Sprintf("proxy: {max_body_size: %s}", text))
	}
	for size, want := range map[ByteSize]string{0: "0", 1: "1", 1000: "1000", 1024: `"1KiB"`, 1025: "1025", 1536: "1536", 64 << 20: `"64MiB"`, 1 << 40: `"1TiB"`} {
		if got, _ := json.Marshal(size); string(got) != want {
			t.Errorf("%d: %s, want %s", size, got, want)
		}
	}
}

func TestPrefixLists(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "10.1.2.3/8": "10.0.0.0/8", "10.1.2.3": "10.1.2.3/32", "0.0.0.0/0": "0.0.0.0/0",
		"fd00::/8": "fd00::/8", "::1": "::1/128", "::ffff:10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.0/104": "10.0.0.0/8", "::/0": "::/0",
	} {
		doc := mustParse(t, fmt.Sprintf("proxy: {allowed_ips: [%q]}", text))
		if got := doc.Proxy.AllowedIPs[0].String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "localhost", "10.0.0", "10.0.0.1/", "10.0.0.1/33", "010.0.0.1", "fe80::1%eth0", "::ffff:10.0.0.0/8", "10.0.0.0/08", "10.0.0.1-10.0.0.9"} {
		if problems := refusal(t, fmt.Sprintf("proxy: {allowed_ips: [%q]}", text)); !strings.HasPrefix(problems[0].Path, "proxy.allowed_ips[0]") {
			t.Errorf("%q: %v", text, problems)
		}
	}
}
