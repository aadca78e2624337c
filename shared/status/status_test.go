package status

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"
)

// The golden file is a contract with dashboards and scripts: add to it, but
// neither rename nor remove.
func TestShape(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	later := at.Add(30 * time.Second)
	limit := Limit{Rate: 300, Burst: 500, Available: 499, AdmittedPerSecond: 1.5, RejectedPerSecond: 0.5, Utilisation: 0.005, OvershootBound: 2}
	doc := Document{
		GeneratedAt: at,
		Config:      Config{Revision: 7, UpdatedAt: at, Author: "admin"},
		Nodes: []Node{{ID: "node-1", Incarnation: "c0ffee", State: Live, Address: "192.0.2.1:8080", Version: "v1", Revision: 7,
			Mode: Leased, RequestsPerSecond: 12.5, InFlight: 3, Cache: Cache{HitRatio: 0.25, Entries: 4, Bytes: 2048, Evictions: 1}, LastSeenMS: 250}},
		Limits: Limits{Global: &limit}, // PerIP nil: unlimited
		Providers: map[string]Provider{"zerion": {State: "open", Failures: 5,
			Breaker: Breaker{State: "open", Failures: 5, OpenedAt: &at, RetryAt: &later,
				Forced: &Forced{State: "open", Reason: "maintenance", Author: "admin", Until: later}},
			Limit: &limit, RequestsPerSecond: 2, SuccessRatio: 0.75, LatencyMS: Latency{Avg: 10, P50: 9, P95: 20, P99: 30},
			Cache: Cache{HitRatio: 0.5, Entries: 10, Bytes: 4096, Evictions: 2}, RetriesPerSecond: 0.1, Credential: "ok"}},
	}
	got, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/status.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(got, '\n'), want) {
		t.Errorf("the document differs from testdata/status.json; got:\n%s", got)
	}
	var back Document
	dec := json.NewDecoder(bytes.NewReader(want))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&back); err != nil {
		t.Errorf("the golden file does not fit the types: %v", err)
	}
}
