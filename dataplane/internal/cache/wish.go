package cache

import (
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Wish is what a request says about the answer that it wants (RFC 9111 §5.2.1).
// Its slices point into the request's fields.
type Wish struct {
	Method verdict.Method // GET or HEAD; any other one is never answered from a copy

	NoStore, NoCache, OnlyIfCached bool
	maxAge, minFresh, ifError      int64 // seconds or absent
	maxStale                       int64 // seconds or absent; maxDelta without a number

	// Private says that the request names its caller, by Authorization or Cookie:
	// the answer may be meant for that one alone (§3.5).
	Private       bool
	authorization bool

	// Conditional, Ranged and Guarded say that the request has a precondition
	// that a copy can answer, asks for a part, or has a precondition that only
	// the provider can judge (RFC 9110 §13.1, §14.2).
	Conditional, Ranged, Guarded bool

	noneMatch, modifiedSince, ranges, ifRange []byte
	entityTags                                int // If-None-Match fields; more than one is not judged here
}

// ParseWish reads the fields of a request. A span that is no number counts as
// the one that keeps most copies away, because it was meant as a restriction.
func ParseWish(method verdict.Method, fields []http1.Field) Wish {
	w := Wish{Method: method, maxAge: absent, minFresh: absent, maxStale: absent, ifError: absent}
	hasControl := false
	for _, f := range fields {
		switch f.Name[0] | 0x20 {
		case 'a':
			w.authorization = w.authorization || http1.EqualFold(f.Name, "authorization")
		case 'c':
			hasControl = hasControl || http1.EqualFold(f.Name, "cache-control")
			w.Private = w.Private || http1.EqualFold(f.Name, "cookie")
		case 'i':
			w.precondition(f)
		case 'r':
			if http1.EqualFold(f.Name, "range") {
				w.Ranged, w.ranges = true, f.Value
			}
		}
	}
	w.Private = w.Private || w.authorization
	if hasControl {
		w.parseControl(fields)
	}
	return w
}

func (w *Wish) precondition(f http1.Field) {
	switch {
	case http1.EqualFold(f.Name, "if-none-match"):
		w.Conditional, w.noneMatch = true, f.Value
		w.entityTags++
	case http1.EqualFold(f.Name, "if-modified-since"):
		w.Conditional, w.modifiedSince = true, f.Value
	case http1.EqualFold(f.Name, "if-range"):
		w.ifRange = f.Value
	case http1.EqualFold(f.Name, "if-match"), http1.EqualFold(f.Name, "if-unmodified-since"):
		w.Guarded = true
	}
}

func (w *Wish) parseControl(fields []http1.Field) {
	for list := (directives{fields: fields}); ; {
		d, ok := list.next()
		if !ok {
			return
		}
		n, isNumber := d.seconds()
		switch {
		case d.is("no-store"):
			w.NoStore = true
		case d.is("no-cache"):
			w.NoCache = true
		case d.is("only-if-cached"):
			w.OnlyIfCached = true
		case d.is("max-age"):
			w.maxAge = n // 0 if it is no number
		case d.is("min-fresh"):
			if w.minFresh = n; !isNumber {
				w.minFresh = maxDelta
			}
		case d.is("max-stale"):
			if w.maxStale = n; !d.hasArgument {
				w.maxStale = maxDelta
			}
		case d.is("stale-if-error"):
			w.ifError = n
		}
	}
}

// Cacheable reports whether a copy may answer the request at all. A GET with a
// body is left alone: the provider may read it, and the key does not (RFC 9110
// §9.3.1). So is one whose precondition protects a change (§13.1.1, §13.1.4).
func (w *Wish) Cacheable(hasBody bool) bool {
	return (w.Method == verdict.MethodGet || w.Method == verdict.MethodHead) && !hasBody && !w.Guarded
}

// Mergeable reports whether the request wants what any other one of its key
// wants, so that it may wait for that one's answer (RFC 9111 §4).
func (w *Wish) Mergeable() bool {
	return !w.NoStore && !w.NoCache && !w.Private && !w.Conditional && !w.Ranged && !w.OnlyIfCached &&
		w.maxAge == absent && w.minFresh == absent
}
