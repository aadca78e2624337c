package httpapi

import (
	"context"
	"maps"
	"net/http"

	"apiproxy.internal/shared/config"
)

// limits are the limits of the configuration in force; null is unlimited.
type limits struct {
	Global      *config.Limit            `json:"global"`
	PerIP       *config.IPLimit          `json:"per_ip"`
	PerProvider map[string]*config.Limit `json:"per_provider" doc:"By provider; one that is not there is unlimited."`
}

type limitsOutput struct {
	ETag string `header:"ETag" doc:"The revision."`
	Body limits
}

func (s *Server) getLimits(ctx context.Context, _ *struct{}) (*limitsOutput, error) {
	current, err := s.options.Backend.Current(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	in := current.Config.RateLimit
	out := limits{Global: in.Global, PerIP: in.PerIP, PerProvider: in.PerProvider}
	if out.PerProvider == nil {
		out.PerProvider = map[string]*config.Limit{}
	}
	return &limitsOutput{ETag: etag(current.Revision), Body: out}, nil
}

// LimitInput is what a change of a limit takes beside its body.
type LimitInput struct {
	PublishParams
	IfMatch string `header:"If-Match" doc:"The ETag of the configuration that the change is meant for; without it, for whatever is in force." example:"\"3\""`
}

type providerLimitInput struct {
	Provider string `path:"provider" doc:"The name of a provider." example:"zerion"`
	LimitInput
}

// A limit keeps what the body does not name, but for the burst, which follows
// from the rate: an operator who lowers a rate wants it to hold at once, and does
// not want to lose what the limit does when the leader is silent.

func (s *Server) putGlobal(ctx context.Context, _ *LimitInput) (*published, error) {
	return s.putLimit(ctx, func(text []byte, _ *config.Document, limits *config.RateLimit) error {
		return decodeLimit(text, "rate_limit.global", &limits.Global, config.NewLimit())
	})
}

func (s *Server) putPerIP(ctx context.Context, _ *LimitInput) (*published, error) {
	return s.putLimit(ctx, func(text []byte, _ *config.Document, limits *config.RateLimit) error {
		return decodeLimit(text, "rate_limit.per_ip", &limits.PerIP, config.NewIPLimit())
	})
}

func (s *Server) putPerProvider(ctx context.Context, in *providerLimitInput) (*published, error) {
	return s.putLimit(ctx, func(text []byte, doc *config.Document, limits *config.RateLimit) error {
		if _, exists := doc.Providers[in.Provider]; !exists {
			return unknownProvider()
		}
		limit := limits.PerProvider[in.Provider]
		if err := decodeLimit(text, "rate_limit.per_provider."+in.Provider, &limit, config.NewLimit()); err != nil {
			return err
		}
		limits.PerProvider = maps.Clone(limits.PerProvider)
		if limits.PerProvider == nil {
			limits.PerProvider = map[string]*config.Limit{}
		}
		limits.PerProvider[in.Provider] = limit
		return nil
	})
}

func unknownProvider() *Problem {
	return refuse(http.StatusNotFound, "The configuration has no provider of this name; /api/v1/config shows those that it has.")
}

// putLimit publishes the document in force with one limit changed. set gets a
// copy of the limits that it may write to, though not through its pointers.
func (s *Server) putLimit(ctx context.Context, set func(text []byte, doc *config.Document, limits *config.RateLimit) error) (*published, error) {
	c := callOf(ctx)
	match, problem := precondition(c.request.Header, false)
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	text, problem := c.text()
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	return s.publish(ctx, match, func(current Revision) (*config.Document, []config.Problem, error) {
		doc := *current.Config
		if err := set(text, &doc, &doc.RateLimit); err != nil {
			return nil, nil, err
		}
		return &doc, nil, nil
	})
}

// decodeLimit replaces a limit with what the text makes of it, or of fresh if
// there is none.
func decodeLimit[L config.Limit | config.IPLimit](text []byte, path string, limit **L, fresh *L) error {
	if *limit != nil {
		*fresh = **limit
	}
	if err := config.DecodeLimit(text, path, fresh); err != nil {
		return err
	}
	*limit = fresh
	return nil
}
