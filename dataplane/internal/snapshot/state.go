package snapshot

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/clientaddr"
	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/offheap"
	"apiproxy.internal/dataplane/internal/retry"
	"apiproxy.internal/dataplane/internal/route"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// State is what outlives a configuration. A limit or provider that a document
// leaves out keeps its state here, so that taking it out and putting it back
// neither refills a bucket nor closes a breaker.
type State struct {
	metrics *metrics.Node
	dial    upstream.DialFunc
	lookup  func(string) (string, bool)
	clock   func() int64
	cache   *store.Store

	mu        sync.Mutex // one change at a time
	perIP     *limit.AddrTable
	global    *limit.Bucket
	providers map[string]*providerState

	notify  func()                       // nil = the node is on its own
	imposed map[string]wire.BreakerEntry // the leader's last word on each breaker
	leases  *leases                      // nil = the node is on its own

	suspects *lease.Suspects // nil = the node is on its own
}

type providerState struct {
	limit   *limit.Bucket
	breaker *breaker.Breaker
	budget  *retry.Budget
	pool    *upstream.Pool
}

// NewState makes an empty state. dial opens upstream connections, lookup finds
// environment variables, clock is the node's monotonic clock.
func NewState(m *metrics.Node, dial upstream.DialFunc, lookup func(string) (string, bool), clock func() int64) *State {
	return &State{
		metrics: m, dial: dial, lookup: lookup, clock: clock,
		cache:     store.New(0, 0, store.Memory{Alloc: offheap.Alloc, Free: offheap.Free}),
		providers: make(map[string]*providerState),
	}
}

// Cache holds the stored answers of all providers.
func (s *State) Cache() *store.Store { return s.cache }

// Apply compiles doc at time now and hands the snapshot to publish. On an error
// nothing has changed. In order: everything that can fail, then the changes to
// the state, then publish, then what the old snapshot alone used is closed.
func (s *State) Apply(doc *config.Document, now int64, publish func(*Snapshot)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	targets, err := parseTargets(doc)
	if err != nil {
		return err
	}
	// Nothing below can fail.
	snap := &Snapshot{
		Document:    doc,
		Trusted:     clientaddr.Trusted(doc.Proxy.TrustedProxies),
		Allowed:     doc.Proxy.AllowedIPs,
		MaxBody:     int64(doc.Proxy.MaxBodySize),
		MaxInFlight: int64(doc.Server.MaxInFlight),
		ServeStale:  doc.Proxy.ServeStaleWhenLimited,
	}
	s.applyCache(doc, now)
	s.applyFairness(snap, doc.RateLimit, now)
	plans := make(map[string]*Plan, len(doc.Providers))
	var unused []*upstream.Pool
	moved := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(doc.Providers)) {
		plan, old := s.applyProvider(doc, name, targets[name], now)
		snap.Plans = append(snap.Plans, plan)
		plans[doc.Providers[name].Prefix] = plan
		if old != nil {
			unused = append(unused, old)
			moved[name] = true
		}
	}
	snap.Routes = route.New(plans)
	unused = append(unused, s.retire(doc, moved)...)
	publish(snap)
	if len(moved) > 0 {
		s.forget(moved)
	}
	for _, pool := range unused {
		pool.Close()
	}
	return nil
}

func parseTargets(doc *config.Document) (map[string]upstream.Target, error) {
	targets := make(map[string]upstream.Target, len(doc.Providers))
	for name, p := range doc.Providers {
		t, err := upstream.ParseTarget(p.Upstream)
		if err != nil {
			return nil, fmt.Errorf("providers.%s.upstream: %w", name, err)
		}
		targets[name] = t
	}
	return targets, nil
}

func (s *State) applyFairness(snap *Snapshot, limits config.RateLimit, now int64) {
	if l := limits.PerIP; l != nil {
		params := limitParams(l.Rate, l.Burst)
		if s.perIP == nil {
			s.perIP = limit.NewAddrTable(now, params, l.IPv6Prefix, limit.DefaultSlots)
		} else {
			s.perIP.Configure(now, params, l.IPv6Prefix)
		}
		snap.PerIP, snap.PerIPPolicy = s.perIP, limit.NewPolicy("per_ip", params)
		snap.Suspects = s.suspects
	}
	if l := limits.Global; l != nil {
		snap.Global = s.applyLimit(&s.global, wire.GlobalLimit, "global", l, now)
	}
}

// applyProvider also returns the pool that the provider used up to now, if the
// new document connects to another place.
func (s *State) applyProvider(doc *config.Document, name string, target upstream.Target, now int64) (*Plan, *upstream.Pool) {
	p := doc.Providers[name]
	cb := breakerConfig(doc.Breaker(name))
	st := s.providers[name]
	if st == nil {
		st = &providerState{breaker: s.newBreaker(name, cb, now), budget: new(retry.Budget)}
		s.providers[name] = st
	} else {
		st.breaker.Configure(cb)
	}
	var old *upstream.Pool
	if st.pool == nil || st.pool.Target() != target {
		old, st.pool = st.pool, upstream.NewPool(target, s.dial)
	}
	plan := &Plan{
		Name:    name,
		Breaker: st.breaker,
		Retry:   retry.Policy{Times: p.Retry.Times, Delay: time.Duration(p.Retry.Delay)},
		Budget:  st.budget,
		Pool:    st.pool,
		Timeouts: upstream.Timeouts{
			Connect: time.Duration(p.Timeout.Connect),
			Send:    time.Duration(p.Timeout.Send),
			Read:    time.Duration(p.Timeout.Read),
		},
		Total:      time.Duration(p.Timeout.Total),
		Cache:      cacheRules(doc, &p),
		CacheOwner: s.cache.Owner(name),
		Metrics:    s.metrics.Provider(name),
	}
	if l := doc.RateLimit.PerProvider[name]; l != nil {
		plan.Limit = s.applyLimit(&st.limit, wire.ProviderLimit(name), name, l, now)
	}
	plan.RPC = rpcRules(&p, plan.Cache.TTL)
	plan.Credential, plan.CredentialError = credential.Compile(p.Auth, s.lookup)
	plan.Metrics.Gauges(func() metrics.ProviderGauges {
		b := plan.Breaker.Stats(s.clock())
		used := s.cache.Usage(plan.CacheOwner)
		return metrics.ProviderGauges{
			ActiveConnections: plan.Pool.Active(),
			BreakerState:      b.State,
			BreakerFailures:   int64(b.Failures),
			HalfOpenSlots:     int64(b.SlotsInUse),
			CacheEntries:      used.Entries,
			CacheBytes:        used.Bytes,
		}
	})
	return plan, old
}

// retire hides what the document no longer names; its counts and its breaker
// stay, its copies do not: should it come back, it may be somewhere else.
func (s *State) retire(doc *config.Document, moved map[string]bool) []*upstream.Pool {
	var unused []*upstream.Pool
	for name, st := range s.providers {
		if _, ok := doc.Providers[name]; ok || st.pool == nil {
			continue
		}
		unused = append(unused, st.pool)
		moved[name] = true
		st.pool = nil
		s.metrics.Provider(name).Gauges(nil)
	}
	return unused
}

// Close closes the idle connections of all pools, active ones end at their
// release, and gives the cache's memory back.
func (s *State) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.providers {
		if st.pool != nil {
			st.pool.Close()
		}
	}
	s.cache.Resize(0, 0, 0)
}

// Sweep closes connections that have been idle too long.
func (s *State) Sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.providers {
		if st.pool != nil {
			st.pool.Sweep(now)
		}
	}
}

// limitParams maps a configured rate of 0 to the parameters that refuse all,
// whatever the burst.
func limitParams(r config.Rate, burst int64) limit.Params {
	num, den := r.PerSecond()
	if num == 0 {
		return limit.Params{}
	}
	return limit.Params{Num: num, Den: den, Burst: burst}
}

func breakerConfig(c config.CircuitBreaker) breaker.Config {
	return breaker.Config{
		FailureThreshold: c.FailureThreshold,
		SuccessThreshold: c.SuccessThreshold,
		HalfOpenRequests: c.HalfOpenRequests,
		Timeout:          time.Duration(c.Timeout),
	}
}
