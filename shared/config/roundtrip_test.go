package config

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// roundTrip is the promise of JSON: Parse reads it back, and it is canonical.
func roundTrip(t interface{ Fatalf(string, ...any) }, doc *Document) {
	encoded := doc.JSON()
	again, _, err := Parse(encoded)
	if err != nil {
		t.Fatalf("the canonical form is refused: %v\n%s", err, encoded)
	}
	if !again.Equal(doc) || !bytes.Equal(again.JSON(), encoded) {
		t.Fatalf("not equal:\n%s\n%s", encoded, again.JSON())
	}
}

// FuzzParse: Parse never panics, refuses with reasons, and what it accepts
// survives being written and read.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*valid/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add(Default().JSON())
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, _, err := Parse(data)
		if err == nil {
			roundTrip(t, doc)
			return
		}
		problems, ok := err.(Problems)
		if !ok || len(problems) == 0 || doc != nil || problems.Error() == "" {
			t.Fatalf("refused without a reason: %#v", err)
		}
	})
}

func FuzzRate(f *testing.F) {
	for _, seed := range []string{"300", "0.5", "5/m", "1e308", "1e-6/d", "86400000000000/d", "-1", ".nan"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			return
		}
		if num, den := r.PerSecond(); den == 0 || num/den > 1e9 {
			t.Fatalf("%q: %d/%d", text, num, den)
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Fatalf("%q: %s does not round-trip: %v", text, r, err)
		}
	})
}

// TestRoundTrip draws documents field by field, in YAML's flow style, which reads
// like JSON with bare words.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := drawDocument(t)
		doc, _, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		roundTrip(t, doc)
	})
}

// fields draws some of the fields, each with one of its values.
func fields(t *rapid.T, choices map[string][]string) string {
	var some []string
	for _, name := range sortedKeys(choices) {
		if i := rapid.IntRange(-1, len(choices[name])-1).Draw(t, name); i >= 0 {
			some = append(some, name+": "+choices[name][i])
		}
	}
	return "{" + strings.Join(some, ", ") + "}"
}

func drawLimit(t *rapid.T, more map[string][]string) string {
	choices := map[string][]string{
		"burst": {"1", "7", "1e9"}, "on_disconnect": {"share", "open", "closed"}, "hold": {"1ms", "90s", "24h"},
	}
	maps.Copy(choices, more)
	rate := rapid.SampledFrom([]string{"0", "1", "0.25", "1e3", "5/m", "100/h", "0.5/d", "1e9"}).Draw(t, "rate")
	return strings.Replace(strings.Replace(fields(t, choices), "{", "{rate: "+rate+", ", 1), ", }", "}", 1)
}

func drawDocument(t *rapid.T) string {
	breaker := map[string][]string{
		"failure_threshold": {"1", "1000000"}, "success_threshold": {"3"}, "timeout": {"1ms", "90m"}, "half_open_requests": {"2"},
	}
	var providers, limits []string
	for i := range rapid.IntRange(0, 4).Draw(t, "providers") {
		providers = append(providers, fmt.Sprintf("p%d: {upstream: %q, auth: %s, timeout: %s, retry: %s, circuit_breaker: %s, cache_mode: %s, cache_ttl: %s, cache_max_body_size: %s, %s}",
			i,
			rapid.SampledFrom([]string{"https://example.org", "http://[::1]:9100/base/", "https://a.example.org:8443/v1"}).Draw(t, "upstream"),
			rapid.SampledFrom([]string{
				"{}", "{pass_authorization: true}", "{type: basic, username_env: U, password_file: /p}", "{type: header, header: X-Key, value_file: /k}",
				`{type: header, header: Authorization, template: "<{key}> & co", value_env: K}`, "{type: query, param: k, value_env: K}", `{type: path, template: "/v2/{key}", value_env: K}`,
			}).Draw(t, "auth"),
			fields(t, map[string][]string{"connect": {"1ms", "5s"}, "send": {"7s"}, "read": {"2h"}, "total": {"1m", "24h"}}),
			fields(t, map[string][]string{"times": {"0", "10"}, "delay": {"1.5ms", "3s"}}),
			rapid.SampledFrom([]string{"~", fields(t, breaker)}).Draw(t, "override"),
			rapid.SampledFrom([]string{"default", "off", "rfc9111"}).Draw(t, "mode"),
			rapid.SampledFrom([]string{"~", "1ms", "2h"}).Draw(t, "ttl"),
			rapid.SampledFrom([]string{"~", "0", "5KB", "1GiB"}).Draw(t, "body"),
			rapid.SampledFrom([]string{
				"protocol: http", "protocol: jsonrpc", "protocol: jsonrpc, jsonrpc: {cache_methods: []}", "protocol: jsonrpc, jsonrpc: {cache_methods: [a, b.c], max_batch: 1}",
			}).Draw(t, "protocol"),
		))
		if rapid.Bool().Draw(t, "limited") {
			limits = append(limits, fmt.Sprintf("p%d: %s", i, drawLimit(t, nil)))
		}
	}
	return fmt.Sprintf("rate_limit: {global: %s, per_ip: %s, per_provider: {%s}}\ncircuit_breaker: %s\nproxy: %s\nserver: %s\nproviders: {%s}\n",
		rapid.SampledFrom([]string{"~", drawLimit(t, nil)}).Draw(t, "global"),
		rapid.SampledFrom([]string{"~", drawLimit(t, map[string][]string{"ipv6_prefix": {"1", "128"}})}).Draw(t, "per_ip"),
		strings.Join(limits, ", "),
		fields(t, breaker),
		fields(t, map[string][]string{
			"max_body_size": {"0", "1GiB", "1000"}, "cache_ttl": {"1s"}, "cache_max_body_size": {"5KB"}, "cache_size": {"1TiB"},
			"serve_stale_when_limited": {"true", "false"},
			"trusted_proxies":          {"[]", "[10.0.0.0/8, \"::1\"]"}, "allowed_ips": {"[192.0.2.1]"},
		}),
		fields(t, map[string][]string{"max_in_flight": {"1", "1e6"}, "max_connections_per_ip": {"0", "9"}, "idle_timeout": {"1h0m1s"}}),
		strings.Join(providers, ", "))
}

func TestRevisionIsWrittenButNotRead(t *testing.T) {
	doc := Default()
	doc.Revision = 7
	if !bytes.HasPrefix(doc.JSON(), []byte(`{"revision":7,`)) {
		t.Errorf("%.40s", doc.JSON())
	}
	again := mustParse(t, string(doc.JSON()))
	if again.Revision != 0 || !again.Equal(doc) {
		t.Errorf("revision %d", again.Revision)
	}
	// A document without providers is not the document of the presets.
	if empty := (&Document{}); !bytes.HasSuffix(empty.JSON(), []byte(`"providers":{}}`)) {
		t.Errorf("%s", empty.JSON())
	}
}
