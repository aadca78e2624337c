package httpapi

import (
	"context"
	"log/slog"
	"strings"
)

// audit writes one line about a write, whatever became of it. Neither the body
// nor the token is in it.
func (s *Server) audit(c *call) {
	level, result := slog.LevelInfo, c.result
	if result == "" {
		level, result = slog.LevelWarn, "refused"
		if c.status >= 500 || c.status == 0 {
			result = "failed"
		}
	}
	attrs := []slog.Attr{
		slog.String("result", result),
		slog.Int("status", c.status),
		slog.String("method", method(c.request.Method)),
		slog.String("path", shorten(c.request.URL.Path)),
		slog.String("author", c.author()),
		slog.String("peer", c.peer),
		slog.Bool("dry_run", c.change.dryRun),
		slog.Uint64("revision_from", c.from),
		slog.Uint64("revision_to", c.to),
		slog.String("reason", c.change.reason),
	}
	if c.problem != nil {
		attrs = append(attrs, slog.String("refusal", c.problem.Title))
	}
	s.options.Audit.LogAttrs(context.Background(), level, "audit: a change was asked for", attrs...)
}

// author is who the client says it is, also where the request did not come so far
// that this was read.
func (c *call) author() string {
	if c.change.author != "" {
		return c.change.author
	}
	if name := c.request.Header.Get("X-Change-Author"); isLine(name, maxAuthor) {
		return name
	}
	return ""
}

const maxPath = 200 // bytes of a path in the audit

func shorten(path string) string {
	if len(path) > maxPath {
		path = path[:maxPath] + "..."
	}
	return strings.ToValidUTF8(path, "?")
}
