package limit

import (
	"math/bits"
	"strconv"
)

// maxInteger is the greatest Integer of a structured field (RFC 9651 §3.3.1).
const maxInteger = 999_999_999_999_999

// RetryAfterSeconds is the value of Retry-After (RFC 9110 §10.2.3) for a wait
// in nanoseconds: whole seconds rounded up, at least 1, and up to a tenth more
// so that the refused do not all come back at once. jitter is uniformly random
// over its whole range. Never is told as one day.
func RetryAfterSeconds(ns int64, jitter uint32) int64 {
	if ns == Never {
		return day
	}
	s := max(1, ceilSeconds(ns))
	extra, _ := bits.Mul64(uint64(s/10+1), uint64(jitter)<<32)
	return s + int64(extra)
}

// ceilSeconds is a wait of ns >= 0 nanoseconds in whole seconds, rounded up.
func ceilSeconds(ns int64) int64 {
	s := ns / second
	if ns%second > 0 {
		s++
	}
	return s
}

// Policy tells one limit in the response fields RateLimit-Policy and RateLimit
// of draft-ietf-httpapi-ratelimit-headers-11. It is an immutable value.
type Policy struct {
	text      string
	remaining string // RateLimit up to the number of r
}

// NewPolicy is the policy of a limit. The name consists of a-z, 0-9, _ and -
// as all names of the configuration do, so that it needs no escaping.
func NewPolicy(name string, p Params) Policy {
	if !p.Valid() {
		p = Params{}
	}
	text := strconv.AppendQuote(nil, name)
	remaining := string(text) + ";r="
	text = append(text, ";q="...)
	text = strconv.AppendInt(text, p.Burst, 10)
	if p.Num > 0 {
		text = append(text, ";w="...)
		text = strconv.AppendInt(text, p.refillSeconds(), 10)
	}
	return Policy{text: string(text), remaining: remaining}
}

// refillSeconds is the time in which an empty bucket fills up, rounded up to
// whole seconds, at least 1. Num is not 0.
func (p Params) refillSeconds() int64 {
	hi, lo := bits.Mul64(uint64(p.Burst), p.Den)
	if hi >= p.Num {
		return maxInteger
	}
	s, odd := bits.Div64(hi, lo, p.Num)
	if odd > 0 {
		s++
	}
	return int64(min(max(s, 1), maxInteger))
}

// String is the value of RateLimit-Policy, for instance "zerion";q=500;w=2:
// q = the burst, w = whole seconds in which an empty bucket fills up, at least
// 1, left out when it never does.
func (p Policy) String() string { return p.text }

// AppendRateLimit appends the value of RateLimit, for instance
// "zerion";r=42;t=3: r = whole tokens left, t = whole seconds, rounded up,
// until the bucket is full or, when nothing is left, until the next token;
// left out when that never comes.
func (p Policy) AppendRateLimit(dst []byte, d Decision) []byte {
	dst = append(dst, p.remaining...)
	dst = strconv.AppendInt(dst, d.Remaining, 10)
	wait := d.Reset
	if d.Remaining == 0 {
		wait = d.RetryAfter
	}
	if wait == Never {
		return dst
	}
	dst = append(dst, ";t="...)
	return strconv.AppendInt(dst, ceilSeconds(wait), 10)
}
