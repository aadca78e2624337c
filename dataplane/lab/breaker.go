package lab

import "apiproxy.internal/dataplane/internal/breaker"

// The circuit breaker of one provider on one node.
type (
	Breaker        = breaker.Breaker
	BreakerConfig  = breaker.Config
	BreakerOutcome = breaker.Outcome
	BreakerPermit  = breaker.Permit
)

// The outcomes of an attempt.
const (
	BreakerReleased = breaker.Released
	BreakerSuccess  = breaker.Success
	BreakerFailure  = breaker.Failure
)

// NewBreaker is breaker.New.
func NewBreaker(config BreakerConfig) *Breaker { return breaker.New(config) }
