package clustertest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// unlimited are limits that refuse nothing, whatever a node has been given of them,
// and copies that outlive every test.
const unlimited = "rate_limit: {}\nproxy: {cache_ttl: 1h}\n"

// have asks node i for a path and says whether it should come from its cache.
func (b *bench) have(i int, want bool, path string) {
	b.t.Helper()
	a := b.get(b.URL(i) + path)
	if hit := strings.HasPrefix(a.header.Get("Cache-Status"), "api-proxy; hit"); a.status != http.StatusOK || hit != want {
		b.t.Errorf("node %d, %s: %d, from its cache %v, want %v", i, path, a.status, hit, want)
	}
}

// copies puts a copy of a path into the cache of every node.
func (b *bench) copies(path string) {
	b.t.Helper()
	for i := range b.Nodes {
		b.get(b.URL(i) + path)
		b.have(i, true, path)
	}
}

// A node that may have missed purges, because there were too many or because the
// controller has lost them, clears its cache; the others are left alone if they
// can be.
func TestMissedPurges(t *testing.T) {
	b := start(t, 2, unlimited, cached, relays)
	b.copies("/zerion/test")
	b.Relays[1].Cut()
	for i := range 70 {
		b.api("POST", "/api/v1/cache/purge?wait=0s", fmt.Sprintf(`{"exact":"/zerion/%d"}`, i))
	}
	b.Relays[1].Heal()
	b.converged(2)
	if p := b.purge(`{"exact":"/coingecko/x"}`, "?wait=60s"); p.Acknowledged != 2 {
		t.Errorf("%+v", p)
	}
	b.have(0, true, "/zerion/test")
	b.have(1, false, "/zerion/test")

	if err := b.StopController(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.copies("/zerion/test")
	b.forget(t)
	if err := b.StartController(); err != nil {
		t.Fatal(err)
	}
	b.converged(2)
	if p := b.purge(`{"exact":"/coingecko/x"}`, "?wait=60s"); p.Acknowledged != 2 {
		t.Errorf("%+v", p)
	}
	for i := range b.Nodes {
		b.have(i, false, "/zerion/test")
	}
}

// A stopped node holds nothing up, and one that starts again begins empty.
func TestPurgeAndRestartedNodes(t *testing.T) {
	b := start(t, 2, unlimited, cached)
	b.copies("/zerion/test")
	if err := b.Nodes[1].Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if p := b.purge(`{"provider":"zerion"}`, "?wait=60s"); p.Nodes != 1 || p.Acknowledged != 1 {
		t.Errorf("%+v", p)
	}
	if err := b.RestartNode(1); err != nil {
		t.Fatal(err)
	}
	b.converged(2)
	if p := b.purge(`{"provider":"coingecko"}`, "?wait=60s"); p.Nodes != 2 || p.Acknowledged != 2 || p.Entries != 0 {
		t.Errorf("%+v", p)
	}
	b.have(1, false, "/zerion/test")
}

// Under load no request that begins after a purge was acknowledged gets what the
// provider said before, on no node.
func TestPurgeUnderLoad(t *testing.T) {
	var truth atomic.Int64
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		now := truth.Load()
		<-time.After(time.Millisecond) // so that answers are on their way all the time
		_, _ = io.WriteString(w, strconv.FormatInt(now, 10))
	}))
	t.Cleanup(provider.Close)
	b := start(t, 3, unlimited+"providers: {up: {upstream: \""+provider.URL+"\"}}\n", cached)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for c := range 6 {
		clients.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				a, err := b.try("GET", b.URL(c%3)+"/up/x", "", "Accept", fmt.Sprint(n%2), "Cache-Control", []string{"max-age=60", "no-cache"}[n/2%2])
				if err != nil || a.status != http.StatusOK {
					t.Errorf("%d %s %v", a.status, a.body, err)
					return
				}
			}
		})
	}
	for range 50 {
		now := truth.Add(1)
		if p := b.purge(`{"exact":"/up/x"}`, "?wait=60s"); p.Acknowledged != 3 {
			t.Fatalf("%+v", p)
		}
		for i := range b.Nodes {
			for variant := range 2 {
				a, err := b.try("GET", b.URL(i)+"/up/x", "", "Accept", fmt.Sprint(variant))
				if got, bad := strconv.ParseInt(a.body, 10, 64); err != nil || bad != nil || got < now {
					t.Errorf("node %d: the provider says %d, the answer is %q (%s) %v", i, now, a.body, a.header.Get("Cache-Status"), err)
				}
			}
		}
	}
	close(stop)
	clients.Wait()
}
