// Package limit holds the rate limiters of one node: Bucket, a token bucket on
// one atomic word, AddrTable, a token bucket for each client address in one
// flat table, and the response fields in which their answers are told.
//
// Everything here is pure: time comes in as an argument named now, in
// nanoseconds of one monotonic clock of the node, and nothing is logged,
// counted elsewhere or waited for. Amounts are exact: a limiter never admits
// more than rate × T + burst (+ 1/unit of a token, see meter) in any window
// of length T, and it does not drift below that either.
package limit

import "math"

// The bounds of Params.
const (
	MaxRate  = 1e9   // tokens per second
	MaxDen   = 864e8 // denominator of a rate: micro-tokens per day
	MaxBurst = 1e9   // tokens
)

const (
	second = 1e9   // nanoseconds
	day    = 86400 // seconds
)

// Never is the wait, in nanoseconds, for something that does not come.
const Never int64 = math.MaxInt64

// Params are the parameters of a token bucket: it earns Num/Den tokens per
// second and holds at most Burst.
//
// With Num 0 a bucket earns nothing, with Burst 0 it refuses all. The zero
// value therefore refuses all; it is what a configured rate of 0 becomes,
// whatever its burst. Params that are not Valid count as the zero value.
type Params struct {
	Num   uint64 // tokens ...
	Den   uint64 // ... in so many seconds: 1..MaxDen; free when Num is 0
	Burst int64  // tokens, 0..MaxBurst
}

// Valid reports whether p is within the bounds: Num/Den <= MaxRate,
// Den <= MaxDen, 0 <= Burst <= MaxBurst.
func (p Params) Valid() bool {
	if p.Burst < 0 || p.Burst > MaxBurst || p.Den > MaxDen {
		return false
	}
	return p.Num == 0 || p.Den > 0 && p.rateCeil() <= MaxRate
}

// rateCeil is the rate in tokens per second, rounded up. Num and Den are not 0.
func (p Params) rateCeil() uint64 { return (p.Num-1)/p.Den + 1 }

// Decision is a limiter's answer as of the moment it was given, the taken
// tokens deducted.
type Decision struct {
	OK         bool  // the tokens were taken (Peek: would have been)
	Remaining  int64 // whole tokens left, >= 0
	RetryAfter int64 // nanoseconds until the same cost could be taken again; 0 = now, or Never
	Reset      int64 // nanoseconds until the bucket is full; 0 = it is, or Never
}
