package cache

import (
	"time"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Answer is what a provider answered.
type Answer struct {
	Status   int
	Fields   []http1.Field
	Length   int64     // of the body in bytes
	Complete bool      // the body came to the end that its framing announced
	Asked    int64     // when the request was sent
	Received int64     // when the head arrived
	Date     time.Time // the wall clock at Received

	// Dated has Age and Date if they are not in Fields: those of a 304.
	Dated []http1.Field
}

// Reason says why an answer is not stored.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	Stored         Reason = iota // it is
	ModeOff                      // cache_mode is off
	WrongMethod                  // neither GET nor HEAD
	Incomplete                   // the body was cut (RFC 9111 §3.3), or is a part (206)
	WrongStatus                  // a status that this cache does not store, or not without a word about its freshness
	TooLarge                     // larger than Rules.MaxBody
	RequestNoStore               // §5.2.1.5
	NoStore                      // §5.2.2.5
	Private                      // §5.2.2.7
	NotShared                    // the request names its caller (§3.5), or the answer is for one Authorization (§4.1)
	SetsCookie                   // and does not say that it is public (§7.3)
	VariesByAll                  // Vary: * or too many names (§4.1)
	Useless                      // it could never be served
)

// Storable decides whether the answer to a request may be stored (RFC 9111 §3)
// and what to remember of it. NoStore and Private hold in every mode.
func (r *Rules) Storable(w *Wish, a *Answer) (Meta, Reason) {
	c := parseControl(a.Fields)
	if reason := r.forbidden(w, a, &c); reason != Stored {
		return Meta{}, reason
	}
	m := Meta{
		Status:          a.Status,
		Stored:          a.Received,
		InitialAge:      a.initialAge(),
		WhileRevalidate: second * max(c.whileRevalidate, 0),
		IfError:         absent,
		NoCache:         c.noCache,
		MustRevalidate:  c.mustRevalidate || c.sMaxAge != absent,
		Immutable:       c.immutable,
		ForEveryone:     c.forEveryone() && !names(a.Fields, "authorization"),
	}
	if c.ifError != absent {
		m.IfError = second * c.ifError
	}
	explicit, ok := c.lifetime(a)
	if !ok && !c.public && isOfTheMoment(a.Status) {
		return Meta{}, WrongStatus
	}
	m.Lifetime = explicit
	if !ok && r.gives(a.Status) {
		// The freshness that the configuration gives begins when the answer comes.
		m.Lifetime = m.InitialAge + int64(r.TTL)
	}
	if r.useless(&m, a.Fields) {
		return Meta{}, Useless
	}
	return m, Stored
}

func (r *Rules) forbidden(w *Wish, a *Answer, c *control) Reason {
	switch {
	case r.Mode == Off:
		return ModeOff
	case w.Method != verdict.MethodGet && w.Method != verdict.MethodHead:
		return WrongMethod
	case !a.Complete || a.Status == 206:
		return Incomplete
	case !storableStatus(a.Status):
		return WrongStatus
	case a.Length > r.MaxBody:
		return TooLarge
	case w.NoStore:
		return RequestNoStore
	case c.noStore:
		return NoStore
	case c.private:
		return Private
	case w.Private && !c.forEveryone(),
		w.authorization && r.PassAuthorization && names(a.Fields, "authorization"):
		return NotShared
	case !c.public && has(a.Fields, "set-cookie"):
		return SetsCookie
	case variesByAll(a.Fields):
		return VariesByAll
	}
	return Stored
}

// storableStatus lists the statuses whose meaning this cache knows (§3): what
// succeeded, redirects, and what is not there. A failure, a refusal or a
// challenge (401, 403, 429, 5xx) is about one moment or one key.
func storableStatus(status int) bool {
	switch status {
	case 200, 201, 202, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414:
		return true
	}
	return false
}

// isOfTheMoment: these redirect for now, and are stored only if they say so (§3;
// they are not among the statuses of RFC 9110 §15.1 that may be without).
func isOfTheMoment(status int) bool { return status == 302 || status == 303 || status == 307 }

// gives reports whether Default makes an answer fresh that does not say so.
func (r *Rules) gives(status int) bool {
	return r.Mode == Default && (status/100 == 2 || status == 404)
}

// forEveryone: these three let a shared cache store the answer to a request with
// Authorization, and serve it to others (§3.5).
func (c *control) forEveryone() bool {
	return c.public || c.mustRevalidate || c.sMaxAge != absent
}

// lifetime is the freshness that the answer itself gives (§4.2.1), and whether
// it gives one. There is no heuristic.
func (c *control) lifetime(a *Answer) (int64, bool) {
	switch {
	case c.sMaxAge != absent:
		return second * c.sMaxAge, true
	case c.maxAge != absent:
		return second * c.maxAge, true
	}
	value, ok := http1.Get(a.Fields, "expires")
	if !ok {
		return 0, false
	}
	expires, valid := parseDate(value)
	if !valid {
		return 0, true // "0" above all: expired already (§5.3)
	}
	return span(expires.Sub(a.date())), true
}

// initialAge is corrected_initial_age of §4.2.3.
func (a *Answer) initialAge() int64 {
	corrected := max(0, a.Received-a.Asked)
	if value, ok := http1.Get(a.dated(), "age"); ok {
		if age, valid := parseSeconds(value); valid {
			corrected += second * age
		}
	}
	return max(corrected, span(a.Date.Sub(a.date())))
}

// date is the answer's Date, or when it was received (RFC 9110 §6.6.1).
func (a *Answer) date() time.Time {
	if value, ok := http1.Get(a.dated(), "date"); ok {
		if date, valid := parseDate(value); valid {
			return date
		}
	}
	return a.Date
}

func (a *Answer) dated() []http1.Field {
	if a.Dated != nil {
		return a.Dated
	}
	return a.Fields
}

// span bounds a difference of dates to [0, maxDelta] seconds.
func span(d time.Duration) int64 { return min(max(int64(d), 0), second*maxDelta) }

// useless finds an answer that could never be served: never fresh, and nothing
// to ask about it with. In Default mode it may still stand in for the provider.
func (r *Rules) useless(m *Meta, fields []http1.Field) bool {
	if hasValidator(fields) {
		return false
	}
	stale := m.Lifetime <= m.InitialAge
	switch {
	case m.NoCache, stale && m.MustRevalidate:
		return true
	case r.Mode == RFC9111:
		return stale && m.WhileRevalidate == 0 && m.IfError <= 0
	}
	return false
}

func hasValidator(fields []http1.Field) bool {
	return has(fields, "etag") || has(fields, "last-modified")
}

func has(fields []http1.Field, lower string) bool {
	_, ok := http1.Get(fields, lower)
	return ok
}

// KeepUntil is when nobody can use the copy any more, so that the store may
// forget it. A copy that can be validated is worth more than its time.
func (r *Rules) KeepUntil(m *Meta, fields []http1.Field) int64 {
	usable := max(m.Lifetime, m.Lifetime+m.WhileRevalidate, m.Lifetime+m.IfError) - m.InitialAge
	if !m.NoCache && !m.MustRevalidate {
		usable = max(usable, 2*int64(r.TTL))
	}
	if hasValidator(fields) {
		usable = max(usable, keepValidated)
	}
	return m.Stored + max(usable, 0)
}

// keepValidated is how long a copy is kept because a 304 may make it fresh.
const keepValidated = int64(time.Hour)
