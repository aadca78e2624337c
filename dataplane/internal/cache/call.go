package cache

import (
	"time"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// A JSON-RPC call that only reads is to this cache what a GET is, although it
// comes by POST: RFC 9110 §9.3.3 leaves the storing of such answers to whoever
// knows what the request means, which is the provider's configuration here. Its
// key has the call where a GET's has the method:
//
//	AppendCalls, the call, a zero byte; Key.AppendFields
//
// What comes before the fields is the resource, so that the copies of one call in
// all its variants belong together; provider and target come first as in any key.

// AppendCalls appends what the keys of all calls of a request begin with.
func (k *Key) AppendCalls(dst []byte) []byte {
	return append(AppendResource(dst, k.Provider, k.Path, k.Query), byte('0'+verdict.MethodPost), 0)
}

// CallsCacheable reports whether copies may answer the calls of a request: not
// if it asks for a part or has a precondition, which mean nothing here.
func (w *Wish) CallsCacheable() bool { return !w.Guarded && !w.Conditional && !w.Ranged }

// StorableCall is Storable for the result of a call that holds for ttl: the
// fields may shorten that but not lengthen it, for they speak of the whole answer,
// which may have the results of many calls. It is not asked about in the
// background, and has no validator, see DropValidators.
func (r Rules) StorableCall(w *Wish, a *Answer, ttl time.Duration) (Meta, Reason) {
	r.TTL = ttl
	m, reason := r.Storable(w, a)
	m.Lifetime = min(m.Lifetime, m.InitialAge+int64(ttl))
	m.WhileRevalidate = 0
	return m, reason
}

// Sharable reports whether those who asked the same meanwhile may be given an
// answer that is not stored, because it is an error or may still change.
func (r Rules) Sharable(w *Wish, a *Answer, ttl time.Duration) bool {
	result := *a
	result.Status, result.Length = 200, 0
	m, reason := r.StorableCall(w, &result, ttl)
	return reason == Stored && m.Lifetime > m.InitialAge && !m.NoCache
}

// DropValidators takes out of an answer's fields, in place, what holds for the
// bytes that came and not for those that are put together of them.
func DropValidators(fields []http1.Field) []http1.Field {
	kept := fields[:0]
	for _, f := range fields {
		if !isOfBytes(f.Name) {
			kept = append(kept, f)
		}
	}
	return kept
}

func isOfBytes(name []byte) bool {
	for _, s := range [...]string{"etag", "last-modified", "accept-ranges", "content-md5", "digest", "content-digest", "repr-digest"} {
		if http1.EqualFold(name, s) {
			return true
		}
	}
	return false
}

// AppendPlain appends the fields of a request with the wish for an answer that is
// not compressed, because it has to be read (RFC 9110 §12.5.3).
func AppendPlain(dst, fields []http1.Field) []http1.Field {
	for _, f := range fields {
		if !http1.EqualFold(f.Name, "accept-encoding") {
			dst = append(dst, f)
		}
	}
	return append(dst, http1.Field{Name: acceptEncoding, Value: identity})
}

var acceptEncoding, identity = []byte("Accept-Encoding"), []byte("identity")

// Encoded reports whether the body below these fields is not what it seems (RFC
// 9110 §8.4).
func Encoded(fields []http1.Field) bool { return has(fields, "content-encoding") }
