package httpapi

import (
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"apiproxy.internal/shared/config"
)

const (
	maxWait   = 60 * time.Second
	maxAuthor = 64  // characters
	maxReason = 256 // characters
)

// change is what a write says beside its body.
type change struct {
	author, reason string
	dryRun         bool
	wait           time.Duration // 0 = do not wait
}

// What follows is for the description of the API; read is what reads it. The names
// are exported because the library sees no others.

// ChangeHeaders are the fields that every write may have.
type ChangeHeaders struct {
	Author string `header:"X-Change-Author" doc:"Who changes it, for the history and the audit log; admin if absent." maxLength:"64"`
	Reason string `header:"X-Change-Reason" doc:"Why, for the history and the audit log." maxLength:"256"`
}

// PublishParams are what is taken by what leads to a new revision.
type PublishParams struct {
	ChangeHeaders
	DryRun bool   `query:"dry_run" doc:"Check the change and show what it would change; publish nothing."`
	Wait   string `query:"wait" doc:"Answer when every node that was live at publishing runs the revision or has refused it, and has handed back what is too much of a lowered limit; at the latest after this time, at most 60s." example:"5s"`
}

// read takes a change from a request. It reports every problem at once.
func (c *change) read(header http.Header, query url.Values) (problems []config.Problem) {
	bad := func(path, message, remedy string) {
		problems = append(problems, config.Problem{Path: path, Message: message, Remedy: remedy})
	}
	c.author = header.Get("X-Change-Author")
	if c.author == "" {
		c.author = "admin"
	} else if !isLine(c.author, maxAuthor) {
		c.author = ""
		bad("header.X-Change-Author", "is not a name", "use at most 64 printable characters")
	}
	if c.reason = header.Get("X-Change-Reason"); !isLine(c.reason, maxReason) {
		c.reason = ""
		bad("header.X-Change-Reason", "is not one line of text", "use at most 256 printable characters")
	}
	if query.Has("dry_run") {
		c.dryRun = query.Get("dry_run") == "true"
		if !c.dryRun && query.Get("dry_run") != "false" {
			bad("query.dry_run", "is neither true nor false", "write dry_run=true, or leave it out")
		}
	}
	if query.Has("wait") {
		wait, err := time.ParseDuration(query.Get("wait"))
		if err != nil || wait < 0 || wait > maxWait {
			bad("query.wait", "is not a time from 0s to 60s", "write a number with a unit, such as wait=5s")
		} else {
			c.wait = wait
		}
	}
	return problems
}

// isLine reports whether text is at most limit characters that can be printed.
func isLine(text string, limit int) bool {
	return utf8.ValidString(text) && utf8.RuneCountInString(text) <= limit &&
		strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func queryOf(r *http.Request) (url.Values, error) { return url.ParseQuery(r.URL.RawQuery) }
