package browser

import (
	"encoding/json"
	"fmt"
	"time"

	"apiproxy.internal/controlplane/statusview"
	"apiproxy.internal/shared/status"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// clusterOf is a calm cluster with three providers or more.
func clusterOf(nodes, providers int) statusview.Page {
	p := statusview.Page{Status: status.Document{
		Config:    status.Config{Revision: 7, UpdatedAt: at, Author: "admin"},
		Limits:    status.Limits{Global: &status.Limit{Rate: 1000, Burst: 2000, Available: 1990, AdmittedPerSecond: 424.5, Utilisation: 0.4245, OvershootBound: 3}},
		Providers: map[string]status.Provider{},
	}}
	for i := range nodes {
		p.Status.Nodes = append(p.Status.Nodes, status.Node{ID: fmt.Sprintf("node-%d", i+1), Incarnation: "c0ffee", State: status.Live,
			Address: fmt.Sprintf("192.0.2.%d:8080", i%250+1), Version: "v1.2.0", Revision: 7, Mode: status.Leased,
			RequestsPerSecond: 141.5 + float64(i), InFlight: int64(i % 17), LastSeenMS: 120 + int64(i%9)*100})
	}
	names := []string{"alchemy", "coingecko", "zerion"}
	for i := range providers {
		name := fmt.Sprintf("provider-%02d", i+1)
		if i < len(names) {
			name = names[i]
		}
		rate := 300.0 + 100*float64(i%3)
		rps := rate * float64(2+i%4) / 6
		p.Status.Providers[name] = status.Provider{State: "closed", Breaker: status.Breaker{State: "closed"},
			Limit: &status.Limit{Rate: rate, Burst: int64(rate * 2), Available: int64(rate * 1.9), AdmittedPerSecond: rps,
				Utilisation: rps / rate, OvershootBound: 3},
			RequestsPerSecond: rps * 1.2, SuccessRatio: 0.9987, LatencyMS: status.Latency{Avg: 15.2 + float64(i), P50: 12, P95: 48.4, P99: 1210},
			Cache: status.Cache{HitRatio: 0.171, Entries: 12345 + int64(i), Bytes: 3565158, Evictions: uint64(i) * 1234}, RetriesPerSecond: 0.25, Credential: "ok"}
	}
	return p
}

// odd are documents on which Go and the script must agree: edges of the number
// formats, and every word of the page.
func odd() []statusview.Page {
	var pages []statusview.Page
	add := func(f func(p *statusview.Page)) {
		p := clusterOf(3, 3)
		p.Status.GeneratedAt = at.Add(time.Duration(len(pages)) * time.Hour)
		f(&p)
		pages = append(pages, p)
	}
	numbers := []float64{0, 0.004, 0.005, 0.125, 0.285, 0.5, 0.995, 0.9995, 1, 1.005, 2.5, 9.95, 9.995, 12.25, 99.95, 999.5, 1023.5, 1234.5, 9999.95,
		12345.5, 1e6, 1048576.5, 1e9, 1e12, 1e300, 1.0 / 60, 5.0 / 60, 1.0 / 3600, 7.0 / 86400, 1e-9, -0.4, -1234.56}
	for _, x := range numbers {
		add(func(p *statusview.Page) {
			a := p.Status.Providers["alchemy"]
			a.RequestsPerSecond, a.SuccessRatio, a.RetriesPerSecond = x, x, x
			a.LatencyMS = status.Latency{Avg: x, P50: x * 10, P95: x * 100, P99: x * 1000}
			whole := int64(min(x*1000, 1e15))
			a.Cache = status.Cache{HitRatio: x / 2, Entries: whole, Bytes: whole * 100, Evictions: uint64(max(whole, 0))}
			a.Limit = &status.Limit{Rate: x, Burst: whole, Available: whole / 3, AdmittedPerSecond: x / 3, RejectedPerSecond: x / 7, Utilisation: x / 10, OvershootBound: x}
			a.Failures = int(min(max(x, 0), 5))
			p.Status.Providers["alchemy"] = a
			p.Status.Nodes[0].RequestsPerSecond, p.Status.Nodes[0].InFlight, p.Status.Nodes[0].LastSeenMS = x, whole, whole
			p.Status.Nodes[0].Cache = a.Cache
			p.Status.Config.UpdatedAt = p.Status.GeneratedAt.Add(-time.Duration(min(x, 1e6) * float64(time.Second)))
		})
	}
	add(func(p *statusview.Page) {
		opened, retry := p.Status.GeneratedAt.Add(-90*time.Second), p.Status.GeneratedAt.Add(12345*time.Millisecond)
		p.Status.Providers["alchemy"] = status.Provider{State: "open", Failures: 5, Breaker: status.Breaker{State: "open", OpenedAt: &opened, RetryAt: &retry}, Credential: "missing"}
		p.Status.Providers["coingecko"] = status.Provider{State: "half_open", Breaker: status.Breaker{State: "half_open", OpenedAt: &opened, RetryAt: &opened}}
		p.Status.Providers["zerion"] = status.Provider{State: "closed", Failures: 1, Breaker: status.Breaker{Forced: &status.Forced{State: "closed", Until: retry}}}
		p.Status.Providers["held"] = status.Provider{State: "open", Breaker: status.Breaker{OpenedAt: &opened, RetryAt: &retry,
			Forced: &status.Forced{State: "open", Reason: "tests & <b>more</b>", Author: "kim"}}}
		p.Status.Nodes[0].State, p.Status.Nodes[0].LastSeenMS = status.Gone, 123456
		p.Status.Nodes[1].State, p.Status.Nodes[1].Mode = status.Suspect, status.Holding
		p.Status.Nodes[2].State, p.Status.Nodes[2].Mode, p.Status.Nodes[2].Revision = status.Draining, status.ClosedMode, 6
		p.Status.Config.Author = ""
	})
	add(func(p *statusview.Page) { p.Status = status.Document{GeneratedAt: p.Status.GeneratedAt} })
	return pages
}

// events are as the controller would send them.
func events() []statusview.Event {
	return []statusview.Event{
		{ID: "9", Name: "breaker", Data: json.RawMessage(`{"time":"2026-01-02T03:03:53.25Z","provider":"zerion","from":"closed","to":"half_open","failures":5,"reason":null}`)},
		{ID: "8", Name: "breaker", Data: json.RawMessage(`{"time":"2026-01-02T03:03:52Z","provider":"zerion","state":"open","author":"kim","held":true}`)},
		{ID: "7", Name: "limit_exhausted", Data: json.RawMessage(`{"time":"2026-01-02T03:03:51+00:00","limit":"alchemy","rejected_per_second":1.5}`)},
		{ID: "6", Name: "node_left", Data: json.RawMessage(`{"time":"2026-01-02T03:03:50Z","node":"node-3","reason":"its address refuses the connection"}`)},
		{ID: "5", Name: "node_joined", Data: json.RawMessage(`{"time":"2026-01-02T03:03:49Z","node":"node-3","address":"192.0.2.3:8080"}`)},
		{ID: "4", Name: "config_applied", Data: json.RawMessage(`{"time":"2026-01-02T03:03:48Z","revision":7,"nodes":["node-1","node-2"],"more":{"a":1}}`)},
		{ID: "3", Name: "config_published", Data: json.RawMessage(`{"time":"","revision":7,"author":"admin","reason":"<i>busy</i>"}`)},
	}
}
