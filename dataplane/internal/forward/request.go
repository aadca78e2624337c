// Package forward turns a client's request into the bytes that go upstream and
// decides which header fields pass in either direction. The upstream request is
// built from scratch: only what is named here reaches the provider. Pure.
package forward

import (
	"bytes"
	"net/url"
	"strconv"

	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/http1"
)

// Request is what AppendHead needs to know. All slices are used as they are.
type Request struct {
	Method     []byte
	Host       string        // of the upstream
	BasePath   string        // of the upstream, without a trailing slash
	Path       []byte        // what follows the provider's prefix; empty or "/..."
	Query      []byte        // without the question mark; nil = there was none
	Fields     []http1.Field // the client's
	BodyLength int64         // bytes; -1 = chunked; NoBody = no body
	AdmittedAt int64         // unix nanoseconds for X-Proxy-Admitted-At; 0 = do not send it
	Credential *credential.Credential
}

// NoBody is the BodyLength of a request that has none.
const NoBody = -2

// AppendHead appends the request line and header section. The client's bytes
// after the prefix go upstream unchanged, apart from query parameters that the
// credential uses.
func AppendHead(dst []byte, r *Request) []byte {
	dst = append(append(dst, r.Method...), ' ')
	dst = appendTarget(dst, r)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(append(dst, r.Host...), '\r', '\n')
	dst = appendFields(dst, r)
	dst = append(dst, r.Credential.HeaderLine...)
	switch {
	case r.BodyLength >= 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, r.BodyLength, 10)
		dst = append(dst, '\r', '\n')
	case r.BodyLength != NoBody:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	}
	if r.AdmittedAt != 0 {
		dst = append(dst, "X-Proxy-Admitted-At: "...)
		dst = strconv.AppendInt(dst, r.AdmittedAt, 10)
		dst = append(dst, '\r', '\n')
	}
	return append(dst, '\r', '\n')
}

func appendTarget(dst []byte, r *Request) []byte {
	start := len(dst)
	dst = append(dst, r.BasePath...)
	dst = append(dst, r.Credential.PathPrefix...)
	dst = append(dst, r.Path...)
	if len(dst) == start {
		dst = append(dst, '/')
	}
	mark := len(dst)
	if r.Query != nil {
		dst = append(dst, '?')
		dst = AppendQuery(dst, r.Query, r.Credential.StripParam)
	}
	if len(r.Credential.Query) > 0 {
		if len(dst) > mark+1 {
			dst = append(dst, '&')
		} else {
			dst = append(dst[:mark], '?')
		}
		dst = append(dst, r.Credential.Query...)
	}
	return dst
}

// AppendQuery copies the query without the parameters named strip, however the
// name is escaped. Both "&" and ";" end a parameter: an upstream may split at
// either, and must not find a second key behind the one that it splits at.
func AppendQuery(dst, query []byte, strip string) []byte {
	if strip == "" {
		return append(dst, query...)
	}
	start, kept := 0, false
	for i := 0; i <= len(query); i++ {
		if i < len(query) && query[i] != '&' && query[i] != ';' {
			continue
		}
		if part := query[start:i]; !isParam(part, strip) {
			if kept {
				dst = append(dst, query[start-1]) // the separator before it
			}
			dst, kept = append(dst, part...), true
		}
		start = i + 1
	}
	return dst
}

func isParam(part []byte, name string) bool {
	if i := bytes.IndexByte(part, '='); i >= 0 {
		part = part[:i]
	}
	if bytes.IndexByte(part, '%') < 0 {
		return string(part) == name
	}
	plain, err := url.QueryUnescape(string(part)) // allocates; escaped names are rare
	return err == nil && plain == name
}
