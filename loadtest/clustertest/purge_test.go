package clustertest

import (
	"context"
	"strings"
	"testing"

	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
)

func cached(o *cluster.Options) { o.Config.Proxy.CacheSize = 16 << 20 }

// purgeOutcome is what a purge answers.
type purgeOutcome struct {
	ID                           string
	Nodes, Acknowledged, Entries int
	Done                         []struct {
		ID      string
		Entries int
	}
	Pending []struct{ ID, Reason string }
}

func (c *client) purge(body, query string) (o purgeOutcome) {
	c.t.Helper()
	decode(c.t, c.api("POST", "/api/v1/cache/purge"+query, body).body, &o)
	return o
}

// words are the first words of Cache-Status for a path at each node.
func (b *bench) words(path string) string {
	b.t.Helper()
	var all []string
	for _, url := range b.urls(path) {
		_, word, _ := strings.Cut(b.get(url).header.Get("Cache-Status"), "; ")
		word, _, _ = strings.Cut(word, ";")
		all = append(all, word)
	}
	return strings.Join(all, " ")
}

const threeHits, threeMisses = "hit hit hit", "fwd=miss fwd=miss fwd=miss"

// fill has a copy of each path at each node.
func (b *bench) fill(paths ...string) {
	b.t.Helper()
	for _, path := range paths {
		b.words(path)
		if got := b.words(path); got != threeHits {
			b.t.Fatalf("%s: %s", path, got)
		}
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	b := start(t, 3, unlimited, cached)
	all := []string{"/zerion/echo/a/1", "/zerion/echo/a/2?x=1", "/zerion/echo/b", "/coingecko/echo/a/1"}
	for _, row := range []struct {
		body  string
		gone  []int // of all
		count int   // entries at all nodes
	}{
		{`{"provider":"zerion","exact":"/zerion/echo/a/2?x=1"}`, []int{1}, 3},
		{`{"exact":"/zerion/echo/a/2"}`, nil, 0},
		{`{"prefix":"/zerion/echo/a/"}`, []int{0, 1}, 6},
		{`{"provider":"zerion"}`, []int{0, 1, 2}, 9},
		{`{"prefix":"/"}`, []int{0, 1, 2, 3}, 12},
	} {
		b.fill(all...)
		o := b.purge(row.body, "")
		if o.Nodes != 3 || o.Acknowledged != 3 || o.Entries != row.count || len(o.Done) != 3 || len(o.Pending) != 0 {
			t.Errorf("%s: %+v, want %d entries at 3 of 3 nodes", row.body, o, row.count)
		}
		for i, path := range all {
			want := threeHits
			for _, gone := range row.gone {
				if gone == i {
					want = threeMisses
				}
			}
			if got := b.words(path); got != want {
				t.Errorf("%s: %s is a %s, want %s", row.body, path, got, want)
			}
		}
	}
	if got := b.metric(b.ControlURL(), `api_proxy_control_cache_purges_total{result="acknowledged"}`); got != 5 {
		t.Errorf("the controller counts %v purges, want 5", got)
	}
	for i := range b.Nodes {
		if got := b.metric(b.URL(i), "api_proxy_cache_purged_total"); got != 10 {
			t.Errorf("node %d counts %v purged entries, want 10", i, got)
		}
	}
}

// A node that cannot hear of a purge is named in its answer, and does not serve
// what was purged after it hears the controller again, whether that is the same
// one or one that was started meanwhile.
func TestPurgeOfANodeThatIsCutOff(t *testing.T) {
	for name, restart := range map[string]bool{"the same controller": false, "a new one": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t, 3, unlimited, cached, relays)
			b.fill("/zerion/echo/old", "/zerion/echo/kept")
			b.Relays[2].Hold()
			o := b.purge(`{"exact":"/zerion/echo/old"}`, "?wait=500ms")
			if o.Nodes != 3 || o.Acknowledged != 2 || len(o.Pending) != 1 || o.Pending[0].ID != b.Nodes[2].Status().Nodes[0].ID {
				t.Fatalf("%+v, want node 2 to be pending", o)
			}
			if got := b.words("/zerion/echo/old"); got != "fwd=miss fwd=miss hit" {
				t.Errorf("while node 2 is cut off: %s", got)
			}
			if restart {
				if err := b.StopController(context.Background()); err != nil {
					t.Fatal(err)
				}
				if err := b.StartController(); err != nil {
					t.Fatal(err)
				}
			}
			b.Relays[2].Heal()
			b.converged(3)
			b.eventually("node 2 has purged", func() bool { return b.metric(b.URL(2), "api_proxy_cache_purged_total") == 1 })
			if got := b.words("/zerion/echo/kept"); got != threeHits {
				t.Errorf("what was not purged is a %s", got)
			}
			asked := b.arrivals("/echo/old")
			b.get(b.URL(2) + "/zerion/echo/old")
			if got := b.arrivals("/echo/old") - asked; got != 1 {
				t.Errorf("node 2 asked the provider %d times, want once", got)
			}
		})
	}
}

// arrivals is how many requests for paths with that end the provider has seen.
func (b *bench) arrivals(end string) (n int) {
	for _, a := range b.Provider.Arrivals(fakeprovider.Zerion) {
		if strings.HasSuffix(a.Path, end) {
			n++
		}
	}
	return n
}
