package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// Backend is what the API is a window on. All methods may be called at once and
// return early when their context ends. An error is one of those below, wrapped or
// not, or something unforeseen, which is answered with 500; the text of an error
// that wraps one of them is shown to the operator, so it says what to do.
type Backend interface {
	// Current is the configuration in force, or ErrUnavailable until there is one.
	Current(ctx context.Context) (Revision, error)
	// Update publishes what next makes of the configuration in force, by
	// compare-and-set against the very revision that next was given: if another
	// writer comes in between, next is asked again with the newer one. An error of
	// next ends the update and is returned as it is, with nothing published. It
	// publishes whatever next returns, also if nothing changes by it, under the
	// next revision, which it writes into a copy of the document, and returns that.
	Update(ctx context.Context, author, reason string, next func(current Revision) (*config.Document, error)) (revision uint64, err error)
	// Applied waits until every node that was live when the revision was published
	// runs it, or until ctx ends, and says how far they are. A node that runs a
	// newer revision, or that has gone since, does not hold it up.
	Applied(ctx context.Context, revision uint64) Applied

	// Revisions are the last 64, newest first; their Config may be nil.
	Revisions(ctx context.Context) ([]Revision, error)
	// Revision is one of them with its Config, or ErrUnknown.
	Revision(ctx context.Context, n uint64) (Revision, error)

	// Merge is the document that a merge patch (RFC 7396) makes of another one. The
	// patch is a JSON object without duplicate fields; what is wrong with its outcome
	// is config.Problems.
	Merge(old *config.Document, patch []byte) (merged *config.Document, warnings []config.Problem, err error)
	// Advise says what is odd about a document in the cluster as it is now.
	Advise(doc *config.Document) []config.Problem
	// Diff is how two documents differ, by path.
	Diff(from, to *config.Document) []Difference

	Nodes(ctx context.Context) ([]Node, error)
	// ConfirmDeath takes an operator's word that a node is dead, so that its share
	// can be given away. ErrUnknown, or ErrConflict if it is heard of right now.
	ConfirmDeath(ctx context.Context, node, author, reason string) error

	// Breakers are the breakers of all providers.
	Breakers(ctx context.Context) (map[string]status.Breaker, error)
	// Trip holds a breaker open, for ttl or, if that is 0, until Auto or Reset.
	// Reset closes it, with its count at 0 and no hold. Auto drops the hold; without
	// one nothing changes. Each returns the breaker as it is then, or ErrUnknown.
	Trip(ctx context.Context, provider string, ttl time.Duration, author, reason string) (status.Breaker, error)
	Reset(ctx context.Context, provider, author, reason string) (status.Breaker, error)
	Auto(ctx context.Context, provider, author, reason string) (status.Breaker, error)

	// Purge stores a purge of the nodes' caches and tells them of it. Purged waits
	// until every node that is heard has done it, or until ctx ends, and says how far
	// they are. A node that was cut off does it as soon as it hears of it.
	Purge(ctx context.Context, p Purge, author, reason string) (id string, err error)
	Purged(ctx context.Context, id string) Purged

	// Status is the view of the whole cluster.
	Status() status.Document
	// Ready is nil if the controller can do its work; else the error says what is
	// missing.
	Ready() error
	// Subscribe delivers what happens from now on, and before it whatever is still
	// kept of the events after an id; 0 is no id. The channel is closed when the
	// reader is too slow or the backend stops. cancel ends the subscription; it may
	// be called more than once.
	Subscribe(after uint64) (events <-chan Event, cancel func())
}

// The errors of a Backend that have an answer of their own.
var (
	ErrUnknown     = errors.New("there is no such thing")                // 404
	ErrConflict    = errors.New("this cannot be done now")               // 409
	ErrUnavailable = errors.New("the configuration store is away")       // 503; nothing was changed
	ErrUncertain   = errors.New("the configuration store did not reply") // 504; the change may have been made
	ErrFull        = errors.New("the disk of the control plane is full") // 507; nothing was changed
)

// Revision is a published configuration.
type Revision struct {
	Revision uint64
	Time     time.Time
	Author   string
	Reason   string
	Config   *config.Document // shared: nobody changes it
}

// Applied says how far a revision has come.
type Applied struct {
	Nodes   int       // live when it was published
	Applied int       // of those
	Pending []Pending // the others
}

// Pending is a node that does not run a revision, or has not purged.
type Pending struct {
	ID     string `json:"id"`
	Reason string `json:"reason" doc:"Why: it has not reported yet, or what it found wrong with a revision."`
}

// Purge says which stored answers the nodes are to forget: those for which all
// that is given holds.
type Purge struct {
	Provider string `json:"provider" required:"false" doc:"The name of a provider." example:"zerion"`
	Prefix   string `json:"prefix" required:"false" maxLength:"2048" doc:"What path and query begin with, byte for byte as clients write them, with the provider's own prefix. / is everything." example:"/zerion/v1/wallets/"`
	Exact    string `json:"exact" required:"false" maxLength:"2048" doc:"The whole path and query, likewise, but without the parameter that the provider's own key takes; all variants of it. Not together with prefix." example:"/zerion/v1/chains?page=2"`
}

// Purged says how far a purge is, by node.
type Purged struct {
	Done    []PurgedNode
	Pending []Pending
}

// PurgedNode is a node that has purged.
type PurgedNode struct {
	ID      string `json:"id"`
	Entries int    `json:"entries" doc:"Stored answers that it has forgotten: by this purge, or because it was cut off before and has cleared its cache."`
}

// Difference is one value that differs between two documents.
type Difference struct {
	Path string          `json:"path" example:"rate_limit.global.rate"`
	Old  json.RawMessage `json:"old,omitempty" doc:"The value in force; absent if there is none."`
	New  json.RawMessage `json:"new,omitempty" doc:"The value that the change would bring into force; absent if there would be none."`
}

// Node is a node of the cluster and what it may spend.
type Node struct {
	status.Node
	Shares map[string]Share `json:"shares" doc:"The node's part of each limit, by the name of the limit: global, per_ip or a provider."`
}

// Share is one node's part of a limit.
type Share struct {
	Rate  float64 `json:"rate" doc:"Requests per second."`
	Burst int64   `json:"burst" doc:"Requests at once."`
}

// Event is something that happened in the cluster.
type Event struct {
	ID   uint64          // grows; never 0
	Name string          // breaker, config_published, config_applied, node_joined, node_left, limit_exhausted or cache_purged
	Data json.RawMessage // an object with "time"
}
