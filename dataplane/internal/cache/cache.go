// Package cache holds the rules of a shared HTTP cache as functions of their
// arguments: what may be stored and under which key, how old a copy is, whether
// it may answer a request, when it has to be asked about, and how (RFC 9111,
// RFC 5861, RFC 8246, RFC 9110 §13 and §14). The sections are named where they
// are obeyed. Where a rule leaves a choice, the one is taken that can at worst
// cost a request to the provider and never shows a caller what was meant for
// another one.
//
// Nothing here keeps state: the copies lie in package store, requests that wait
// for each other meet in package coalesce, and package ladder says in which
// order a node falls back. Instants and spans are int64 nanoseconds of the
// node's monotonic clock; where a date is meant the argument is a time.Time.
// Everything is safe for simultaneous use.
package cache

import "time"

// Mode says whose word counts for a provider's answers.
type Mode uint8

// The modes, as cache_mode names them.
const (
	Default Mode = iota // 2xx and 404 are fresh for Rules.TTL unless the answer says otherwise
	RFC9111             // only what the answer's fields say
	Off
)

// Rules are what the configuration says about one provider's answers.
type Rules struct {
	Mode    Mode
	TTL     time.Duration // freshness that Default gives; twice as long a copy may stand in for the provider
	MaxBody int64         // bytes of the largest body that is stored
	// PassAuthorization says that the provider sees the caller's Authorization,
	// so that its answers may differ between callers.
	PassAuthorization bool
}

// absent marks a directive that was not sent.
const absent = -1

// maxDelta bounds every delta-seconds to 8.5 years. RFC 9111 §1.2.2 asks for the
// largest number that is convenient: a few of these can be added up.
const maxDelta = 1 << 28

const second = int64(time.Second)
