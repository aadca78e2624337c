package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"apiproxy.internal/shared/config"
)

// document is a configuration as the API shows it, with its revision.
type document struct{ config.Document }

// MarshalJSON is the canonical form.
func (d document) MarshalJSON() ([]byte, error) { return d.JSON(), nil }

func documentOf(r Revision) document {
	doc := *r.Config
	doc.Revision = r.Revision
	return document{doc}
}

type configInput struct {
	IfNoneMatch string `header:"If-None-Match" doc:"The ETag of the document that the client has; the answer is 304 if it is still in force."`
}

type configOutput struct {
	Status int
	ETag   string `header:"ETag" doc:"The revision, for If-Match."`
	Body   document
}

func (s *Server) getConfig(ctx context.Context, _ *configInput) (*configOutput, error) {
	current, err := s.options.Backend.Current(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &configOutput{Status: http.StatusOK, ETag: etag(current.Revision), Body: documentOf(current)}
	if known, err := readTags(callOf(ctx).request.Header, "If-None-Match"); err == nil && known.weakMatch(current.Revision) {
		out.Status = http.StatusNotModified
	}
	return out, nil
}

// PutInput is what a change needs that says what it is based on.
type PutInput struct {
	PublishParams
	IfMatch string `header:"If-Match" required:"true" doc:"The ETag of the document that this one is based on; * for any." example:"\"3\""`
}

func (s *Server) putConfig(ctx context.Context, _ *PutInput) (*published, error) {
	c := callOf(ctx)
	match, problem := precondition(c.request.Header, true)
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	text, problem := c.text()
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	doc, warnings, err := config.Parse(text)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return s.publish(ctx, match, func(Revision) (*config.Document, []config.Problem, error) { return doc, warnings, nil })
}

type patchInput struct {
	PublishParams
	IfMatch string `header:"If-Match" doc:"The ETag of the document that the patch is meant for; without it the patch is for whatever is in force." example:"\"3\""`
}

func (s *Server) patchConfig(ctx context.Context, _ *patchInput) (*published, error) {
	c := callOf(ctx)
	match, problem := precondition(c.request.Header, false)
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	text, problem := c.text()
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	patch, err := config.ToJSON(text)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	return s.publish(ctx, match, func(current Revision) (*config.Document, []config.Problem, error) {
		doc, warnings, err := s.options.Backend.Merge(current.Config, patch)
		if problems, ok := errors.AsType[config.Problems](err); ok {
			err = withoutLines(problems)
		}
		return doc, withoutLines(warnings), err
	})
}

// withoutLines drops the lines of a text that the client has never seen.
func withoutLines(problems config.Problems) config.Problems {
	problems = slices.Clone(problems)
	for i := range problems {
		problems[i].Line = 0
	}
	return problems
}

// Entry is one line of the history.
type Entry struct {
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Reason   string    `json:"reason"`
}

func entryOf(r Revision) Entry { return Entry{r.Revision, r.Time.UTC(), r.Author, r.Reason} }

type revisionsOutput struct {
	Body struct {
		Revisions []Entry `json:"revisions" nullable:"false" doc:"The last 64, newest first."`
	} `nameHint:"Revisions"`
}

func (s *Server) getRevisions(ctx context.Context, _ *struct{}) (*revisionsOutput, error) {
	all, err := s.options.Backend.Revisions(ctx)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &revisionsOutput{}
	out.Body.Revisions = make([]Entry, 0, len(all))
	for _, r := range all {
		out.Body.Revisions = append(out.Body.Revisions, entryOf(r))
	}
	return out, nil
}

// RevisionParam names a revision.
type RevisionParam struct {
	N string `path:"n" doc:"The number of a revision." pattern:"^[0-9]+$" example:"3"`
}

type revisionOutput struct {
	Body struct {
		Entry
		Config document `json:"config"`
	} `nameHint:"RevisionWithConfig"`
}

func (s *Server) getRevision(ctx context.Context, in *RevisionParam) (*revisionOutput, error) {
	found, err := s.findRevision(ctx, in.N)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	out := &revisionOutput{}
	out.Body.Entry = entryOf(found)
	out.Body.Config = documentOf(found)
	return out, nil
}

func (s *Server) findRevision(ctx context.Context, number string) (Revision, error) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil {
		return Revision{}, refuse(http.StatusNotFound, "The number of a revision is a whole number; /api/v1/config/revisions lists the last 64.")
	}
	return s.options.Backend.Revision(ctx, n)
}

type restoreInput struct {
	RevisionParam
	PutInput
}

func (s *Server) restore(ctx context.Context, in *restoreInput) (*published, error) {
	match, problem := precondition(callOf(ctx).request.Header, true)
	if problem != nil {
		return nil, s.fail(ctx, problem)
	}
	old, err := s.findRevision(ctx, in.N)
	if err != nil {
		return nil, s.fail(ctx, err)
	}
	if c := callOf(ctx); c.change.reason == "" {
		c.change.reason = "restored revision " + strconv.FormatUint(old.Revision, 10)
	}
	return s.publish(ctx, match, func(Revision) (*config.Document, []config.Problem, error) { return old.Config, nil, nil })
}
