package cache

import "apiproxy.internal/dataplane/internal/http1"

// control is what the Cache-Control fields of an answer say (RFC 9111 §5.2.2,
// RFC 5861, RFC 8246). Spans are seconds, absent if not given.
type control struct {
	noStore, private, noCache bool
	public, immutable         bool
	mustRevalidate            bool // or proxy-revalidate, which is the same for a shared cache
	sMaxAge, maxAge           int64
	whileRevalidate, ifError  int64
}

// parseControl reads the directives of an answer. private and no-cache with a
// list of fields count as if they had none (§5.2.2.4 and §5.2.2.7 allow it). A
// max-age that is no number, or given twice with different numbers, makes the
// answer stale (§4.2.1).
func parseControl(fields []http1.Field) control {
	c := control{sMaxAge: absent, maxAge: absent, whileRevalidate: absent, ifError: absent}
	for list := (directives{fields: fields}); ; {
		d, ok := list.next()
		if !ok {
			return c
		}
		switch {
		case d.is("no-store"):
			c.noStore = true
		case d.is("private"):
			c.private = true
		case d.is("no-cache"):
			c.noCache = true
		case d.is("public"):
			c.public = true
		case d.is("immutable"):
			c.immutable = true
		case d.is("must-revalidate"), d.is("proxy-revalidate"):
			c.mustRevalidate = true
		case d.is("s-maxage"):
			c.sMaxAge = lifetime(c.sMaxAge, d)
		case d.is("max-age"):
			c.maxAge = lifetime(c.maxAge, d)
		case d.is("stale-while-revalidate"):
			c.whileRevalidate = lifetime(c.whileRevalidate, d)
		case d.is("stale-if-error"):
			c.ifError = lifetime(c.ifError, d)
		}
	}
}

func lifetime(before int64, d directive) int64 {
	n, ok := d.seconds()
	if !ok || before != absent && before != n {
		return 0
	}
	return n
}
