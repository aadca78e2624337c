package cache

import "apiproxy.internal/dataplane/internal/http1"

// Use says what a copy is good for.
type Use uint8

// The uses of a copy, best first.
const (
	Fresh       Use = iota // it is the answer
	Acceptable             // stale, but the caller's max-stale allows it (RFC 9111 §5.2.1.2)
	Refreshable            // it is the answer, and is asked about meanwhile (RFC 5861 §3)
	Questioned             // the provider has to be asked first
)

// Judgement is what can be said of a copy for one request.
type Judgement struct {
	Use Use
	// Age is the copy's age (RFC 9111 §4.2.3) and Kept how long it has been here
	// since it came or was last validated; both in nanoseconds, never negative.
	Age, Kept int64
	// TTL is how long the copy stays fresh, negative once it is stale.
	TTL int64
	// Fallback says that the copy may stand in for a provider that fails, is kept
	// from being asked by its breaker, or has no quota left.
	Fallback bool
}

// And is what can be said of an answer that is put together of two copies.
func (j Judgement) And(o Judgement) Judgement {
	return Judgement{
		Use: max(j.Use, o.Use), Age: max(j.Age, o.Age), Kept: max(j.Kept, o.Kept), TTL: min(j.TTL, o.TTL),
		Fallback: j.Fallback && o.Fallback,
	}
}

// Judge decides what a stored answer is good for (RFC 9111 §4). now is the
// node's clock.
func (r *Rules) Judge(m *Meta, w *Wish, now int64) Judgement {
	j := Judgement{Kept: max(0, now-m.Stored)}
	j.Age = m.InitialAge + j.Kept
	j.TTL = m.Lifetime - j.Age
	if !r.mayReuse(m, w) {
		j.Use = Questioned
		return j
	}
	j.Use = use(m, w, &j)
	j.Fallback = r.fallback(m, w, &j)
	return j
}

// mayReuse keeps what was stored for one caller from a caller whom the provider
// would have known (§3.5).
func (r *Rules) mayReuse(m *Meta, w *Wish) bool {
	return r.Mode != Off && (!w.authorization || !r.PassAuthorization || m.ForEveryone)
}

func use(m *Meta, w *Wish, j *Judgement) Use {
	switch {
	case m.NoCache, w.NoCache: // §5.2.2.4, §5.2.1.4
		return Questioned
	case w.maxAge != absent && j.Age > second*w.maxAge && !(m.Immutable && w.maxAge == 0 && j.TTL > 0):
		// §5.2.1.1. A plain reload asks with max-age=0, which immutable answers (RFC 8246 §2).
		return Questioned
	case w.minFresh != absent && j.TTL < second*w.minFresh: // §5.2.1.3
		return Questioned
	case j.TTL > 0: // §4.2
		return Fresh
	case m.MustRevalidate: // §4.2.4
		return Questioned
	case w.maxStale != absent && -j.TTL <= second*w.maxStale:
		return Acceptable
	case -j.TTL < m.WhileRevalidate:
		return Refreshable
	}
	return Questioned
}

// fallback: no directive of the answer forbids it, and the copy is fresh, or no
// older than twice the configured freshness, or no staler than stale-if-error
// allows (§4.2.4, RFC 5861 §4). What the request would have liked does not
// matter then: a labelled copy is better than none.
func (r *Rules) fallback(m *Meta, w *Wish, j *Judgement) bool {
	if m.NoCache {
		return false
	}
	if j.TTL > 0 {
		return true
	}
	if m.MustRevalidate {
		return false
	}
	if j.Kept <= 2*int64(r.TTL) {
		return true
	}
	return -j.TTL <= max(m.IfError, second*w.ifError)
}

// HasValidator reports whether a 304 can be asked for with these stored fields.
func HasValidator(fields []http1.Field) bool { return hasValidator(fields) }
