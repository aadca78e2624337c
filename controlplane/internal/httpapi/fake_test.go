package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// fake is a cluster of which only the configuration is real.
type fake struct {
	mu        sync.Mutex
	revisions []Revision // oldest first
	between   func()     // runs once between the reading and the writing of an update
	fail      error      // of everything
	ready     error
	applied   func(ctx context.Context, revision uint64) Applied
	breakers  map[string]status.Breaker
	nodes     []Node
	events    chan Event
	after     uint64        // of the last subscription
	cancelled chan struct{} // a subscription has ended
	writes    int           // whatever changed something
	purge     Purge         // the last one
	waited    time.Duration // that its caller was ready to wait
	pending   []Pending     // of purges
}

func newFake() *fake {
	doc := config.Default()
	opened := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	return &fake{
		revisions: []Revision{{Revision: 1, Time: opened, Author: "controller", Reason: "first start", Config: doc}},
		breakers: map[string]status.Breaker{
			"zerion":    {State: "closed"},
			"coingecko": {State: "open", Failures: 5, OpenedAt: &opened, RetryAt: &opened},
			"alchemy":   {State: "closed"},
		},
		nodes: []Node{
			{Node: status.Node{ID: "n1", Incarnation: "a", State: status.Live, Mode: status.Leased, Revision: 1}},
			{Node: status.Node{ID: "n2", Incarnation: "b", State: status.Suspect, Mode: status.Holding, Revision: 1}, Shares: map[string]Share{"zerion": {Rate: 100, Burst: 166}}},
		},
		events:    make(chan Event, 8),
		cancelled: make(chan struct{}, 8),
	}
}

func (f *fake) revision() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revisions[len(f.revisions)-1].Revision
}

func (f *fake) Current(context.Context) (Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revisions[len(f.revisions)-1], f.fail
}

func (f *fake) Update(ctx context.Context, author, reason string, next func(Revision) (*config.Document, error)) (uint64, error) {
	for {
		current, err := f.Current(ctx)
		if err != nil {
			return 0, err
		}
		doc, err := next(current)
		if err != nil {
			return 0, err
		}
		f.mu.Lock()
		between := f.between
		f.between = nil
		f.mu.Unlock()
		if between != nil {
			between()
		}
		f.mu.Lock()
		if last := f.revisions[len(f.revisions)-1].Revision; last == current.Revision {
			f.writes++
			f.revisions = append(f.revisions, Revision{last + 1, time.Now(), author, reason, doc})
			f.mu.Unlock()
			return last + 1, nil
		}
		f.mu.Unlock()
	}
}

func (f *fake) Applied(ctx context.Context, revision uint64) Applied {
	if f.applied != nil {
		return f.applied(ctx, revision)
	}
	return Applied{Nodes: 3, Applied: 3}
}

func (f *fake) Revisions(context.Context) ([]Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := slices.Clone(f.revisions)
	slices.Reverse(all)
	return all, f.fail
}

func (f *fake) Revision(_ context.Context, n uint64) (Revision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.revisions {
		if r.Revision == n {
			return r, f.fail
		}
	}
	return Revision{}, fmt.Errorf("%w: revision %d", ErrUnknown, n)
}

func (f *fake) Merge(old *config.Document, patch []byte) (*config.Document, []config.Problem, error) {
	var base, changes map[string]any
	_ = json.Unmarshal(old.JSON(), &base)
	if err := json.Unmarshal(patch, &changes); err != nil {
		return nil, nil, config.Problems{{Message: "not valid JSON", Remedy: "correct the syntax"}}
	}
	merge(base, changes)
	text, _ := json.Marshal(base)
	return config.Parse(text)
}

func merge(base, patch map[string]any) {
	for name, value := range patch {
		inner, isObject := value.(map[string]any)
		old, wasObject := base[name].(map[string]any)
		switch {
		case value == nil:
			delete(base, name)
		case isObject && wasObject:
			merge(old, inner)
		default:
			base[name] = value
		}
	}
}

// Diff only knows the limits.
func (f *fake) Advise(doc *config.Document) []config.Problem {
	if l := doc.RateLimit.Global; l != nil && l.Burst == 1 {
		return []config.Problem{{Path: "rate_limit.global", Message: "is thin"}}
	}
	return nil
}

func (f *fake) Diff(from, to *config.Document) []Difference {
	var all []Difference
	add := func(path string, a, b any) {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b)
		if string(x) != string(y) {
			all = append(all, Difference{path, x, y})
		}
	}
	add("rate_limit.global", from.RateLimit.Global, to.RateLimit.Global)
	add("rate_limit.per_ip", from.RateLimit.PerIP, to.RateLimit.PerIP)
	add("rate_limit.per_provider", from.RateLimit.PerProvider, to.RateLimit.PerProvider)
	return all
}

func (f *fake) Nodes(context.Context) ([]Node, error) { return f.nodes, f.fail }

func (f *fake) ConfirmDeath(_ context.Context, node, _, _ string) error {
	i := slices.IndexFunc(f.nodes, func(n Node) bool { return n.ID == node })
	switch {
	case f.fail != nil:
		return f.fail
	case i < 0:
		return fmt.Errorf("%w: no node %.64q; /api/v1/nodes lists them", ErrUnknown, node)
	case f.nodes[i].State == status.Live:
		return fmt.Errorf("%w: node %s is live; stop it first", ErrConflict, node)
	}
	f.write()
	return nil
}

func (f *fake) write() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
}

func (f *fake) Breakers(context.Context) (map[string]status.Breaker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.breakers), f.fail
}

func (f *fake) set(provider string, b status.Breaker) (status.Breaker, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.breakers[provider]; !ok {
		return b, fmt.Errorf("%w: no provider %.64q", ErrUnknown, provider)
	}
	if f.fail == nil {
		f.breakers[provider] = b
		f.writes++
	}
	return b, f.fail
}

func (f *fake) Trip(_ context.Context, provider string, ttl time.Duration, author, reason string) (status.Breaker, error) {
	forced := status.Forced{State: "open", Reason: reason, Author: author}
	if ttl > 0 {
		forced.Until = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC).Add(ttl)
	}
	return f.set(provider, status.Breaker{State: "open", Forced: &forced})
}

func (f *fake) Reset(_ context.Context, provider, _, _ string) (status.Breaker, error) {
	return f.set(provider, status.Breaker{State: "closed"})
}

func (f *fake) Auto(_ context.Context, provider, _, _ string) (status.Breaker, error) {
	return f.set(provider, status.Breaker{State: "half_open"})
}

func (f *fake) Purge(_ context.Context, p Purge, _, _ string) (string, error) {
	if f.fail == nil {
		f.write()
		f.purge = p
	}
	return "K3", f.fail
}

func (f *fake) Purged(ctx context.Context, id string) Purged {
	deadline, _ := ctx.Deadline()
	f.waited = time.Until(deadline).Round(time.Second)
	return Purged{Done: []PurgedNode{{ID: "n1", Entries: 40}, {ID: "n2", Entries: 2}}, Pending: f.pending}
}

func (f *fake) Status() status.Document {
	limit := &status.Limit{Rate: 300, Burst: 500}
	return status.Document{
		GeneratedAt: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC),
		Config:      status.Config{Revision: f.revision(), Author: "admin"},
		Nodes:       []status.Node{f.nodes[0].Node},
		Limits:      status.Limits{Global: limit},
		Providers:   map[string]status.Provider{"zerion": {State: "closed", Limit: limit, Credential: "ok"}, "alchemy": {State: "open"}},
	}
}

func (f *fake) Ready() error { return f.ready }

func (f *fake) Subscribe(after uint64) (<-chan Event, func()) {
	f.mu.Lock()
	f.after = after
	f.mu.Unlock()
	return f.events, sync.OnceFunc(func() { f.cancelled <- struct{}{} })
}

// page stands in for the status page.
type page struct{}

func (page) Render(w io.Writer, doc status.Document) error {
	_, err := fmt.Fprintf(w, "<!doctype html><title>revision %d</title>", doc.Config.Revision)
	return err
}

func (page) Assets() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, cmp.Or(strings.TrimPrefix(r.URL.Path, "/status/assets/"), "none"))
	})
}

func (page) CSP() string { return "default-src 'self'" }
