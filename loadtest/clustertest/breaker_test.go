package clustertest

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
)

// breakers are the settings of the tests here; pause is how long a breaker stays
// open.
func breakers(pause string) string {
	return highLimits + `
circuit_breaker: {failure_threshold: 5, success_threshold: 2, timeout: ` + pause + `, half_open_requests: 3}
providers:
  zerion: {upstream: "https://api.zerion.io", auth: {type: basic, username_env: ZERION_API_KEY}, retry: {times: 0}}
  coingecko: {upstream: "https://pro-api.coingecko.com", auth: {type: header, header: x-cg-pro-api-key, value_env: COINGECKO_API_KEY}, retry: {times: 0}}
  alchemy: {upstream: "https://eth-mainnet.g.alchemy.com", auth: {type: path, template: "/v2/{key}", value_env: ALCHEMY_API_KEY}, retry: {times: 0}}
`
}

// state is a provider's breaker as node i sees it.
func (b *bench) state(i int, provider string) string {
	return b.Nodes[i].Status().Providers[provider].State
}

// everywhere waits until all nodes and the controller see a breaker in a state.
func (b *bench) everywhere(provider, state string) {
	b.t.Helper()
	b.eventually(provider+" is "+state+" everywhere", func() bool {
		for i := range b.Nodes {
			if b.state(i, provider) != state {
				return false
			}
		}
		return b.Controller.Status().Providers[provider].State == state
	})
}

// Failures that are spread over the nodes open the breaker everywhere, as many as
// one node alone would need.
func TestSpreadFailuresOpenTheBreaker(t *testing.T) {
	b := start(t, 5, breakers("1h"))
	b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1})
	for i := range b.Nodes {
		if got := b.state(i, "zerion"); got != closed {
			t.Errorf("after %d failures node %d says %s", i, i, got)
		}
		if a := b.get(b.URL(i) + "/zerion/test"); a.status != 500 {
			t.Errorf("node %d: %d, want the provider's own 500", i, a.status)
		}
	}
	b.everywhere("zerion", "open")
	for i := range b.Nodes {
		if a := b.get(b.URL(i) + "/zerion/test"); a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("open: node %d answers %d %v", i, a.status, a.header)
		}
		if got := b.state(i, "coingecko"); got != closed {
			t.Errorf("the other provider is %s", got)
		}
	}
	if got := b.Provider.Stats(fakeprovider.Zerion).Arrivals; got != 5 {
		t.Errorf("%d requests arrived, want the 5 that opened the breaker", got)
	}
}

const closed = "closed"

// A single sick node among three busy ones opens itself and nobody else.
func TestSickNode(t *testing.T) {
	var sick atomic.Bool // the way from node 0 to its providers is broken
	b := start(t, 3, breakers("1h"), func(o *cluster.Options) {
		o.Node = func(i int, o *node.Options) {
			o.DrainDelay = 0
			dial := o.Dial
			o.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if i == 0 && sick.Load() {
					return nil, syscall.ECONNREFUSED
				}
				return dial(ctx, network, addr)
			}
		}
	})
	requests := b.send(100, b.urls("/zerion/test")[1:]...)
	b.eventually("the others are busy", func() bool { return requests.sent.Load() > 20 })
	sick.Store(true)
	for i := range 5 {
		if a := b.get(b.URL(0) + "/zerion/test"); a.status != 502 {
			t.Errorf("failure %d: %d", i, a.status)
		}
	}
	if got := b.state(0, "zerion"); got != "open" {
		t.Errorf("the sick node's own breaker is %s", got)
	}
	seen := requests.sent.Load()
	b.eventually("more traffic", func() bool { return requests.sent.Load() > seen+50 })
	if got := b.Controller.Status().Providers["zerion"]; got.State != closed || got.Failures < 5 {
		t.Errorf("the cluster's breaker is %s after %d failures, want closed after 5", got.State, got.Failures)
	}
	for i := 1; i < 3; i++ {
		if got := b.state(i, "zerion"); got != closed {
			t.Errorf("node %d: %s", i, got)
		}
	}
	if a := b.get(b.URL(0) + "/zerion/test"); a.status != 503 {
		t.Errorf("the sick node answers %d, want 503", a.status)
	}
	requests.end(t, 70)
}

// Ten nodes that hammer a provider in its half-open state never have more probes
// under way than the configuration says, and close the breaker in the end.
func TestProbesOfTheCluster(t *testing.T) {
	b := start(t, 10, breakers("1s"))
	for round := range 3 {
		b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1})
		for i := range 5 {
			b.get(b.URL(i) + "/zerion/test")
		}
		b.everywhere("zerion", "open")
		b.Provider.Reset()
		// First probes that fail, then slow ones that are out together.
		if round > 0 {
			b.fault(fakeprovider.Fault{Provider: "zerion", Latency: "150ms"})
		} else {
			b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1, Latency: "150ms"})
		}
		stop := make(chan struct{})
		var hammer sync.WaitGroup
		var mu sync.Mutex
		for i := range b.Nodes {
			for range 2 {
				hammer.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						if a := b.get(b.URL(i) + "/zerion/test"); a.status != 200 && a.status != 500 && a.status != 503 {
							mu.Lock()
							t.Errorf("%d %s", a.status, a.body)
							mu.Unlock()
						}
						<-time.After(5 * time.Millisecond)
					}
				})
			}
		}
		// While any node is not closed, what arrives are probes. The first one that
		// closes lets everything through, so the count is taken before.
		most := int64(0)
		b.eventually("probes", func() bool {
			s := b.Provider.Stats(fakeprovider.Zerion)
			for i := range b.Nodes {
				if b.state(i, "zerion") == closed {
					return true
				}
			}
			most = max(most, s.MaxInFlight)
			return round == 0 && s.Arrivals >= 6
		})
		if most > 3 {
			t.Errorf("%d probes were under way at once, want 3 at most", most)
		}
		t.Logf("round %d: at most %d probes at once", round, most)
		b.Provider.ClearFaults()
		b.everywhere("zerion", closed)
		close(stop)
		hammer.Wait()
	}
}

// Operators' orders hold everywhere, and survive the controller.
func TestOrders(t *testing.T) {
	b := start(t, 2, breakers("1h"), relays)
	order := func(do, body string) breakerView {
		t.Helper()
		var v breakerView
		decode(t, b.api("POST", "/api/v1/breakers/zerion/"+do, body, "X-Change-Author", "kim").body, &v)
		return v
	}
	if v := order("auto", ""); v.State != closed || v.Forced != nil {
		t.Errorf("auto without a hold: %+v", v)
	}
	v := order("trip", `{"reason":"maintenance","ttl":"10m"}`)
	if v.State != "open" || v.Forced == nil || v.Forced.Author != "kim" || v.Forced.Reason != "maintenance" || v.Forced.Until == nil {
		t.Errorf("trip: %+v", v)
	}
	order("trip", `{"reason":"maintenance","ttl":"10m"}`)
	b.everywhere("zerion", "open")

	for range 2 { // a stop, and a start from the disk alone
		if err := b.StopController(context.Background()); err != nil {
			t.Fatal(err)
		}
		if a := b.get(b.URL(0) + "/zerion/test"); a.status != 503 {
			t.Errorf("held, without a controller: %d", a.status)
		}
		if err := b.StartController(); err != nil {
			t.Fatal(err)
		}
		b.converged(2)
		if v := b.breaker("zerion"); v.State != "open" || v.Forced == nil || v.Forced.Reason != "maintenance" || v.Forced.Until == nil {
			t.Errorf("after a restart: %+v", v)
		}
		b.everywhere("zerion", "open")
	}

	if v := order("auto", ""); v.State != "half_open" || v.Forced != nil {
		t.Errorf("auto: %+v", v)
	}
	b.everywhere("zerion", "half_open")
	if v := order("reset", `{"reason":"all well"}`); v.State != closed || v.Forced != nil {
		t.Errorf("reset: %+v", v)
	}
	b.everywhere("zerion", closed)
	if a := b.get(b.URL(1) + "/zerion/test"); a.status != 200 {
		t.Errorf("after the reset: %d", a.status)
	}

	// A hold that runs out becomes half-open by itself.
	order("trip", `{"reason":"a moment","ttl":"1s"}`)
	b.everywhere("zerion", "half_open")
	b.eventually("probes close it", func() bool {
		for i := range b.Nodes {
			b.get(b.URL(i) + "/zerion/test")
		}
		return b.breaker("zerion").State == closed
	})

	if a, err := b.try("POST", b.ControlURL()+"/api/v1/breakers/nobody/trip", "{}", "Authorization", "Bearer "+token); err != nil || a.status != 404 {
		t.Errorf("an unknown provider: %d %v", a.status, err)
	}
	if got := b.metric(b.ControlURL(), fmt.Sprintf(`api_proxy_control_breaker_transitions_total{provider=%q,to=%q}`, "zerion", "open")); got == 0 {
		t.Error("transitions are not counted")
	}
}
