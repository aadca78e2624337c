// Package retry decides whether a failed attempt is sent again, how long the
// node waits before it does, and how many retries a provider gets in total.
package retry

import (
	"math/bits"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// maxWait bounds every wait between two attempts, the upstream's wish included.
const maxWait = 2 * time.Second

// Policy is the retry policy of one provider.
type Policy struct {
	Times int           // attempts after the first one, 0..10; 0 = never retry
	Delay time.Duration // ceiling of the first wait; it doubles with each retry up to 2 s
}

// Backoff is the wait before retry n (1 = the first): uniform in
// [0, min(Delay*2^(n-1), 2s)], which spreads simultaneous clients best ("full
// jitter": Brooker, Exponential Backoff And Jitter, AWS Architecture Blog,
// 2015). u is 64 uniform random bits. An n below 1 counts as 1, a negative
// Delay as 0.
func (p Policy) Backoff(n int, u uint64) time.Duration {
	ceiling := max(p.Delay, 0)
	for ; n > 1 && 0 < ceiling && ceiling < maxWait; n-- {
		ceiling *= 2
	}
	ceiling = min(ceiling, maxWait)
	wait, _ := bits.Mul64(u, uint64(ceiling)+1) // u/2^64 * (ceiling+1), rounded down
	return time.Duration(wait)
}

// Phase is how far an attempt came.
type Phase uint8

// The phases of an attempt, each with its own timeout.
const (
	PhaseConnect Phase = iota // DNS, TCP, TLS
	PhaseSend                 // writing the request
	PhaseRead                 // waiting for the response and reading it
)

// Result is what the retry decision needs to know of an attempt. The zero value
// is never retried.
type Result struct {
	Outcome         verdict.AttemptOutcome
	Status          int   // read only for AttemptStatus5xx
	Phase           Phase // where it ended; read only for AttemptTimeout
	RequestWritten  bool  // at least one request byte left the node
	BodyReplayable  bool  // no body, or one that is held in memory whole
	ResponseStarted bool  // at least one response byte went to the client
}

// Retryable reports whether a request of method m may be sent again after r.
// An idempotent method may if the failure looks transient; any other one only if
// in addition the upstream cannot have seen a byte of it (RFC 9110 §9.2.2).
func Retryable(m verdict.Method, r Result) bool {
	return r.BodyReplayable && !r.ResponseStarted &&
		(m.Idempotent() || !r.RequestWritten) && r.transient()
}

// transient reports whether another attempt has a fair chance. A TLS error will
// come again; a 500 is the application's answer rather than a missing one; a
// stalled send has already cost the upstream the bytes that it took.
func (r Result) transient() bool {
	switch r.Outcome {
	case verdict.AttemptTimeout:
		return r.Phase == PhaseConnect || r.Phase == PhaseRead
	case verdict.AttemptConnectionRefused, verdict.AttemptConnectFailure, verdict.AttemptConnectionBroken:
		return true
	case verdict.AttemptStatus5xx:
		return 502 <= r.Status && r.Status <= 504
	}
	return false
}
