package wire

import (
	"apiproxy.internal/shared/latency"
	"apiproxy.internal/shared/quota"
)

// Report is what a node tells the leader: every 50 ms, and at once when
// something cannot wait. A report lost, late, doubled or overtaken does no harm:
// what is counted in it is cumulative, and Nonce orders the reports of an
// incarnation.
type Report struct {
	Head
	Node        string `json:"node"`
	Incarnation string `json:"inc"`   // new at each start
	Nonce       int64  `json:"nonce"` // nanoseconds of the node's own clock at sending; grows
	Epoch       uint64 `json:"epoch"` // of the newest leader that the node obeys; 0 = none yet
	State       string `json:"state"` // status.Live or Draining; Gone is the last word of a node that stops

	Revision uint64          `json:"rev"`               // of the configuration in force; 0 = none published
	Refused  *Refusal        `json:"refused,omitempty"` // the newest published revision that the node could not apply
	Breakers []Evidence      `json:"brk,omitempty"`
	Limits   quota.Reports   `json:"lim,omitempty"`    // by GlobalLimit or ProviderLimit
	Suspects []quota.Suspect `json:"sus,omitempty"`    // client addresses that take much
	Purged   []Purged        `json:"purged,omitempty"` // the last one done, and those of the last seconds before it
	Stats    *Stats          `json:"stats,omitempty"`  // about once a second, and in the first report
}

// GlobalLimit names the limit of all requests together.
const GlobalLimit = "global"

// ProviderLimit names the limit of one provider.
func ProviderLimit(provider string) string { return "per_provider/" + provider }

// Refusal is why a node did not apply a revision.
type Refusal struct {
	Revision uint64 `json:"rev"`
	Reason   string `json:"reason"`
}

// Answer is what the leader tells a node, in response to a report.
type Answer struct {
	Head
	Incarnation string `json:"inc"`   // of the node that is meant
	Nonce       int64  `json:"nonce"` // of the report that is answered
	Epoch       uint64 `json:"epoch"` // of the leader
	Revision    uint64 `json:"rev"`   // the newest that is published
	Nodes       int    `json:"nodes"` // that are live or suspect
	// Breakers are the entries that the node has not applied yet by its report; it
	// mostly sees them in the bucket first.
	Breakers []NamedEntry            `json:"brk,omitempty"`
	Probes   []Probes                `json:"probes,omitempty"`
	Limits   map[string]quota.Answer `json:"lim,omitempty"` // by GlobalLimit or ProviderLimit
	Verdicts []quota.Verdict         `json:"sus,omitempty"` // on the suspects of the report
	// Purges are those that the node has not done by its report, after the one that
	// it has done last: see Purge.
	Purges []Purge `json:"purges,omitempty"`
	// Rejected says why the node may not take part; empty if it may.
	Rejected string `json:"rejected,omitempty"`
}

// Stats is what the status page shows of a node. Rates are means of the last
// seconds.
type Stats struct {
	Address   string          `json:"addr"` // host:port of /health and proxied requests
	TLS       bool            `json:"tls,omitempty"`
	Version   string          `json:"version"`
	Mode      string          `json:"mode"` // see package status
	InFlight  int64           `json:"inflight"`
	Passed    float64         `json:"passed"` // requests per second that the fairness limits admitted
	Providers []ProviderStats `json:"providers,omitempty"`
}

// ProviderStats is one provider as the callers of one node met it, first what is
// counted per second.
type ProviderStats struct {
	Name             string  `json:"name"`
	Requests         float64 `json:"req"`
	Success          float64 `json:"ok"`
	Retries          float64 `json:"retry,omitempty"`
	Attempts         float64 `json:"sent,omitempty"`
	RejectedGlobal   float64 `json:"rej_global,omitempty"`
	RejectedPerIP    float64 `json:"rej_ip,omitempty"`
	RejectedProvider float64 `json:"rej_provider,omitempty"`
	CacheHits        float64 `json:"hit,omitempty"`
	CacheMisses      float64 `json:"miss,omitempty"`

	CacheEntries   int64            `json:"entries,omitempty"`
	CacheBytes     int64            `json:"bytes,omitempty"`
	CacheEvictions uint64           `json:"evicted,omitempty"` // since the node's start
	Latency        latency.Snapshot `json:"latency,omitzero"`  // of the last minute
	Credential     bool             `json:"cred"`              // the node has the key
}

// NamedEntry is a BreakerEntry outside its bucket.
type NamedEntry struct {
	Provider string `json:"p"`
	BreakerEntry
}
