package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// tags is a list of revisions as If-Match and If-None-Match name them (RFC 9110
// §13.1). The zero value is an absent header.
type tags struct {
	given     bool
	any       bool // "*"
	revisions []uint64
	weak      []uint64 // written W/"..."
}

func etag(revision uint64) string { return `"` + strconv.FormatUint(revision, 10) + `"` }

// readTags reads all lines of a header. A bare number counts as a revision,
// because shells eat quotes and it can mean nothing else; a tag that is well
// formed and not ours is a revision that does not exist.
func readTags(header http.Header, name string) (tags, error) {
	text := strings.TrimSpace(strings.Join(header.Values(name), ","))
	t := tags{given: text != ""}
	if text == "*" {
		t.any = true
		return t, nil
	}
	for text != "" {
		var err error
		if text, err = t.readOne(text); err != nil {
			return tags{}, fmt.Errorf(`%s is malformed; write the ETag of the configuration, such as "3" with its quotes, or *`, name)
		}
	}
	return t, nil
}

func (t *tags) readOne(text string) (rest string, err error) {
	text, weak := strings.CutPrefix(text, "W/")
	var inside string
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		if inside, rest, ok = strings.Cut(quoted, `"`); !ok || strings.ContainsFunc(inside, notTagChar) {
			return "", strconv.ErrSyntax
		}
	} else {
		inside, rest, _ = strings.Cut(text, ",")
		inside, rest = strings.TrimSpace(inside), ","+rest
		if _, err := strconv.ParseUint(inside, 10, 64); inside != "" && err != nil {
			return "", strconv.ErrSyntax
		}
	}
	if revision, err := strconv.ParseUint(inside, 10, 64); err == nil && etag(revision) == `"`+inside+`"` {
		if weak {
			t.weak = append(t.weak, revision)
		} else {
			t.revisions = append(t.revisions, revision)
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest != "" && rest[0] != ',' {
		return "", strconv.ErrSyntax
	}
	return strings.TrimLeft(rest, ", \t"), nil
}

// notTagChar knows etagc of RFC 9110 §8.8.3.
func notTagChar(r rune) bool { return r <= ' ' || r == 0x7f }

// match reports whether a revision is among the tags: for If-Match, which weak
// ones do not satisfy.
func (t tags) match(revision uint64) bool {
	return t.any || slices.Contains(t.revisions, revision)
}

// weakMatch is match for If-None-Match.
func (t tags) weakMatch(revision uint64) bool {
	return t.match(revision) || slices.Contains(t.weak, revision)
}

// precondition reads If-Match for a write; required says that it cannot do without.
func precondition(header http.Header, required bool) (tags, *Problem) {
	t, err := readTags(header, "If-Match")
	if err != nil {
		return t, refuse(http.StatusBadRequest, "%v.", err)
	}
	if required && !t.given {
		return t, refuse(http.StatusPreconditionRequired,
			`This change needs the revision that it is based on: read the configuration, and send its ETag as If-Match, such as If-Match: "3". If-Match: * changes whatever is there.`)
	}
	return t, nil
}

// stale is the answer to a write that is based on another revision.
func stale(t tags, current uint64) *Problem {
	p := refuse(http.StatusPreconditionFailed,
		"The configuration has changed: revision %d is in force. Read it, make the change again and send If-Match: %s.", current, etag(current))
	if slices.Contains(t.weak, current) {
		p.Detail = "If-Match takes no weak tag; send If-Match: " + etag(current) + " without the W/."
	}
	p.Revision = current
	return p.with("ETag", etag(current))
}
