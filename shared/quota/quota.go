// Package quota is what nodes and leader say to each other about one limit:
// plain values, the parameters of a limit, and the few rules that both sides
// must compute alike. No I/O, no state, no clock.
//
// A limit of rate R and burst B is one token bucket that is kept in pieces. A
// piece is a Holding: it earns Rate, and holds at most Room of tokens. The
// pieces of all nodes, the leader's pool and what is on its way between them
// add up to exactly R and B, at every moment. Whoever hands something over has
// it no longer when the message leaves, and the other has it when the message
// arrives. So no window of length T can see more than B + R×T admissions: what
// it uses was there at its beginning, at most B, or was earned in it.
//
// Messages are lost, repeated and reordered. Therefore they carry no amounts
// but the Sum of all amounts handed over so far; the receiver takes the
// difference to what it has seen. A lost message is made good by the next one,
// a repeated or late one changes nothing.
//
// Units: tokens in millionths (micro-tokens), rates in nano-tokens per second,
// demand in micro-tokens per second, times and durations in nanoseconds.
//
// What the types leave room for: a request may cost several tokens (all amounts
// are micro-tokens), a limit may belong to an account or a key (the caller names
// it), a budget may be a count over a calendar window (Params.Window), and a
// provider may correct our count (Report.Correction).
package quota

import "math/bits"

// The units.
const (
	Token     = 1_000_000     // one token in micro-tokens
	PerSecond = 1_000_000_000 // one token per second in nano-tokens per second
	Second    = 1_000_000_000 // in nanoseconds

	MaxRate = 1_000_000_000 * PerSecond
	MaxRoom = 1_000_000_000 * Token
	// MaxDemand is the most that a node is believed to want, in micro-tokens per
	// second: a thousand nodes of it add up without overflow.
	MaxDemand = 1_000_000_000 * Token
)

// Forever is the duration of what does not end.
const Forever int64 = 1<<63 - 1

const (
	// Tick is the interval of reports. Half of it halves the tokens that lie
	// where they are not needed, and doubles the messages.
	Tick = Second / 20
	// Delay is the greatest one-way delay that is usual. A greater one costs
	// utilisation, never exactness.
	Delay = 5 * Second / 1000
	// Fresh is how long an answer may take, counted by the node from the report
	// that it answers, and how long a node without an answer keeps tokens that
	// it could not earn again by itself soon (see Holding.Aged).
	Fresh = 2 * Second
	// Drift is by how much the clocks of two machines may differ in speed, as a
	// divisor: 1/1000.
	Drift = 1000
)

// Stretch is d on the fastest of our clocks when the slowest shows d: who waits
// for another's deadline waits so much longer.
func Stretch(d int64) int64 {
	if d > Forever-d/Drift-1 {
		return Forever
	}
	return d + d/Drift + 1
}

// Holding is a piece of a limit.
type Holding struct {
	Rate int64 `json:"r,omitempty"` // nano-tokens per second that it earns
	Room int64 `json:"w,omitempty"` // micro-tokens that it may hold
}

// Aged is what is left of a holding without an answer for Fresh: room to earn
// into for a third of a second, or one token, and no more tokens than that. The
// rest was for a burst, and a burst is over by then; the leader may use it
// elsewhere.
func (h Holding) Aged() Holding {
	if h.Rate == 0 {
		return Holding{}
	}
	return Holding{h.Rate, min(h.Room, max(Refill(h.Rate), Token))}
}

// Refill is the room that a rate needs in order to lose nothing between two
// reports: 0.3 s of it, rounded up.
func Refill(rate int64) int64 { return (rate/1000*3 + 9) / 10 }

// Sum is all that one side has handed to the other so far. Sums wrap around:
// only differences count, and they are small.
type Sum struct {
	Rate   uint64 `json:"r,omitempty"`
	Room   uint64 `json:"w,omitempty"`
	Tokens uint64 `json:"t,omitempty"`
}

// Part is one handing over: Tokens <= Room.
type Part struct {
	Holding
	Tokens int64
}

// Plus is the sum with p handed over too.
func (s Sum) Plus(p Part) Sum {
	return Sum{s.Rate + uint64(p.Rate), s.Room + uint64(p.Room), s.Tokens + uint64(p.Tokens)}
}

// Minus is what was handed over between old and s.
func (s Sum) Minus(old Sum) Part {
	return Part{
		Holding{int64(s.Rate - old.Rate), int64(s.Room - old.Room)},
		int64(s.Tokens - old.Tokens),
	}
}

// Possible reports whether p can be part of a limit at all. Whoever finds an
// impossible part ignores the message.
func (p Part) Possible() bool {
	return p.Holding.Possible() && p.Tokens >= 0 && p.Tokens <= p.Room
}

// Possible reports whether h can be part of a limit at all.
func (h Holding) Possible() bool {
	return h.Rate >= 0 && h.Rate <= MaxRate && h.Room >= 0 && h.Room <= MaxRoom
}

// Earned is what a rate >= 0 earns in a time, in whole micro-tokens, and the
// rest in millionths of a millionth of one, to be given to the next call.
func Earned(rate, elapsed, rest int64) (tokens, left int64) {
	const unit = Second * PerSecond / Token
	if rate <= 0 || elapsed <= 0 {
		return 0, rest
	}
	hi, lo := bits.Mul64(uint64(rate), uint64(elapsed))
	lo, carry := bits.Add64(lo, uint64(rest), 0)
	if hi += carry; hi >= unit {
		return MaxRoom, 0
	}
	quo, rem := bits.Div64(hi, lo, unit)
	return int64(min(quo, MaxRoom)), int64(rem)
}
