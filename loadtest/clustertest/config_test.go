package clustertest

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// A limit that is changed with wait is answered when every node runs it, and holds
// there at once.
func TestChangeOfALimit(t *testing.T) {
	b := start(t, 3, highLimits)
	o := b.change("PUT", "/api/v1/limits/per_ip?wait=30s", `{"rate":"1/m","burst":5}`)
	if o.Nodes != 3 || o.Applied != 3 || len(o.Pending) != 0 {
		t.Fatalf("%+v", o)
	}
	// The limit of a client is each node's own until it is a suspect, and tokens of
	// one that spends fast are taken back from the other nodes: so one node gives
	// five, and none ever more.
	for i := range b.Nodes {
		got := b.burst(20, b.URL(i)+"/zerion/test")
		if i == 0 && got[200] != 5 || got[200] > 5 || got[200]+got[429] != 20 {
			t.Errorf("node %d: %v, want 5 admitted at most", i, got)
		}
	}

	o = b.change("PUT", "/api/v1/limits/per_provider/coingecko?wait=30s", `{"rate":"1/h","burst":7}`)
	if o.Nodes != 3 || o.Applied != 3 {
		t.Fatalf("%+v", o)
	}
	b.change("PUT", "/api/v1/limits/per_ip?wait=30s", `{"rate":1000000,"burst":1000000}`)
	b.converged(3)
	passed := 0
	for i := range b.Nodes {
		passed += b.burst(20, b.URL(i)+"/coingecko/test")[200]
	}
	if arrived := b.Provider.Stats(1).Arrivals; passed > 7 || arrived != int64(passed) {
		t.Errorf("%d of 60 requests passed a limit of 7 for the cluster, %d arrived", passed, arrived)
	}
}

// A hundred changes disturb no request, and every node ends at the last one.
func TestManyChanges(t *testing.T) {
	b := start(t, 3, highLimits)
	requests := b.send(300, b.urls("/zerion/test")...)
	var last uint64
	for i := range 100 {
		path := []string{"global", "per_ip", "per_provider/zerion"}[i%3]
		o := b.change("PUT", "/api/v1/limits/"+path, fmt.Sprintf(`{"rate":%d,"burst":%d}`, 500_000+i, 600_000+i))
		if o.Revision != last+1 && last != 0 {
			t.Errorf("revision %d follows %d", o.Revision, last)
		}
		last = o.Revision
	}
	b.eventually("the last revision everywhere", func() bool {
		return !slices.ContainsFunc(b.urls(""), func(url string) bool {
			return b.metric(url, "api_proxy_config_revision") != float64(last)
		})
	})
	requests.end(t, 100)
}

// Of writers who name the same revision exactly one wins.
func TestSameIfMatch(t *testing.T) {
	b := start(t, 1, highLimits)
	for range 10 {
		tag := b.api("GET", "/api/v1/config", "").header.Get("ETag")
		statuses := make([]int, 4)
		var wg sync.WaitGroup
		for i := range statuses {
			wg.Go(func() {
				a, err := b.try("PATCH", b.ControlURL()+"/api/v1/config", fmt.Sprintf(`{"rate_limit":{"global":{"burst":%d}}}`, 1000+i),
					"If-Match", tag, "Authorization", "Bearer "+token)
				if err != nil {
					t.Error(err)
				}
				statuses[i] = a.status
			})
		}
		wg.Wait()
		slices.Sort(statuses)
		if !slices.Equal(statuses, []int{http.StatusOK, 412, 412, 412}) {
			t.Fatalf("answers %v, want one 200 and 412 for the others", statuses)
		}
	}
}
