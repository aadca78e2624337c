package cache

import (
	"bytes"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// NotModified reports whether the caller has the stored answer already, so that
// a 304 without a body is the answer (RFC 9111 §4.3.2, RFC 9110 §13.2.2).
// If-None-Match counts alone where it is sent, by weak comparison; dates are
// compared for a 200 only.
func (w *Wish) NotModified(status int, stored []http1.Field) bool {
	if status/100 != 2 {
		return false // §13.2.1: without the precondition it would not be a success
	}
	if w.noneMatch != nil {
		tag, ok := http1.Get(stored, "etag")
		return w.entityTags == 1 && matchesAny(w.noneMatch, tag, ok)
	}
	if w.modifiedSince == nil || status != 200 {
		return false
	}
	since, ok := parseDate(w.modifiedSince)
	if !ok {
		return false // §13.1.3: ignored
	}
	value, ok := http1.Get(stored, "last-modified")
	if !ok {
		return false
	}
	modified, ok := parseDate(value)
	return ok && !modified.After(since)
}

// matchesAny looks for tag in a list of entity tags; "*" matches any stored
// answer. Tags may hold commas, so the list is read quote by quote.
func matchesAny(list, tag []byte, hasTag bool) bool {
	if string(trim(list)) == "*" {
		return true
	}
	if !hasTag {
		return false
	}
	tag = opaque(tag)
	for len(list) > 0 {
		open := bytes.IndexByte(list, '"')
		if open < 0 {
			return false
		}
		shut := bytes.IndexByte(list[open+1:], '"')
		if shut < 0 {
			return false
		}
		if bytes.Equal(list[open:open+shut+2], tag) {
			return true
		}
		list = list[open+shut+2:]
	}
	return false
}

// opaque is an entity tag without its mark of weakness (RFC 9110 §8.8.3.2).
func opaque(tag []byte) []byte { return bytes.TrimPrefix(tag, []byte("W/")) }

func isWeak(tag []byte) bool { return bytes.HasPrefix(tag, []byte("W/")) }

// In304 reports whether a field of the stored answer belongs into a 304 (RFC
// 9110 §15.4.5): what describes the body only would be lost on the caller.
func In304(name []byte) bool {
	switch name[0] | 0x20 {
	case 'c':
		return !hasPrefix(name, "content-") || http1.EqualFold(name, "content-location")
	case 'l':
		return !http1.EqualFold(name, "last-modified")
	}
	return true
}

// AppendConditions appends the request's fields with the preconditions of the
// stored answer in place of the caller's (RFC 9111 §4.3.1), and no Range: what
// the provider answers is about the whole.
func AppendConditions(dst, request, stored []http1.Field) []http1.Field {
	for _, f := range request {
		if !isCondition(f.Name) {
			dst = append(dst, f)
		}
	}
	if tag, ok := http1.Get(stored, "etag"); ok {
		dst = append(dst, http1.Field{Name: ifNoneMatch, Value: tag})
	}
	if date, ok := http1.Get(stored, "last-modified"); ok {
		dst = append(dst, http1.Field{Name: ifModifiedSince, Value: date})
	}
	return dst
}

var (
	ifNoneMatch     = []byte("If-None-Match")
	ifModifiedSince = []byte("If-Modified-Since")
)

func isCondition(name []byte) bool {
	return http1.EqualFold(name, "if-none-match") || http1.EqualFold(name, "if-modified-since") ||
		http1.EqualFold(name, "if-range") || http1.EqualFold(name, "range")
}

// Confirms reports whether a 304 speaks of the stored answer (§4.3.4): a tag that
// it carries must be the stored one, strong if it is strong; without one, a date
// must be. A 304 with neither answers our own question and nobody else's.
func Confirms(stored, answer []http1.Field) bool {
	if tag, ok := http1.Get(answer, "etag"); ok {
		old, has := http1.Get(stored, "etag")
		if !has {
			return false
		}
		if isWeak(tag) {
			return bytes.Equal(opaque(old), opaque(tag))
		}
		return bytes.Equal(opaque(old), tag)
	}
	if date, ok := http1.Get(answer, "last-modified"); ok {
		old, has := http1.Get(stored, "last-modified")
		return !has || bytes.Equal(old, date)
	}
	return true
}

// Update appends the stored fields as a 304 changes them (§3.2): what the 304
// names replaces all stored fields of that name, except what describes the
// stored body (Content-Encoding, -Type, -Length, -Range) and what is of the
// connection. update must hold only what may go to a client.
func Update(dst, stored, update []http1.Field) []http1.Field {
	for _, f := range stored {
		if !changed(update, f.Name) {
			dst = append(dst, f)
		}
	}
	for _, f := range update {
		if mayChange(f.Name) {
			dst = append(dst, f)
		}
	}
	return dst
}

func changed(update []http1.Field, name []byte) bool {
	if !mayChange(name) {
		return false
	}
	for _, f := range update {
		if bytes.EqualFold(f.Name, name) {
			return true
		}
	}
	return false
}

func mayChange(name []byte) bool {
	if name[0]|0x20 != 'c' {
		return true
	}
	return !http1.EqualFold(name, "content-encoding") && !http1.EqualFold(name, "content-type") &&
		!http1.EqualFold(name, "content-length") && !http1.EqualFold(name, "content-range")
}

// Refresh is the Meta of a stored answer after a 304 confirmed it; fields are
// the updated ones and a tells of the 304, whose age and date count (§4.3.4). ok is
// false if it may not be kept any longer, for the 304 may say so.
func (r *Rules) Refresh(old *Meta, w *Wish, a Answer, fields []http1.Field, length int64) (Meta, bool) {
	a.Dated = append([]http1.Field{}, a.Fields...) // not nil: a 304 without a Date is of when it came
	a.Status, a.Fields, a.Length, a.Complete = old.Status, fields, length, true
	m, reason := r.Storable(w, &a)
	return m, reason == Stored
}

// Unsafe reports whether an answer to that method makes copies of its resource
// doubtful (§4.4): anything but a read may have changed it, unless it failed.
func Unsafe(method verdict.Method, status int) bool {
	switch method {
	case verdict.MethodGet, verdict.MethodHead, verdict.MethodOptions:
		return false
	}
	return status >= 200 && status < 400
}
