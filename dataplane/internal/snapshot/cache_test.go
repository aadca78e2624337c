package snapshot

import (
	"testing"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/shared/config"
)

// A reload keeps the copies, but for those of a provider that is somewhere else
// now, and what the new size has no room for.
func TestReloadKeepsCopies(t *testing.T) {
	b := newBench(t)
	apply := func(upstream string, size config.ByteSize) {
		t.Helper()
		doc := config.Default()
		doc.Proxy.CacheSize = size
		z := doc.Providers["zerion"]
		z.Upstream = upstream
		doc.Providers["zerion"] = z
		if err := b.Apply(doc, 0, func(*Snapshot) {}); err != nil {
			t.Fatal(err)
		}
	}
	put := func() {
		for _, provider := range []string{"zerion", "coingecko"} {
			key, n := cache.AppendKey(nil, &cache.Key{Provider: provider, Path: []byte("/x")})
			b.Cache().Put(store.Key{Bytes: key, Group: n}, &store.Entry{Owner: b.Cache().Owner(provider), Until: 1, Generation: b.Cache().Generation()}, 0)
		}
	}
	entries := func(want int64) {
		t.Helper()
		if got := b.Cache().Total().Entries; got != want {
			t.Errorf("%d entries, want %d", got, want)
		}
	}
	apply("https://a.example.org", 64<<20)
	put()
	entries(2)
	apply("https://a.example.org", 128<<20)
	entries(2)
	apply("https://b.example.org", 128<<20)
	entries(1)
	put()
	entries(2)
	// One that was taken out and comes back may be somewhere else.
	doc := config.Default()
	delete(doc.Providers, "zerion")
	if err := b.Apply(doc, 0, func(*Snapshot) {}); err != nil {
		t.Fatal(err)
	}
	apply("https://c.example.org", 64<<20)
	entries(1)
	put()
	apply("https://c.example.org", 0)
	entries(0)
}
