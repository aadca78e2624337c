package httpapi

import (
	"bytes"
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"time"

	"apiproxy.internal/shared/config"
)

// published is the answer to a change of the configuration.
type published struct {
	ETag string `header:"ETag" doc:"The revision in force, for If-Match."`
	Body outcome
}

// outcome is what became of a change.
type outcome struct {
	Revision  uint64           `json:"revision" doc:"The revision in force: the new one or, for a dry run or a change that changes nothing, the one that was there."`
	Unchanged bool             `json:"unchanged,omitempty" doc:"The document already says this, and nothing was published."`
	Nodes     *int             `json:"nodes,omitempty" doc:"With wait: the nodes that were live at publishing."`
	Applied   *int             `json:"applied,omitempty" doc:"With wait: how many of them run the revision."`
	Pending   []Pending        `json:"pending,omitempty" doc:"With wait: the others."`
	DryRun    bool             `json:"dry_run,omitempty" doc:"Nothing was published."`
	Changes   *[]Difference    `json:"changes,omitempty" doc:"With dry_run: what the change would change."`
	Warnings  []config.Problem `json:"warnings,omitempty" doc:"What is legal in the document and perhaps not meant."`
}

// errUnchanged ends an update that would publish the document in force.
var errUnchanged = errors.New("nothing changes")

// edit makes a document out of the one in force. It may be called several times.
type edit func(current Revision) (*config.Document, []config.Problem, error)

// publish brings a change into force, or shows what it would do.
//
// A change that names the revision it is based on always becomes a new one, even
// if the documents are equal: of two writers who name the same revision exactly
// one wins. Any other change that changes nothing publishes nothing, so that a
// job which repeats a setting does not fill the history.
func (s *Server) publish(ctx context.Context, match tags, edit edit) (*published, error) {
	c := callOf(ctx)
	var warnings []config.Problem
	next := func(current Revision) (doc *config.Document, err error) {
		c.from = current.Revision
		if match.given && !match.match(current.Revision) {
			return nil, stale(match, current.Revision)
		}
		if doc, warnings, err = edit(current); err != nil {
			return nil, err
		}
		warnings = append(slices.Clip(warnings), s.options.Backend.Advise(doc)...)
		conditional := match.given && !match.any
		if !c.change.dryRun && !conditional && doc.Equal(current.Config) {
			return nil, errUnchanged
		}
		fresh := *doc // it may be a document that was published before, with its number
		fresh.Revision = 0
		return &fresh, nil
	}
	if c.change.dryRun {
		return s.preview(ctx, next, &warnings)
	}
	acting, cancel := act(ctx)
	defer cancel()
	revision, err := s.options.Backend.Update(acting, c.change.author, c.change.reason, next)
	unchanged := errors.Is(err, errUnchanged)
	if err != nil && !unchanged {
		return nil, s.fail(ctx, err)
	}
	c.result = "published"
	if unchanged {
		c.result, revision = "unchanged", c.from
	}
	c.to = revision
	out := &published{ETag: etag(revision), Body: outcome{Revision: revision, Unchanged: unchanged, Warnings: warnings}}
	if c.change.wait > 0 {
		s.await(ctx, &out.Body)
	}
	return out, nil
}

// act is the context of what changes something: it goes on when the client has
// gone, so that the audit knows how it ended, though not for ever.
func act(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), actTimeout)
}

func (s *Server) preview(ctx context.Context, next func(Revision) (*config.Document, error), warnings *[]config.Problem) (*published, error) {
	current, err := s.options.Backend.Current(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	doc, err := next(current)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	changes := s.options.Backend.Diff(current.Config, doc)
	if changes == nil {
		changes = []Difference{}
	}
	callOf(ctx).result = "dry_run"
	return &published{ETag: etag(current.Revision), Body: outcome{
		Revision: current.Revision, DryRun: true, Unchanged: len(changes) == 0, Changes: &changes, Warnings: *warnings,
	}}, nil
}

// await fills in how far a revision has come within the time that the client
// grants.
func (s *Server) await(ctx context.Context, out *outcome) {
	ctx, cancel := s.waiting(ctx, callOf(ctx).change.wait)
	defer cancel()
	applied := s.options.Backend.Applied(ctx, out.Revision)
	out.Nodes, out.Applied, out.Pending = &applied.Nodes, &applied.Applied, applied.Pending
}

// waiting is the context of a wait, which ends early when the client goes or the
// server stops. It moves the deadlines of the connection.
func (s *Server) waiting(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	control := http.NewResponseController(callOf(ctx))
	_ = control.SetReadDeadline(time.Time{}) // what is watched now is whether the client goes
	_ = control.SetWriteDeadline(time.Now().Add(wait + writeTimeout))
	ctx, cancel := context.WithTimeout(ctx, wait)
	stop := context.AfterFunc(s.stopping, cancel)
	return ctx, func() { stop(); cancel() }
}

// fail turns an error of the backend into an answer, and keeps it for the audit.
func (s *Server) fail(ctx context.Context, err error) error {
	c := callOf(ctx)
	problem, logged := answerTo(err)
	if logged && c.request.Context().Err() == nil {
		s.options.Log.Error("the control plane could not answer a request", "method", method(c.request.Method), "route", route(c.pattern), "status", problem.Status, "error", err.Error())
	}
	c.problem = problem
	return problem
}

// text is the body of a write as config reads it. What does not say that it is
// YAML is JSON, so that a slip does not pass as something else.
func (c *call) text() ([]byte, *Problem) {
	body := bytes.TrimLeft(bytes.TrimPrefix(c.body, []byte("\ufeff")), " \t\r\n")
	kind, _, _ := mime.ParseMediaType(c.request.Header.Get("Content-Type"))
	if kind != "application/yaml" && !bytes.HasPrefix(body, []byte("{")) {
		message := "is not a JSON object"
		if len(body) == 0 {
			message = "is empty"
		}
		return nil, invalid(config.Problem{Path: "body", Message: message, Remedy: "send an object that begins with {, or YAML with Content-Type: application/yaml"})
	}
	return c.body, nil
}
