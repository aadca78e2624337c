package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"apiproxy.internal/shared/config"
)

// call is one request on its way, and what the audit will say about it.
type call struct {
	http.ResponseWriter
	request *http.Request
	pattern string // of the route; empty = none
	body    []byte // of a write
	peer    string // host of the other end

	status  int // of the answer; 0 = none yet
	problem *Problem
	change  change
	from    uint64 // revision that a change was based on
	to      uint64 // revision that it led to
	result  string // for the audit; empty = refused or failed, by status
}

type callKey struct{}

// callOf is the request that a handler works for.
func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// WriteHeader implements http.ResponseWriter.
func (c *call) WriteHeader(status int) {
	if c.status == 0 && status >= 200 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (c *call) Write(data []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	return c.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (c *call) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *call) isWrite() bool {
	return c.request.Method != http.MethodGet && c.request.Method != http.MethodHead
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	started := time.Now()
	c := &call{ResponseWriter: w, request: r, peer: host(r.RemoteAddr)}
	defer func() {
		thrown := recover()
		abort := thrown != nil && c.status != 0
		if thrown != nil {
			s.recovered(c, thrown)
		} else {
			s.drain(c)
		}
		if c.isWrite() {
			s.audit(c)
		}
		s.options.Observe(method(r.Method), route(c.pattern), c.status, time.Since(started))
		if abort {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	}()
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	if p := s.admit(c); p != nil {
		c.problem = p
		p.write(c)
		return
	}
	s.routes.ServeHTTP(c, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
}

// admit finds the route and asks whether the request may take it.
func (s *Server) admit(c *call) *Problem {
	if p := s.route(c); p != nil {
		return p
	}
	if p := checkOrigin(c.request, c.pattern); p != nil {
		return p
	}
	if !c.isWrite() {
		return nil
	}
	if p := s.authorize(c); p != nil {
		return p
	}
	if p := s.readBody(c); p != nil {
		return p
	}
	return s.readChange(c)
}

// route finds the pattern without the redirects of http.ServeMux: a path means
// itself or nothing.
func (s *Server) route(c *call) *Problem {
	at := c.request.URL.Path
	if at == "" || at != path.Clean(at) {
		return notFound()
	}
	handler, pattern := s.routes.Handler(c.request)
	if pattern != "" {
		c.pattern = pattern
		return nil
	}
	unmatched := unmatched{header: http.Header{}}
	handler.ServeHTTP(&unmatched, c.request)
	if allow := unmatched.header.Get("Allow"); allow != "" {
		return refuse(http.StatusMethodNotAllowed, "This path takes %s.", allow).with("Allow", allow)
	}
	return notFound()
}

func notFound() *Problem {
	return refuse(http.StatusNotFound, "There is nothing at this path; /openapi.json lists what there is.")
}

// unmatched takes down what http.ServeMux says when no pattern matches: only that
// tells which methods would.
type unmatched struct{ header http.Header }

func (u *unmatched) Header() http.Header            { return u.header }
func (u *unmatched) Write(data []byte) (int, error) { return len(data), nil }
func (u *unmatched) WriteHeader(int)                {}

// readBody reads the body of a write, whole.
func (s *Server) readBody(c *call) *Problem {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "The body is larger than 1 MiB; shorten it.")
	if c.request.ContentLength > maxBody {
		return tooLarge
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.ResponseWriter, c.request.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge
	}
	if err != nil {
		return refuse(http.StatusBadRequest, "The body could not be read to its end; send it again.")
	}
	c.body = body
	return nil
}

// drain reads on through a body that was refused, so that a client who sends all
// of it before it listens gets to see the answer and not a broken connection.
func (s *Server) drain(c *call) {
	r := c.request
	if c.problem == nil || r.ContentLength == 0 || r.Header.Get("Expect") != "" {
		return
	}
	_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
}

// readChange reads what all writes have in common, and refuses parameters that
// are not known: a dry run that is spelled wrong must not be a real one.
func (s *Server) readChange(c *call) *Problem {
	var problems []config.Problem
	query, err := queryOf(c.request)
	if err != nil {
		return invalid(config.Problem{Path: "query", Message: "is malformed", Remedy: "write name=value, joined by &"})
	}
	known := s.queries[c.pattern]
	for name, values := range query {
		switch {
		case !slices.Contains(known, name):
			remedy := "this call takes none"
			if len(known) > 0 {
				remedy = "this call takes " + strings.Join(known, " and ")
			}
			problems = append(problems, config.Problem{Path: "query", Message: fmt.Sprintf("has an unknown parameter %.64q", name), Remedy: remedy})
		case len(values) > 1:
			problems = append(problems, config.Problem{Path: "query." + name, Message: "is given more than once", Remedy: "keep one of them"})
		}
	}
	problems = append(problems, c.change.read(c.request.Header, query)...)
	if len(problems) > 0 {
		slices.SortFunc(problems, func(a, b config.Problem) int { return strings.Compare(a.Error(), b.Error()) })
		return invalid(problems...)
	}
	return nil
}

// recovered answers a request whose handler has panicked, if nothing has been
// answered yet.
func (s *Server) recovered(c *call, thrown any) {
	s.options.Log.Error("a request to the API ended in a panic", "method", method(c.request.Method), "route", route(c.pattern),
		"panic", fmt.Sprint(thrown), "stack", string(debug.Stack()))
	c.result = "failed"
	if c.status != 0 {
		return
	}
	c.problem = refuse(http.StatusInternalServerError, "The control plane could not do this; its log says why.")
	c.problem.write(c)
}

// method is a method that may be a label of a metric.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodPost, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}

// route is the path of a pattern.
func route(pattern string) string {
	if pattern == "" {
		return "none"
	}
	_, at, _ := strings.Cut(pattern, " ")
	return strings.TrimSuffix(at, "{$}")
}

func host(address string) string {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return name
}
