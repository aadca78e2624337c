package forward

import (
	"bytes"

	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/http1"
)

// appendFields copies the client's fields that may pass, byte for byte.
func appendFields(dst []byte, r *Request) []byte {
	named := NamesFields(r.Fields)
	for _, f := range r.Fields {
		if !passesUpstream(f.Name, r.Credential) || named && IsNamed(r.Fields, f.Name) {
			continue
		}
		dst = append(append(dst, f.Name...), ':', ' ')
		dst = append(append(dst, f.Value...), '\r', '\n')
	}
	return dst
}

// passesUpstream is the list of what a provider never sees: what belongs to one
// hop (RFC 9110 §7.6.1), what identifies or tracks the caller, what the node
// writes itself, and what the credential uses. Names with underscores go too,
// because some servers read them as if they had hyphens.
func passesUpstream(name []byte, c *credential.Credential) bool {
	if c.StripHeader != "" && http1.EqualFold(name, c.StripHeader) {
		return false
	}
	if bytes.IndexByte(name, '_') >= 0 {
		return false
	}
	switch name[0] | 0x20 { // one comparison for most names
	case 'a':
		return c.PassAuthorization || !http1.EqualFold(name, "authorization")
	case 'c':
		return !oneOf(name, "connection", "content-length", "cookie")
	case 'e':
		return !http1.EqualFold(name, "expect")
	case 'f':
		return !http1.EqualFold(name, "forwarded")
	case 'h':
		return !oneOf(name, "host", "http2-settings")
	case 'k':
		return !http1.EqualFold(name, "keep-alive")
	case 'o':
		return !http1.EqualFold(name, "origin")
	case 'p':
		return !hasPrefixFold(name, "proxy-")
	case 'r':
		return !http1.EqualFold(name, "referer")
	case 't':
		return !oneOf(name, "te", "trailer", "transfer-encoding")
	case 'u':
		return !http1.EqualFold(name, "upgrade")
	case 'v':
		return !http1.EqualFold(name, "via")
	case 'x':
		return !hasPrefixFold(name, "x-forwarded-") &&
			!oneOf(name, "x-real-ip", "x-request-id", "x-proxy-admitted-at")
	}
	return true
}

// PassesDownstream decides the same for a response: one-hop fields stop here,
// and so do the fields that the node writes about itself. The framing is
// written anew.
func PassesDownstream(name []byte) bool {
	switch name[0] | 0x20 {
	case 'c':
		return !oneOf(name, "connection", "content-length")
	case 'k':
		return !http1.EqualFold(name, "keep-alive")
	case 'p':
		return !oneOf(name, "proxy-connection", "proxy-authenticate", "proxy-authentication-info")
	case 'r':
		return !oneOf(name, "ratelimit", "ratelimit-policy")
	case 't':
		return !oneOf(name, "te", "trailer", "transfer-encoding")
	case 'u':
		return !http1.EqualFold(name, "upgrade")
	case 'x':
		return !oneOf(name, "x-proxy-request-id", "x-provider", "x-degraded", "x-cache-age")
	}
	return true
}

// maxNamed bounds the names in Connection fields that IsNamed compares. Whoever
// sends more means harm: names times fields would be a costly product.
const maxNamed = 32

// NamesFields reports whether a Connection field names other fields, so that
// the usual message is spared a search per field.
func NamesFields(fields []http1.Field) bool {
	for _, f := range fields {
		if !http1.EqualFold(f.Name, "connection") {
			continue
		}
		for list := f.Value; len(list) > 0; {
			var item []byte
			item, list = http1.NextItem(list)
			if len(item) > 0 && !http1.EqualFold(item, "close") && !http1.EqualFold(item, "keep-alive") {
				return true
			}
		}
	}
	return false
}

// IsNamed reports whether a Connection field names this one, which then belongs
// to one hop (RFC 9110 §7.6.1). With more than 32 names in all it says that of
// every field.
func IsNamed(fields []http1.Field, name []byte) bool {
	seen := 0
	for _, f := range fields {
		if !http1.EqualFold(f.Name, "connection") {
			continue
		}
		for list := f.Value; len(list) > 0; {
			var item []byte
			item, list = http1.NextItem(list)
			if seen++; seen > maxNamed || bytes.EqualFold(item, name) {
				return true
			}
		}
	}
	return false
}

// HidesAll reports whether so much is named that the provider sees no field of the
// caller's. The key of a cache, to which a Connection of many words without a name
// means nothing, would not tell such a request from others.
func HidesAll(fields []http1.Field) bool {
	return NamesFields(fields) && IsNamed(fields, noName)
}

var noName = []byte{0}

func oneOf(name []byte, lower ...string) bool {
	for _, s := range lower {
		if http1.EqualFold(name, s) {
			return true
		}
	}
	return false
}

func hasPrefixFold(name []byte, lower string) bool {
	return len(name) >= len(lower) && http1.EqualFold(name[:len(lower)], lower)
}
