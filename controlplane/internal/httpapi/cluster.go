package httpapi

import (
	"context"
	"net/http"
	"time"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

type nodesOutput struct {
	Body struct {
		Nodes []Node `json:"nodes" nullable:"false"`
	} `nameHint:"Nodes"`
}

func (s *Server) getNodes(ctx context.Context, _ *struct{}) (*nodesOutput, error) {
	nodes, err := s.options.Backend.Nodes(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &nodesOutput{}
	out.Body.Nodes = make([]Node, 0, len(nodes))
	for _, n := range nodes {
		if n.Shares == nil {
			n.Shares = map[string]Share{}
		}
		out.Body.Nodes = append(out.Body.Nodes, n)
	}
	return out, nil
}

type nodeInput struct {
	ChangeHeaders
	ID string `path:"id" doc:"The id of a node." example:"node-1"`
}

type nodeOutput struct {
	Body struct {
		ID    string `json:"id"`
		State string `json:"state" enum:"gone"`
	} `nameHint:"DeadNode"`
}

func (s *Server) deleteNode(ctx context.Context, in *nodeInput) (*nodeOutput, error) {
	c := callOf(ctx)
	acting, cancel := act(ctx)
	defer cancel()
	if err := s.options.Backend.ConfirmDeath(acting, in.ID, c.change.author, c.change.reason); err != nil {
		return nil, s.fail(ctx, err)
	}
	c.result = "done"
	out := &nodeOutput{}
	out.Body.ID, out.Body.State = in.ID, status.Gone
	return out, nil
}

// breaker is a breaker as the API shows it. It differs from the status document
// in that a hold without end has no time.
type breaker struct {
	State    string     `json:"state" enum:"closed,open,half_open"`
	Failures int        `json:"failures" doc:"Consecutive failed attempts."`
	OpenedAt *time.Time `json:"opened_at"`
	RetryAt  *time.Time `json:"retry_at" doc:"When probes begin."`
	Forced   *hold      `json:"forced" doc:"The hold of an operator."`
}

type hold struct {
	State  string     `json:"state"`
	Reason string     `json:"reason"`
	Author string     `json:"author"`
	Until  *time.Time `json:"until" doc:"null: until an operator ends it."`
}

func breakerOf(b status.Breaker) breaker {
	out := breaker{State: b.State, Failures: b.Failures, OpenedAt: b.OpenedAt, RetryAt: b.RetryAt}
	if b.Forced != nil {
		out.Forced = &hold{State: b.Forced.State, Reason: b.Forced.Reason, Author: b.Forced.Author}
		if until := b.Forced.Until; !until.IsZero() {
			out.Forced.Until = &until
		}
	}
	return out
}

type breakersOutput struct {
	Body struct {
		Breakers map[string]breaker `json:"breakers"`
	} `nameHint:"Breakers"`
}

func (s *Server) getBreakers(ctx context.Context, _ *struct{}) (*breakersOutput, error) {
	all, err := s.options.Backend.Breakers(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &breakersOutput{}
	out.Body.Breakers = make(map[string]breaker, len(all))
	for name, b := range all {
		out.Body.Breakers[name] = breakerOf(b)
	}
	return out, nil
}

// order is the body of an order to a breaker.
type order struct {
	Reason string          `json:"reason" required:"false" maxLength:"256" doc:"Why, for everybody who looks at the breaker."`
	TTL    config.Duration `json:"ttl" required:"false" range:"1ms..720h" doc:"How long a trip holds; without it, until auto or reset. Means nothing to the other orders."`
}

type orderInput struct {
	ChangeHeaders
	Provider string `path:"provider" doc:"The name of a provider." example:"zerion"`
}

type orderOutput struct {
	Body breaker
}

func (s *Server) trip(ctx context.Context, in *orderInput) (*orderOutput, error) {
	return s.order(ctx, func(ctx context.Context, ttl time.Duration, author, reason string) (status.Breaker, error) {
		return s.options.Backend.Trip(ctx, in.Provider, ttl, author, reason)
	})
}

func (s *Server) reset(ctx context.Context, in *orderInput) (*orderOutput, error) {
	return s.order(ctx, func(ctx context.Context, _ time.Duration, author, reason string) (status.Breaker, error) {
		return s.options.Backend.Reset(ctx, in.Provider, author, reason)
	})
}

func (s *Server) auto(ctx context.Context, in *orderInput) (*orderOutput, error) {
	return s.order(ctx, func(ctx context.Context, _ time.Duration, author, reason string) (status.Breaker, error) {
		return s.options.Backend.Auto(ctx, in.Provider, author, reason)
	})
}

// order reads the body, which may be empty, and gives the order.
func (s *Server) order(ctx context.Context, give func(ctx context.Context, ttl time.Duration, author, reason string) (status.Breaker, error)) (*orderOutput, error) {
	c := callOf(ctx)
	o := order{Reason: c.change.reason}
	if err := c.readOrder(&o); err != nil {
		return nil, s.fail(ctx, err)
	}
	c.change.reason = o.Reason
	acting, cancel := act(ctx)
	defer cancel()
	b, err := give(acting, time.Duration(o.TTL), c.change.author, o.Reason)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	c.result = "done"
	return &orderOutput{Body: breakerOf(b)}, nil
}

func (c *call) readOrder(o *order) error {
	if len(c.body) == 0 {
		return nil
	}
	text, problem := c.text()
	if problem != nil {
		return problem
	}
	if err := config.Decode(text, "", o); err != nil {
		return err
	}
	if !isLine(o.Reason, maxReason) {
		return invalid(config.Problem{Path: "reason", Message: "is not one line of text", Remedy: "use at most 256 printable characters"})
	}
	return nil
}

// healthy is the answer of /health and /ready.
type healthy struct {
	Status  string `json:"status" doc:"ok; what is missing otherwise."`
	Version string `json:"version"`
}

type healthOutput struct {
	Status int
	Body   healthy
}

func (s *Server) getHealth(context.Context, *struct{}) (*healthOutput, error) {
	return &healthOutput{http.StatusOK, healthy{"ok", s.options.Version}}, nil
}

func (s *Server) getReady(ctx context.Context, _ *struct{}) (*healthOutput, error) {
	if s.stopping.Err() != nil {
		return nil, s.fail(ctx, refuse(http.StatusServiceUnavailable, "The control plane is stopping."))
	}
	if err := s.options.Backend.Ready(); err != nil {
		return nil, s.fail(ctx, refuse(http.StatusServiceUnavailable, "The control plane is not ready: %v", err))
	}
	return &healthOutput{http.StatusOK, healthy{"ready", s.options.Version}}, nil
}
