// Package status is the shape of the /status document. A node fills it with
// what it sees itself, the controller with the whole cluster, so that the same
// query works at both.
package status

import "time"

// Document is the answer of GET /status.
type Document struct {
	GeneratedAt time.Time           `json:"generated_at"`
	Config      Config              `json:"config"`
	Nodes       []Node              `json:"nodes"`
	Limits      Limits              `json:"limits"`
	Providers   map[string]Provider `json:"providers"`
}

// Config says which configuration is in force. Revision 0 is a node on its own.
type Config struct {
	Revision  uint64    `json:"revision"`
	UpdatedAt time.Time `json:"updated_at"`
	Author    string    `json:"author"`
}

// The states of a node.
const (
	Live     = "live"
	Suspect  = "suspect"
	Gone     = "gone"
	Draining = "draining"
)

// The modes of a node: how it knows what it may spend.
const (
	Leased     = "leased"
	Holding    = "holding"
	ClosedMode = "closed"
	Standalone = "standalone"
)

// Node is one data-plane process.
type Node struct {
	ID                string  `json:"id"`
	Incarnation       string  `json:"incarnation"` // new at each start
	State             string  `json:"state"`
	Left              bool    `json:"left,omitempty"` // gone as was meant: after a goodbye, or by an operator's word
	Address           string  `json:"address"`
	Version           string  `json:"version"`
	Revision          uint64  `json:"revision"`
	Mode              string  `json:"mode"`
	RequestsPerSecond float64 `json:"requests_per_second"`
	InFlight          int64   `json:"in_flight"`
	Cache             Cache   `json:"cache"`
	LastSeenMS        int64   `json:"last_seen_ms"` // since the last sign of life
}

// Limits are the limits that belong to no provider; nil is unlimited.
type Limits struct {
	Global *Limit `json:"global"`
	PerIP  *Limit `json:"per_ip"`
}

// Limit is one limit and how much of it is used.
type Limit struct {
	Rate              float64 `json:"rate"` // requests per second
	Burst             int64   `json:"burst"`
	Available         int64   `json:"available"` // requests that would be admitted now
	AdmittedPerSecond float64 `json:"admitted_per_second"`
	RejectedPerSecond float64 `json:"rejected_per_second"`
	Utilisation       float64 `json:"utilisation"`     // admitted per second / rate, at most 1
	OvershootBound    float64 `json:"overshoot_bound"` // requests beyond rate*T+burst, at most
}

// Provider is one provider as the callers meet it.
type Provider struct {
	State             string  `json:"state"`    // of the breaker
	Failures          int     `json:"failures"` // consecutive
	Breaker           Breaker `json:"breaker"`
	Limit             *Limit  `json:"limit"` // nil is unlimited
	RequestsPerSecond float64 `json:"requests_per_second"`
	SuccessRatio      float64 `json:"success_ratio"` // 2xx of the last seconds; 1 without requests
	LatencyMS         Latency `json:"latency_ms"`
	Cache             Cache   `json:"cache"`
	RetriesPerSecond  float64 `json:"retries_per_second"`
	Credential        string  `json:"credential"` // ok or missing
}

// Breaker is the circuit breaker of a provider. Times are nil where they do not
// apply.
type Breaker struct {
	State    string     `json:"state"` // closed, open or half_open
	Failures int        `json:"failures"`
	OpenedAt *time.Time `json:"opened_at"`
	RetryAt  *time.Time `json:"retry_at"`
	Forced   *Forced    `json:"forced"`
}

// Forced is a state that an operator holds a breaker in.
type Forced struct {
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Author string    `json:"author"`
	Until  time.Time `json:"until,omitzero"` // absent: until an operator ends it
}

// Latency sums up the last minute, in milliseconds.
type Latency struct {
	Avg float64 `json:"avg"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// Cache is what is stored of answers, those of one provider or at one node.
type Cache struct {
	HitRatio  float64 `json:"hit_ratio"` // of the last seconds; 0 without requests
	Entries   int64   `json:"entries"`
	Bytes     int64   `json:"bytes"`
	Evictions uint64  `json:"evictions"` // had to make room, since the start of each node
}
