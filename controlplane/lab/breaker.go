package lab

import (
	"time"

	"apiproxy.internal/controlplane/internal/breaker"
)

// The leader's side of the circuit breaker of one provider.
type (
	Breaker         = breaker.Machine
	BreakerConfig   = breaker.Config
	BreakerEffect   = breaker.Effect
	BreakerNode     = breaker.Node
	BreakerRestored = breaker.Restored
)

// NewBreaker is breaker.New.
func NewBreaker(now time.Time, config BreakerConfig, r BreakerRestored) (*Breaker, BreakerEffect) {
	return breaker.New(now, config, r)
}
