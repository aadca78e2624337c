package config

import (
	"fmt"
	"strings"
	"testing"
)

// document writes value, as JSON, at a dotted path; a limit gets the rate and a
// provider the upstream without which they would be refused for that alone.
func document(path, value string) string {
	steps := strings.Split(path, ".")
	for i := len(steps) - 1; i >= 0; i-- {
		value = fmt.Sprintf("{%q: %s%s}", steps[i], value, companion(steps, i))
	}
	return value
}

func companion(steps []string, i int) string {
	switch {
	case i == 2 && steps[0] == "providers" && steps[2] != "upstream":
		return `, "upstream": "https://example.org", "protocol": "jsonrpc"`
	case i > 0 && (steps[i-1] == "global" || steps[i-1] == "per_ip" || i > 1 && steps[i-2] == "per_provider") && steps[i] != "rate":
		return `, "rate": 1`
	}
	return ""
}

// TestBounds has one row for each bounded number: the values at its ends
// and the nearest ones beyond.
func TestBounds(t *testing.T) {
	const million, day = "1000000", `"24h"`
	count := func(path string) []string { return []string{path, "1", million, "0", "1000001"} }
	span := func(path string) []string { return []string{path, `"1ms"`, day, `"999us"`, `"24h0m0.000000001s"`} }
	size := func(path string) []string { return []string{path, "0", `"1GiB"`, "-1", "1073741825"} }
	for _, row := range [][]string{
		// path, lowest, highest, too low, too high
		{"rate_limit.global.rate", "0", "1e9", "-0.000001", "1000000000.000001"},
		{"rate_limit.global.rate", "0.000001", `"86400000000000/d"`, "0.0000001", `"86400000000001/d"`},
		{"rate_limit.global.burst", "1", "1000000000", "0", "1000000001"},
		span("rate_limit.global.hold"),
		{"rate_limit.per_ip.rate", "0", `"60000000000/m"`, `"-1/m"`, `"60000000001/m"`},
		{"rate_limit.per_ip.burst", "1", "1e9", "0.5", "1e10"},
		{"rate_limit.per_ip.ipv6_prefix", "1", "128", "0", "129"},
		span("rate_limit.per_ip.hold"),
		{"rate_limit.per_provider.zerion.rate", "0", `"3600000000000/h"`, "-1e-6", `"1000000000.1/s"`},
		{"rate_limit.per_provider.zerion.burst", "1", "1000000000", "-1", "9223372036854775808"},
		span("rate_limit.per_provider.zerion.hold"),
		count("circuit_breaker.failure_threshold"),
		count("circuit_breaker.success_threshold"),
		span("circuit_breaker.timeout"),
		count("circuit_breaker.half_open_requests"),
		size("proxy.max_body_size"),
		span("proxy.cache_ttl"),
		size("proxy.cache_max_body_size"),
		{"proxy.cache_size", "0", `"1TiB"`, "-1", "1099511627777"},
		count("server.max_in_flight"),
		count("server.max_connections"),
		{"server.max_connections_per_ip", "0", million, "-1", "1000001"},
		span("server.header_timeout"),
		span("server.body_timeout"),
		span("server.idle_timeout"),
		span("server.write_timeout"),
		span("providers.p.timeout.connect"),
		span("providers.p.timeout.send"),
		span("providers.p.timeout.read"),
		span("providers.p.timeout.total"),
		{"providers.p.retry.times", "0", "10", "-1", "11"},
		span("providers.p.retry.delay"),
		count("providers.p.circuit_breaker.failure_threshold"),
		count("providers.p.circuit_breaker.success_threshold"),
		span("providers.p.circuit_breaker.timeout"),
		count("providers.p.circuit_breaker.half_open_requests"),
		span("providers.p.cache_ttl"),
		size("providers.p.cache_max_body_size"),
		span("providers.p.jsonrpc.latest_ttl"),
		{"providers.p.jsonrpc.max_batch", "1", "10000", "0", "10001"},
	} {
		path := row[0]
		for _, legal := range row[1:3] {
			mustParse(t, document(path, legal))
		}
		for _, illegal := range row[3:] {
			if problems := refusal(t, document(path, illegal)); len(problems) != 1 || problems[0].Path != path {
				t.Errorf("%s = %s: %v", path, illegal, problems)
			}
		}
	}
}

// TestTypes gives every kind of field every kind of value.
func TestTypes(t *testing.T) {
	values := map[string]string{"bool": "true", "number": "5", "text": `"x y"`, "list": "[]", "object": "{}"}
	for path, legal := range map[string]string{
		"rate_limit":                      "object",
		"rate_limit.per_provider":         "object",
		"rate_limit.global.rate":          "number",
		"rate_limit.global.burst":         "number",
		"rate_limit.global.hold":          "",
		"proxy.max_body_size":             "number",
		"proxy.allowed_ips":               "list",
		"providers":                       "object",
		"providers.p.prefix":              "",
		"providers.p.circuit_breaker":     "object",
		"providers.p.cache_ttl":           "",
		"providers.p.cache_mode":          "",
		"providers.p.jsonrpc":             "object",
		"proxy.serve_stale_when_limited":  "bool",
		"providers.p.auth":                "object",
		"providers.p.auth.header":         "",
		"rate_limit.global.on_disconnect": "",
	} {
		for name, value := range values {
			_, _, err := Parse([]byte(document(path, value)))
			if (err == nil) != (name == legal) {
				t.Errorf("%s = %s: %v", path, value, err)
			}
			if err != nil && !strings.Contains(err.Error(), path+": ") {
				t.Errorf("%s = %s: the path is missing in %v", path, value, err)
			}
		}
		if path != "rate_limit.global.rate" { // a limit needs one
			mustParse(t, document(path, "null"))
		}
	}
}

func TestProviderNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for name, legal := range map[string]bool{
		"a": true, "0x": true, "a_b-c": true, "cat": true, "no": true, long: true, "global2": true,
		"": false, "A": false, "a.b": false, "-a": false, "_a": false, "a b": false, "ä": false, long + "a": false, "a\n": false,
		"none": false, "global": false, "per_ip": false,
	} {
		_, _, err := Parse(fmt.Appendf(nil, `{"providers": {%q: {"upstream": "https://example.org"}}}`, name))
		if (err == nil) != legal {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestNestedPrefixes are legal, in any spelling that begins with a slash.
func TestNestedPrefixes(t *testing.T) {
	doc := mustParse(t, `{"providers": {
		"outer": {"upstream": "https://example.org", "prefix": "/a"},
		"inner": {"upstream": "https://example.org", "prefix": "/a/b/"},
		"under": {"upstream": "https://example.org", "prefix": "/health/sub"},
		"other": {"upstream": "https://example.org", "prefix": "/healthy/~x:@!$&'()*+,;="}}}`)
	for name, want := range map[string]string{"outer": "/a/", "inner": "/a/b/", "under": "/health/sub/"} {
		if got := doc.Providers[name].Prefix; got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
