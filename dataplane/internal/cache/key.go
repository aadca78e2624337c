package cache

import (
	"bytes"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Key is what the key of a request is made of. Path and Query are the bytes that
// routing has seen and the provider will see: never decoded, the order of
// parameters kept, without what the provider's credential takes out. The
// credential itself is added later and is in no key.
type Key struct {
	Provider    string
	Path        []byte // with the prefix
	Query       []byte // without the question mark; nil = there was none
	Method      verdict.Method
	Fields      []http1.Field // of the request
	StripHeader string        // the lower-case field that the credential replaces; empty = none
}

// AppendKey appends the key of a request, and Key.AppendResource's part alone is
// its first n bytes: requests that differ in method or fields share them, and so
// does a change of the resource (RFC 9111 §4.4).
//
// Besides method and target every field is in the key that the provider sees and
// that could make a difference to it, in the order of arrival and with its name
// in lower case. A field outside of the key is one that a stranger could use to
// put an answer of his making before others ("web cache poisoning"). Fields that
// mean the same in another order merely miss.
func AppendKey(dst []byte, k *Key) (key []byte, n int) {
	start := len(dst)
	dst = AppendResource(dst, k.Provider, k.Path, k.Query)
	n = len(dst) - start
	// No part can hold a zero byte: route.Split and http1.ParseFields saw to that.
	dst = append(dst, byte('0'+k.Method), 0)
	return k.AppendFields(dst), n
}

// AppendFields appends the part of a key that the fields make.
func (k *Key) AppendFields(dst []byte) []byte {
	for _, f := range k.Fields {
		if kindOf(f.Name, k.StripHeader) == keyed || hidesOthers(f) {
			dst = append(appendLower(dst, f.Name), ':')
			dst = append(append(dst, f.Value...), 0)
		}
	}
	return dst
}

// hidesOthers finds a Connection that names other fields: the provider does not
// see those (RFC 9110 §7.6.1), so the key must not look as if it had.
func hidesOthers(f http1.Field) bool {
	if !http1.EqualFold(f.Name, "connection") {
		return false
	}
	for list := f.Value; len(list) > 0; {
		var item []byte
		item, list = http1.NextItem(list)
		if len(item) > 0 && !http1.EqualFold(item, "close") && !http1.EqualFold(item, "keep-alive") {
			return true
		}
	}
	return false
}

// AppendResource appends the part of a key that names the resource.
func AppendResource(dst []byte, provider string, path, query []byte) []byte {
	dst = append(append(dst, provider...), 0)
	dst = append(dst, path...)
	if query != nil {
		dst = append(append(dst, '?'), query...)
	}
	return append(dst, 0)
}

// Target splits a key or resource into the provider's name and path with query.
func Target(key []byte) (provider, target []byte) {
	provider, key, _ = bytes.Cut(key, []byte{0})
	target, _, _ = bytes.Cut(key, []byte{0})
	return provider, target
}

// kind is what a field of a request means to the key.
type kind uint8

const (
	keyed   kind = iota
	neutral      // the provider sees it; only a Vary that names it makes it count
	hidden       // the provider does not see it (package forward)
)

// kindOf sorts the names that are not in the key. The hidden ones must be hidden
// by package forward too; more may be hidden there. The neutral ones are read by
// this cache itself, or tell who asks and why, which differs with each request.
func kindOf(name []byte, strip string) kind {
	if strip != "" && http1.EqualFold(name, strip) {
		return hidden
	}
	if bytes.IndexByte(name, '_') >= 0 {
		return hidden
	}
	switch name[0] | 0x20 {
	case 'a':
		// Who sends one is kept apart by Storable and Judge, see Rules.PassAuthorization.
		return among(name, hidden, "authorization")
	case 'b':
		return among(name, neutral, "baggage", "b3")
	case 'c':
		if http1.EqualFold(name, "cache-control") {
			return neutral
		}
		return among(name, hidden, "connection", "content-length", "cookie")
	case 'd':
		return among(name, neutral, "date", "dnt")
	case 'e':
		return among(name, hidden, "expect")
	case 'f':
		return among(name, hidden, "forwarded")
	case 'h':
		return among(name, hidden, "host", "http2-settings")
	case 'i':
		return among(name, neutral, "if-none-match", "if-modified-since", "if-range", "if-match", "if-unmodified-since")
	case 'k':
		return among(name, hidden, "keep-alive")
	case 'o':
		return among(name, hidden, "origin")
	case 'p':
		if hasPrefix(name, "proxy-") {
			return hidden
		}
		return among(name, neutral, "pragma", "priority")
	case 'r':
		if http1.EqualFold(name, "range") {
			return neutral
		}
		return among(name, hidden, "referer")
	case 's':
		if hasPrefix(name, "sec-fetch-") {
			return neutral
		}
		return among(name, neutral, "sentry-trace")
	case 't':
		if kind := among(name, neutral, "traceparent", "tracestate"); kind != keyed {
			return kind
		}
		return among(name, hidden, "te", "trailer", "transfer-encoding")
	case 'u':
		if http1.EqualFold(name, "upgrade") {
			return hidden
		}
		return among(name, neutral, "user-agent", "uber-trace-id")
	case 'v':
		return among(name, hidden, "via")
	case 'x':
		if hasPrefix(name, "x-forwarded-") {
			return hidden
		}
		if hasPrefix(name, "x-b3-") || hasPrefix(name, "x-datadog-") {
			return neutral
		}
		if kind := among(name, hidden, "x-real-ip", "x-request-id", "x-proxy-admitted-at"); kind != keyed {
			return kind
		}
		return among(name, neutral, "x-amzn-trace-id", "x-cloud-trace-context")
	}
	return keyed
}

func among(name []byte, k kind, lower ...string) kind {
	for _, s := range lower {
		if http1.EqualFold(name, s) {
			return k
		}
	}
	return keyed
}

func hasPrefix(name []byte, lower string) bool {
	return len(name) >= len(lower) && http1.EqualFold(name[:len(lower)], lower)
}

func appendLower(dst, name []byte) []byte {
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}
