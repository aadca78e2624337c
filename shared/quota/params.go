package quota

import (
	"fmt"
	"math/bits"
)

// OnDisconnect is what a node does that does not hear the leader any more.
type OnDisconnect string

// Share goes on earning for Params.Hold and then refuses, Closed refuses after
// Fresh, Open goes on without end: the one of them that may exceed the limit,
// because the leader gives the share away after Hold all the same.
const (
	Share  OnDisconnect = "share"
	Closed OnDisconnect = "closed"
	Open   OnDisconnect = "open"
)

// DefaultHold is ten minutes.
const DefaultHold = 600 * Second

// Params are the parameters of one limit for the whole cluster. The zero value
// refuses all.
type Params struct {
	Num, Den     uint64       // tokens per so many seconds; Den 0 counts as a rate of 0
	Burst        int64        // tokens, 0..1e9
	OnDisconnect OnDisconnect // "" is Share
	Hold         int64        // nanoseconds; 0 is DefaultHold
	// Window is for budgets that begin anew with each minute, day or month.
	// Only the empty one, a token bucket, is understood yet.
	Window string
}

// Rate is the rate in nano-tokens per second, rounded down: of one token a day
// that takes 6 millionths, of one a minute 2e-8.
func (p Params) Rate() int64 {
	if p.Den == 0 {
		return 0
	}
	hi, lo := bits.Mul64(p.Num, PerSecond)
	if hi >= p.Den {
		return MaxRate
	}
	quo, _ := bits.Div64(hi, lo, p.Den)
	return int64(min(quo, MaxRate))
}

// Room is the burst in micro-tokens.
func (p Params) Room() int64 { return clamp(p.Burst, MaxRoom/Token) * Token }

// Lease is how long a node may use what it holds, from its last answered report.
func (p Params) Lease() int64 {
	if p.OnDisconnect == Open {
		return Forever
	}
	return p.Reclaim()
}

// Reclaim is how long the leader must not touch a silent node's share, before
// Stretch.
func (p Params) Reclaim() int64 {
	if p.OnDisconnect == Closed {
		return Fresh
	}
	if p.Hold <= 0 {
		return DefaultHold
	}
	return max(p.Hold, Fresh)
}

// Every is the time for one token, or Forever.
func (p Params) Every() int64 {
	rate := p.Rate()
	if rate == 0 {
		return Forever
	}
	return int64(min((Second*PerSecond+uint64(rate)-1)/uint64(rate), uint64(Forever)))
}

// Thin reports whether the limit is too thin to be spread over that many nodes,
// and why. In pieces it would leave fractions of tokens everywhere, so its
// tokens stay with the leader, whole, and a node asks for each when it is
// needed: a request waits for one round trip instead of being refused wrongly.
// Nothing is admitted while the leader is away.
func Thin(p Params, nodes int) (thin bool, why string) {
	rate, burst, n := p.Rate(), p.Room(), int64(max(nodes, 1))
	if !IsThin(rate, burst, nodes) {
		return false, ""
	}
	if burst < 3*n*Token {
		return true, fmt.Sprintf("burst %d is below 3 × nodes = 3 × %d = %d", burst/Token, n, 3*n)
	}
	need := inFlight(rate) + n*Token
	return true, fmt.Sprintf("burst %d is below rate × (tick + 2 × delay) + nodes = %.6g × 0.06 + %d = %d",
		burst/Token, float64(rate)/PerSecond, n, (need+Token-1)/Token)
}

// IsThin is Thin for a rate in nano-tokens per second and a burst in micro-tokens.
func IsThin(rate, burst int64, nodes int) bool {
	n := int64(nodes)
	return rate > 0 && burst > 0 && n > 1 && (burst < 3*n*Token || burst < inFlight(rate)+n*Token)
}

// inFlight is what a rate earns while a report and its answer are under way.
func inFlight(rate int64) int64 {
	tokens, _ := Earned(rate, Tick+2*Delay, 0)
	return tokens
}
