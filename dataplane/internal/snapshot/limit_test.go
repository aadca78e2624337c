package snapshot

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var client = netip.MustParseAddr("192.0.2.1")

// taken empties a limit at now and returns how much was in it.
func taken(now int64, take func(int64) bool) (n int) {
	for take(now) {
		n++
	}
	return n
}

// takers are the three limits of a snapshot; nil where it has none.
func takers(s *Snapshot) map[string]func(int64) bool {
	all := map[string]func(int64) bool{}
	if s.Global != nil {
		all["global"] = func(now int64) bool { return s.Global.Take(now).OK }
	}
	if s.PerIP != nil {
		all["per_ip"] = func(now int64) bool { d, _ := s.PerIP.Take(now, client); return d.OK }
	}
	if l := s.plan("a").Limit; l != nil {
		all["a"] = func(now int64) bool { return l.Take(now).OK }
	}
	return all
}

// Each row is a reload of all three limits, its moment, and what is in them then;
// everything is taken.
func TestReloadRefillsNothing(t *testing.T) {
	b := newBench(t)
	for _, row := range []struct {
		name  string
		now   int64
		limit string // "" = the document has none
		want  int
	}{
		{"a new limit is full", 0, "{rate: 10, burst: 20}", 20},
		{"the same again refills nothing", 0, "{rate: 10, burst: 20}", 0},
		{"a larger burst is room, not tokens", 0, "{rate: 10, burst: 1000}", 0},
		{"a second earned ten; more rate counts from now on", second, "{rate: 100, burst: 1000}", 10},
		{"a second at the raised rate", 2 * second, "{rate: 100, burst: 1000}", 100},
		{"what was earned is cut to a smaller burst", 3 * second, "{rate: 100, burst: 30}", 30},
		{"taken out", 3 * second, "", 0},
		{"put back at the same moment", 3 * second, "{rate: 100, burst: 1000}", 0},
		{"0 refuses all", 4 * second, "{rate: 0}", 0},
		{"and still does", 3600 * second, "{rate: 0}", 0},
		{"an end of the refusal begins with an empty bucket", 3600 * second, "{rate: 10, burst: 20}", 0},
		{"which fills as usual", 3601 * second, "{rate: 10, burst: 20}", 10},
	} {
		yaml := limits(row.limit, row.limit, row.limit)
		if row.limit == "" {
			yaml = "rate_limit: {}\n" + providers
		}
		all := takers(b.apply(row.now, yaml))
		if row.limit == "" && len(all) != 0 {
			t.Errorf("%s: there are limits", row.name)
		}
		for name, take := range all {
			if got := taken(row.now, take); got != row.want {
				t.Errorf("%s: %s held %d, want %d", row.name, name, got, row.want)
			}
		}
	}
}

// A provider that is taken out and put back finds its bucket as it was.
func TestRemovedProviderKeepsItsBucket(t *testing.T) {
	b := newBench(t)
	yaml := limits("{rate: 1}", "{rate: 1}", "{rate: 1, burst: 50}")
	taken(0, takers(b.apply(0, yaml))["a"])
	b.apply(0, `providers: {b: {upstream: "http://127.0.0.1:2"}}`)
	if got := taken(second, takers(b.apply(second, yaml))["a"]); got != 1 {
		t.Errorf("%d tokens a second later, want 1", got)
	}
}

// However often the document is applied, the limits admit what they would have
// admitted without.
func TestReloadsUnderLoad(t *testing.T) {
	b := newBench(t)
	const (
		rate, burst = 1000, 50
		reloads     = 1000
		step        = int64(20 * time.Microsecond) // 50,000 tries a second, shared by the takers
	)
	yaml := limits("{rate: 1000, burst: 50}", "{rate: 1000, burst: 50}", "{rate: 1000, burst: 50}")
	var current atomic.Pointer[Snapshot]
	current.Store(b.apply(0, yaml))
	docs := [...]string{yaml, "proxy: {max_body_size: 1KiB}\n" + yaml}

	var clock atomic.Int64
	var admitted [3]atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !done.Load() {
				now := clock.Add(step)
				for i, name := range [...]string{"global", "per_ip", "a"} {
					if takers(current.Load())[name](now) {
						admitted[i].Add(1)
					}
				}
			}
		})
	}
	for i := range reloads {
		current.Store(b.apply(clock.Load(), docs[i%2]))
	}
	done.Store(true)
	wg.Wait()
	span := clock.Load()
	most := int64(float64(rate)*float64(span)/float64(second)) + burst
	for i, name := range [...]string{"global", "per_ip", "a"} {
		got := admitted[i].Load()
		// One that never admits would pass otherwise.
		if got > most+1 || got < most/2 {
			t.Errorf("%s admitted %d in %v of its time, at most %d may be", name, got, time.Duration(span), most)
		}
	}
	t.Logf("%d tries, at most %d each, admitted %d %d %d", span/step, most, admitted[0].Load(), admitted[1].Load(), admitted[2].Load())
}
