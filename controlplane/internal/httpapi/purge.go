package httpapi

import (
	"context"
	"fmt"
	"strings"
	"time"

	"apiproxy.internal/shared/config"
)

const (
	purgeWait = 5 * time.Second // unless the client says something else
	maxTarget = 2048            // bytes
)

// PurgeInput is what a purge takes beside its body.
type PurgeInput struct {
	ChangeHeaders
	Wait string `query:"wait" doc:"Answer when every node that is heard has purged, at the latest after this time, at most 60s; 5s if absent, 0s to answer at once." example:"5s"`
}

type purgeOutput struct {
	Body struct {
		ID           string       `json:"id" doc:"Of the purge, as logs and events name it."`
		Nodes        int          `json:"nodes" doc:"The nodes that may be serving: all whose death is not proven."`
		Acknowledged int          `json:"acknowledged" doc:"How many of them have purged."`
		Entries      int          `json:"entries" doc:"Stored answers that these have forgotten."`
		Done         []PurgedNode `json:"done" nullable:"false" doc:"The nodes that have purged."`
		Pending      []Pending    `json:"pending,omitempty" doc:"The others. A node purges as soon as it hears the controller again; until then it goes on with what it has."`
	} `nameHint:"Purged"`
}

// purge reads what is to be purged, has it purged, and waits for the nodes.
func (s *Server) purge(ctx context.Context, _ *PurgeInput) (*purgeOutput, error) {
	c := callOf(ctx)
	p, err := s.readPurge(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	acting, cancel := act(ctx)
	defer cancel()
	id, err := s.options.Backend.Purge(acting, p, c.change.author, c.change.reason)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	wait := c.change.wait
	if query, _ := queryOf(c.request); !query.Has("wait") {
		wait = purgeWait
	}
	waiting, cancel := s.waiting(ctx, wait)
	defer cancel()
	purged := s.options.Backend.Purged(waiting, id)
	out := &purgeOutput{}
	b := &out.Body
	b.ID, b.Nodes, b.Acknowledged = id, len(purged.Done)+len(purged.Pending), len(purged.Done)
	b.Done, b.Pending = append([]PurgedNode{}, purged.Done...), purged.Pending
	for _, n := range purged.Done {
		b.Entries += n.Entries
	}
	c.result = "done"
	if len(purged.Pending) > 0 {
		c.result = "incomplete"
	}
	return out, nil
}

func (s *Server) readPurge(ctx context.Context) (p Purge, err error) {
	text, problem := callOf(ctx).text()
	if problem != nil {
		return p, problem
	}
	if err := config.Decode(text, "", &p); err != nil {
		return p, err
	}
	current, err := s.options.Backend.Current(ctx)
	if err != nil {
		return p, err
	}
	if problems := p.problems(current.Config); len(problems) > 0 {
		return p, invalid(problems...)
	}
	return p, nil
}

// problems are whatever keeps a purge from meaning something: one that is mistyped
// must not look as if it had purged.
func (p *Purge) problems(doc *config.Document) (all []config.Problem) {
	bad := func(path, message, remedy string) {
		all = append(all, config.Problem{Path: path, Message: message, Remedy: remedy})
	}
	if *p == (Purge{}) {
		bad("body", "does not say what to purge", `name a provider, a prefix or an exact target; {"prefix":"/"} is everything`)
	}
	provider, named := doc.Providers[p.Provider]
	if p.Provider != "" && !named {
		bad("provider", "is not the name of a provider", "/api/v1/config shows those that there are")
		return all
	}
	if p.Prefix != "" && p.Exact != "" {
		bad("exact", "is given beside prefix", "keep one of them")
	}
	for _, t := range []struct{ path, target string }{{"prefix", p.Prefix}, {"exact", p.Exact}} {
		switch {
		case t.target == "":
		case len(t.target) > maxTarget:
			bad(t.path, fmt.Sprintf("is longer than %d bytes", maxTarget), "give a prefix that is shorter")
		case strings.ContainsFunc(t.target, notInTarget):
			bad(t.path, "holds a space, a control character or a fragment", "write path and query as clients send them, with escapes")
		case named && !leadsTo(provider, t.target, t.path == "prefix"):
			bad(t.path, "does not lead to that provider", "begin as clients do, with "+provider.Prefix)
		case !named && !leadsAnywhere(doc, t.target, t.path == "prefix"):
			bad(t.path, "leads to no provider", "begin as clients do, with the prefix of a provider, such as /zerion/")
		}
	}
	return all
}

// notInTarget knows what no target of a request can hold.
func notInTarget(r rune) bool { return r <= ' ' || r == 0x7f || r == '#' }

func leadsAnywhere(doc *config.Document, target string, more bool) bool {
	for _, p := range doc.Providers {
		if leadsTo(p, target, more) {
			return true
		}
	}
	return false
}

// leadsTo reports whether a target is a provider's or, if it stands for all that
// begin with it, whether some of these are.
func leadsTo(p config.Provider, target string, more bool) bool {
	rest, below := strings.CutPrefix(target, strings.TrimSuffix(p.Prefix, "/"))
	return below && (rest == "" || rest[0] == '/' || rest[0] == '?') || more && strings.HasPrefix(p.Prefix, target)
}
