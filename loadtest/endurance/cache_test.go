package endurance

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strconv"
	"strings"
	"testing"
)

// 1 GiB of distinct answers goes through a cache of 64 MiB: what the process
// needs beyond its warmed state is the cache and what the allocator loses to
// pieces of many sizes.
func TestCacheIsBounded(t *testing.T) {
	const (
		cacheSize = 64 << 20
		all       = 1 << 30
		warmup    = 2000
	)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(path.Base(r.URL.Path))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		_, _ = w.Write(make([]byte, n))
	}))
	defer upstream.Close()
	p := run(t, fmt.Sprintf(`
rate_limit: {global: {rate: 1000000, burst: 1000000}, per_ip: {rate: 1000000, burst: 1000000}}
proxy: {cache_size: %d, cache_ttl: 1h}
providers:
  plain: {upstream: %[2]q, cache_mode: "off"}
  up: {upstream: %[2]q}
`, cacheSize, upstream.URL), "-")
	// Sizes from 0.5 to 64 KiB, small ones far more often: 10 KiB on average.
	sizes := []int{512, 700, 1 << 10, 1500, 2 << 10, 3000, 5 << 10, 9000, 16 << 10, 65000}
	requests, bytes := 0, 0
	for bytes < all {
		bytes += sizes[requests%len(sizes)]
		requests++
	}
	ask := func(provider string) func([]byte, int) []byte {
		return func(dst []byte, i int) []byte {
			return fmt.Appendf(dst, "GET /%s/%d/%d HTTP/1.1\r\nHost: p\r\n\r\n", provider, i, sizes[i%len(sizes)])
		}
	}
	ok := func(statuses map[int]int, n int) {
		t.Helper()
		if statuses[http.StatusOK] != n {
			t.Fatalf("statuses %v, want %d times 200", statuses, n)
		}
	}
	ok(p.flood(0, warmup, ask("plain")), warmup)
	before, arrived := p.rss(), 0
	peak := before
	for from := 0; from < requests; from += requests/20 + 1 {
		n := min(requests/20+1, requests-from)
		ok(p.flood(from, n, ask("up")), n)
		arrived += n
		peak = max(peak, p.rss())
	}
	held, entries := 0.0, 0.0
	for series, value := range p.metrics() {
		switch {
		case strings.HasPrefix(series, "api_proxy_cache_bytes"):
			held += value
		case strings.HasPrefix(series, "api_proxy_cache_entries"):
			entries += value
		}
	}
	t.Logf("%d distinct answers, %d MiB: RSS %.1f -> %.1f MB at most, %.2f x cache_size; %.0f entries of %.1f MiB are held",
		arrived, bytes>>20, mb(before), mb(peak), float64(peak-before)/cacheSize, entries, held/(1<<20))
	if grown := peak - before; float64(grown) > 1.3*cacheSize {
		t.Errorf("memory grew by %.1f MB, want at most 1.3 x %.1f", mb(grown), mb(cacheSize))
	}
	if held > cacheSize || held < cacheSize/2 {
		t.Errorf("%.0f bytes are held, want a cache of %d that is full", held, cacheSize)
	}
}
