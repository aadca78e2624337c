// Package ladder says how far a node falls back before it refuses, and in which
// words every step is told: fresh copy, merged request, stale copy that is asked
// about meanwhile, copy because the breaker is open, because the provider
// failed, because its quota is short, refusal. Pure: functions of plain values.
package ladder

import (
	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Step is what a request is answered with.
type Step uint8

// The steps. Forward is the zero value: the provider is asked.
const (
	Forward     Step = iota
	Fresh            // a fresh copy
	Merged           // the answer to another request that asked the same
	Accepted         // a stale copy, which the caller allowed
	Refreshing       // a stale copy, while the provider is asked in the background
	BreakerCopy      // a copy, because the breaker lets nobody through
	FailureCopy      // a copy, because the provider failed
	QuotaCopy        // a copy, because the provider's quota is short
	Refuse           // none of them
	Steps            // how many there are
)

var degradedWords = [Steps]string{BreakerCopy: "circuit_breaker", FailureCopy: "upstream_error", QuotaCopy: "quota"}

// Degraded is the word of logs and labels for why a copy stands in for an
// answer; empty if it does not. X-Degraded: cache goes with every such step.
func (s Step) Degraded() string { return degradedWords[s] }

// FromCopy reports whether a stored copy is the answer.
func (s Step) FromCopy() bool {
	return s == Fresh || s >= Accepted && s <= QuotaCopy
}

// Situation is what is known when a request arrives.
type Situation struct {
	HasCopy      bool
	Copy         cache.Judgement // of the copy
	Breaker      verdict.BreakerState
	OnlyIfCached bool // RFC 9111 §5.2.1.7
}

// Arrive decides before anything is asked of the provider or its limits.
//
// Half-open the provider must be tried by somebody, or cached traffic would keep
// the breaker from ever closing: the request goes on as if there were no copy,
// and Fall finds one if it gets no permit.
func Arrive(s Situation) Step {
	step := Forward
	if s.HasCopy {
		step = fromCopy(s)
	}
	if step == Forward && s.OnlyIfCached {
		return Refuse
	}
	return step
}

func fromCopy(s Situation) Step {
	switch {
	case s.Breaker == verdict.Open && s.Copy.Fallback:
		return BreakerCopy
	case s.Breaker == verdict.Open, s.Breaker == verdict.HalfOpen && !s.OnlyIfCached:
		return Forward
	}
	switch s.Copy.Use {
	case cache.Fresh:
		return Fresh
	case cache.Acceptable:
		return Accepted
	case cache.Refreshable:
		return Refreshing
	}
	return Forward
}

// Cause is why a request that was to be forwarded got no usable answer.
type Cause uint8

// The causes.
const (
	NoPermit Cause = iota // the breaker is open, or half-open with all probes under way
	Failed                // see Failure
	NoQuota               // the provider's limit refused
)

// Fall decides what is left then. serveWhenLimited is
// proxy.serve_stale_when_limited; it matters for NoQuota only.
func Fall(hasCopy bool, j cache.Judgement, c Cause, serveWhenLimited bool) Step {
	switch {
	case !hasCopy || !j.Fallback:
		return Refuse
	case c == NoPermit:
		return BreakerCopy
	case c == Failed:
		return FailureCopy
	case serveWhenLimited:
		return QuotaCopy
	}
	return Refuse
}

// Failure reports whether the provider failed so that a copy is better than what
// came: no answer at all, or one of these statuses after the last attempt.
func Failure(answered bool, status int) bool {
	return !answered || status == 500 || status == 502 || status == 503 || status == 504
}
