// Package config is the one configuration document: its types, its defaults and
// the strict decoder that turns YAML or JSON into a document in which every
// value is valid and every default is filled in, or into the list of everything
// that is wrong.
//
// What an absent part means:
//   - an empty file is the default document (see Default);
//   - without rate_limit the limits of the guide hold, those for a provider that
//     does not exist left out; with it the document has exactly the limits that
//     it names, and whatever it does not name is unlimited;
//   - providers replaces the presets as a whole;
//   - everything else defaults field by field;
//   - null is the same as absent.
//
// Secrets are never part of a document, only references to them (SecretRef).
package config

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"time"
)

// Document is one configuration. Parse and Default return documents that nobody
// else holds; once shared, a document is read-only.
//
// The json tags are the names of the document. The tags range and oneof are the bounds
// that Parse enforces; bind:"-" marks a field that it accepts and ignores.
type Document struct {
	// Revision is given by whoever publishes the document; Parse leaves it 0.
	Revision       uint64              `json:"revision,omitempty" bind:"-"`
	RateLimit      RateLimit           `json:"rate_limit"`
	CircuitBreaker CircuitBreaker      `json:"circuit_breaker"`
	Proxy          Proxy               `json:"proxy"`
	Server         Server              `json:"server"`
	Providers      map[string]Provider `json:"providers"`
}

// RateLimit holds the limits of the whole cluster; nil means unlimited.
type RateLimit struct {
	Global      *Limit            `json:"global,omitempty"`
	PerIP       *IPLimit          `json:"per_ip,omitempty"`
	PerProvider map[string]*Limit `json:"per_provider,omitempty"`
}

// What a node does with its share of a limit once it cannot hear the leader.
const (
	DisconnectShare  = "share"  // goes on at the share for Hold, then refuses
	DisconnectClosed = "closed" // refuses after 2 s, whatever Hold says
	DisconnectOpen   = "open"   // goes on at the share without end; may over-admit
)

// Limit is a token bucket.
type Limit struct {
	// Rate is required in a limit; 0 refuses everything.
	Rate Rate `json:"rate"`
	// Burst is the bucket's depth in requests; absent: the rate of one second,
	// rounded up, at least 1.
	Burst        int64  `json:"burst" range:"1..1000000000"`
	OnDisconnect string `json:"on_disconnect" oneof:"share closed open"`
	// Hold is how long a share outlives the last word from the leader. Raising it
	// rides out longer outages and makes a silent node's share idle for longer.
	Hold Duration `json:"hold" range:"1ms..24h"`
}

// IPLimit is a Limit for each client address.
type IPLimit struct {
	Limit
	// IPv6Prefix is how many leading bits of an IPv6 address make one client.
	IPv6Prefix int `json:"ipv6_prefix" range:"1..128"`
}

// CircuitBreaker is when a provider's breaker trips and how it recovers.
type CircuitBreaker struct {
	// FailureThreshold consecutive failures open the breaker.
	FailureThreshold int `json:"failure_threshold" range:"1..1000000"`
	// SuccessThreshold successful probes close it again.
	SuccessThreshold int `json:"success_threshold" range:"1..1000000"`
	// Timeout is how long it stays open before the first probe.
	Timeout Duration `json:"timeout" range:"1ms..24h"`
	// HalfOpenRequests is how many probes may be in flight at once.
	HalfOpenRequests int `json:"half_open_requests" range:"1..1000000"`
}

// BreakerOverride replaces, for one provider, the fields of the document's
// CircuitBreaker that are not nil.
type BreakerOverride struct {
	FailureThreshold *int      `json:"failure_threshold,omitempty" range:"1..1000000"`
	SuccessThreshold *int      `json:"success_threshold,omitempty" range:"1..1000000"`
	Timeout          *Duration `json:"timeout,omitempty" range:"1ms..24h"`
	HalfOpenRequests *int      `json:"half_open_requests,omitempty" range:"1..1000000"`
}

// Proxy is what holds for every proxied request.
type Proxy struct {
	// MaxBodySize bounds a request's body; 0 allows none.
	MaxBodySize ByteSize `json:"max_body_size" range:"0..1GiB"`
	// CacheTTL is how long an answer is fresh that does not say so itself; twice
	// as long it may be served when the provider fails.
	CacheTTL Duration `json:"cache_ttl" range:"1ms..24h"`
	// CacheMaxBodySize is the largest body that is stored.
	CacheMaxBodySize ByteSize `json:"cache_max_body_size" range:"0..1GiB"`
	// CacheSize is the memory of one node's cache; 0 stores nothing.
	CacheSize ByteSize `json:"cache_size" range:"0..1TiB"`
	// ServeStaleWhenLimited answers with a stored copy where a provider's limit
	// would refuse; false refuses all the same.
	ServeStaleWhenLimited bool `json:"serve_stale_when_limited"`
	// TrustedProxies are the peers whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `json:"trusted_proxies"`
	// AllowedIPs are the clients that may use the proxy; empty: all of them.
	AllowedIPs []netip.Prefix `json:"allowed_ips"`
}

// Server holds the caps and timeouts of one node's listener.
type Server struct {
	// MaxInFlight is how many requests a node works on at once.
	MaxInFlight    int `json:"max_in_flight" range:"1..1000000"`
	MaxConnections int `json:"max_connections" range:"1..1000000"`
	// MaxConnectionsPerIP is 0 for no cap of its own.
	MaxConnectionsPerIP int `json:"max_connections_per_ip" range:"0..1000000"`
	// HeaderTimeout bounds the reading of a whole request head.
	HeaderTimeout Duration `json:"header_timeout" range:"1ms..24h"`
	// BodyTimeout and WriteTimeout bound the silence between two reads or writes.
	BodyTimeout Duration `json:"body_timeout" range:"1ms..24h"`
	// IdleTimeout bounds the wait for the next request of a connection.
	IdleTimeout  Duration `json:"idle_timeout" range:"1ms..24h"`
	WriteTimeout Duration `json:"write_timeout" range:"1ms..24h"`
}

// How a provider's answers are cached.
const (
	CacheDefault = "default" // GET/HEAD 2xx and 404 for CacheTTL unless the answer says otherwise
	CacheRFC9111 = "rfc9111" // only what the headers say
	CacheOff     = "off"
)

// What a provider speaks over HTTP.
const (
	ProtocolHTTP    = "http"
	ProtocolJSONRPC = "jsonrpc" // JSON-RPC 2.0 in POST requests: the cache looks into the bodies
)

// JSONRPC is how the calls of a provider that speaks JSON-RPC are cached.
type JSONRPC struct {
	// CacheMethods are the read-only methods whose results are stored and whose
	// equal calls are merged.
	CacheMethods []string `json:"cache_methods"`
	// LatestTTL is how long a result holds that depends on the newest block; any
	// other one holds for CacheTTL.
	LatestTTL Duration `json:"latest_ttl" range:"1ms..24h"`
	// MaxBatch is how many calls one request may hold.
	MaxBatch int `json:"max_batch" range:"1..10000"`
}

// Provider is one third-party API.
type Provider struct {
	// Prefix is the path that leads to the provider; after Parse it begins and
	// ends with "/". Prefixes may nest; the longest one that matches wins.
	Prefix string `json:"prefix"`
	// Upstream is scheme, host, optional port and optional base path, without a
	// trailing slash.
	Upstream string  `json:"upstream"`
	Auth     Auth    `json:"auth"`
	Timeout  Timeout `json:"timeout"`
	Retry    Retry   `json:"retry"`
	// The overrides are nil where the document's own value holds.
	CircuitBreaker   *BreakerOverride `json:"circuit_breaker,omitempty"`
	CacheTTL         *Duration        `json:"cache_ttl,omitempty" range:"1ms..24h"`
	CacheMaxBodySize *ByteSize        `json:"cache_max_body_size,omitempty" range:"0..1GiB"`
	CacheMode        string           `json:"cache_mode" oneof:"default rfc9111 off"`
	// Protocol is ProtocolHTTP unless JSONRPC is to hold, which is nil otherwise.
	Protocol string   `json:"protocol" oneof:"http jsonrpc"`
	JSONRPC  *JSONRPC `json:"jsonrpc,omitempty"`
}

// Timeout bounds one attempt.
type Timeout struct {
	// Connect covers DNS, TCP and TLS.
	Connect Duration `json:"connect" range:"1ms..24h"`
	// Send and Read are the longest silence between two writes to, or reads from,
	// the upstream: a stream that is alive is never cut.
	Send Duration `json:"send" range:"1ms..24h"`
	Read Duration `json:"read" range:"1ms..24h"`
	// Total bounds the whole attempt; 0 (absent) is off.
	Total Duration `json:"total,omitempty" range:"1ms..24h"`
}

// Retry is how often an attempt is repeated.
type Retry struct {
	// Times is the number of extra attempts after the first one.
	Times int `json:"times" range:"0..10"`
	// Delay is the wait before the first of them; it doubles each time.
	Delay Duration `json:"delay" range:"1ms..24h"`
}

// Breaker is the breaker configuration that holds for a provider: the document's
// own with the provider's overrides on top.
func (d *Document) Breaker(provider string) CircuitBreaker {
	breaker := d.CircuitBreaker
	override := d.Providers[provider].CircuitBreaker
	if override == nil {
		return breaker
	}
	replace(&breaker.FailureThreshold, override.FailureThreshold)
	replace(&breaker.SuccessThreshold, override.SuccessThreshold)
	replace(&breaker.Timeout, override.Timeout)
	replace(&breaker.HalfOpenRequests, override.HalfOpenRequests)
	return breaker
}

// LongestHold is the longest that a share of any limit outlives the last word from
// the leader.
func (d *Document) LongestHold() (longest time.Duration) {
	for _, l := range d.limits() {
		longest = max(longest, time.Duration(l.Hold))
	}
	return longest
}

func replace[T any](value *T, override *T) {
	if override != nil {
		*value = *override
	}
}

// JSON is the canonical form: fields in the order of the types, providers by
// name, every default written out. Documents that are Equal and have the same
// revision have the same bytes, and Parse reads them back.
func (d *Document) JSON() []byte {
	doc := *d
	if doc.Providers == nil {
		// null would mean absent, and absent means the presets.
		doc.Providers = map[string]Provider{}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&doc); err != nil {
		return nil // no type of a document can fail to encode
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

// Equal reports whether two documents say the same, whatever their revisions.
func (d *Document) Equal(other *Document) bool {
	a, b := *d, *other
	a.Revision, b.Revision = 0, 0
	return bytes.Equal(a.JSON(), b.JSON())
}
