//go:build !race

package cache

import (
	"testing"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

func TestAllocations(t *testing.T) {
	request := lines(t, "Host: a.test", "Accept: */*", "User-Agent: curl", "Cache-Control: max-age=50, max-stale", `If-None-Match: "b", "c"`, "X-A: 1")
	fields := lines(t, `Cache-Control: public, max-age=60`, "Date: "+date(0), "Expires: "+date(1e9), `ETag: "a"`, "Vary: User-Agent, Accept", "Content-Type: text/plain")
	k := Key{Provider: "p", Path: []byte("/p/x"), Query: []byte("a=1"), Method: verdict.MethodGet, Fields: request}
	a := Answer{Status: 200, Fields: fields, Complete: true, Asked: now, Received: now, Date: clock}
	w := ParseWish(verdict.MethodGet, request)
	m, _ := byDefault.Storable(&w, &a)
	var key, variant, head []byte
	var parsed []http1.Field
	// In this order: a hit reads the head that the step before it wrote.
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"key", func() { key, _ = AppendKey(key[:0], &k) }},
		{"wish", func() { w = ParseWish(verdict.MethodGet, request) }},
		{"storable", func() { m, _ = byDefault.Storable(&w, &a) }},
		{"head", func() {
			variant = AppendVariant(variant[:0], fields, request)
			head = AppendHead(head[:0], &m, variant, fields)
		}},
		{"hit", func() {
			m, v, block, ok := ParseHead(head)
			parsed = StoredFields(parsed[:0], block)
			j := byDefault.Judge(&m, &w, now)
			if !ok || j.Use != Fresh || !MatchesVariant(v, request) || w.NotModified(m.Status, parsed) {
				t.Fatal("no hit")
			}
		}},
	} {
		step.run()
		if got := testing.AllocsPerRun(100, step.run); got != 0 {
			t.Errorf("%s: %v allocations, want 0", step.name, got)
		}
	}
}

// BenchmarkHit is what the rules cost at a hit, without the store.
func BenchmarkHit(b *testing.B) {
	request := lines(b, "Host: a.test", "Accept: */*", "User-Agent: curl", "Accept-Encoding: gzip")
	fields := lines(b, "Cache-Control: max-age=60", "Date: "+date(0), `ETag: "a"`, "Content-Type: text/plain", "X-A: 1", "X-B: 2")
	k := Key{Provider: "p", Path: []byte("/p/x"), Query: []byte("a=1"), Method: verdict.MethodGet, Fields: request}
	a := Answer{Status: 200, Fields: fields, Complete: true, Asked: now, Received: now, Date: clock}
	w := ParseWish(verdict.MethodGet, request)
	m, _ := byDefault.Storable(&w, &a)
	head := AppendHead(nil, &m, nil, fields)
	var key []byte
	var parsed []http1.Field
	b.ReportAllocs()
	for b.Loop() {
		w := ParseWish(verdict.MethodGet, request)
		key, _ = AppendKey(key[:0], &k)
		m, v, block, _ := ParseHead(head)
		parsed = StoredFields(parsed[:0], block)
		if byDefault.Judge(&m, &w, now).Use != Fresh || !MatchesVariant(v, request) || w.NotModified(m.Status, parsed) {
			b.Fatal("no hit")
		}
	}
}
