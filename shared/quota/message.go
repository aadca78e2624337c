package quota

import "math"

// Report is what a node says about one limit, at each tick and, when it runs
// low, between two.
type Report struct {
	Term  uint64 `json:"e,omitempty"` // of the newest answer: whose bookkeeping the node goes by
	Seq   uint64 `json:"q"`           // number of this report, from 1 in each incarnation
	Nonce int64  `json:"n"`           // the node's boot clock when it left, for the answer to name it

	Got  Sum `json:"g"` // all that the node has received
	Back Sum `json:"b"` // all that it has handed back

	Level  int64 `json:"l,omitempty"` // micro-tokens in hand
	Demand int64 `json:"d,omitempty"` // wanted, admitted or not, smoothed; micro-tokens per second
	Now    int64 `json:"i,omitempty"` // the same over the last tick or two
	Urgent bool  `json:"u,omitempty"` // between two ticks: somebody waits
	Last   bool  `json:"x,omitempty"` // the node leaves and keeps nothing

	Admitted uint64 `json:"a,omitempty"` // tokens used so far, whole ones
	Refused  uint64 `json:"f,omitempty"` // requests refused so far

	// Correction is by how many micro-tokens the provider's own count is ahead of
	// ours. Nobody sends it yet.
	Correction int64 `json:"c,omitempty"`
}

// Holding is what the node holds by its own account.
func (r Report) Holding() Holding { return r.Got.Minus(r.Back).Holding }

// Sane is the report with all that is not bookkeeping put into its range.
// Amounts are not mended but checked where they are used.
func (r Report) Sane() Report {
	r.Level = clamp(r.Level, MaxRoom)
	r.Demand = clamp(r.Demand, MaxDemand)
	r.Now = clamp(r.Now, MaxDemand)
	r.Correction = min(max(r.Correction, -MaxRoom), MaxRoom)
	return r
}

// Answer is what the leader says about one limit to one node.
type Answer struct {
	// Term numbers the bookkeeping, higher for each new leader and each time
	// that it loses touch with the node. A node ignores answers of a lower
	// term. The first of a higher one carries nothing: by its next report the
	// node confirms that nobody else hands it anything any more.
	Term  uint64 `json:"e"`
	Seq   uint64 `json:"q"` // number of this answer within its term
	Nonce int64  `json:"n"` // of the newest report

	Gave  Sum   `json:"g"`           // all that the leader has handed to the node
	Lease int64 `json:"h"`           // from Nonce on, the node may use what it holds: nanoseconds, or Forever
	Hand  int64 `json:"r,omitempty"` // the rate to keep; what is above is to be handed back
	Keep  int64 `json:"w,omitempty"` // the room to keep beside the tokens in hand
	Most  int64 `json:"m,omitempty"` // the micro-tokens to keep at most; 0 = no bound
	Low   int64 `json:"l,omitempty"` // below that level the node reports at once

	Scarce bool `json:"s,omitempty"` // others starve: hand back what the next tick does not need
	Now    bool `json:"u,omitempty"` // report at once
	Drop   bool `json:"d,omitempty"` // hand everything back

	Wait  int64 `json:"p,omitempty"` // how long a refused request may wait for the next answer; 0 = not at all
	Every int64 `json:"v,omitempty"` // the whole limit's time for one token: the longest wait worth telling
}

// Sane is the answer with all that is not bookkeeping put into its range.
func (a Answer) Sane() Answer {
	a.Lease = clamp(a.Lease, Forever)
	a.Hand = clamp(a.Hand, MaxRate)
	a.Keep = clamp(a.Keep, MaxRoom)
	a.Most = clamp(a.Most, MaxRoom)
	a.Low = clamp(a.Low, MaxRoom)
	a.Wait = clamp(a.Wait, Second)
	a.Every = clamp(a.Every, math.MaxInt64)
	return a
}

// Saved is what of a lease outlives its process: a rate and its end, never
// tokens. It means nothing after the machine was started anew.
type Saved struct {
	Holding
	Until int64 `json:"u"` // on the boot clock
}

func clamp(x, most int64) int64 { return min(max(x, 0), most) }
