package wire

import (
	"cmp"
	"time"
)

// The states of a breaker.
const (
	BreakerClosed   = "closed"
	BreakerOpen     = "open"
	BreakerHalfOpen = "half_open"
)

// The causes of a change of state.
const (
	CauseFailures    = "failures"     // closed to open: too many failed attempts
	CauseTimeout     = "timeout"      // open to half-open: the pause is over
	CauseProbeFailed = "probe_failed" // half-open to open
	CauseProbesOK    = "probes_ok"    // half-open to closed
	CauseClosedAlone = "closed_alone" // to closed: a node that could not hear the leader closed its own after successful probes
	CauseTrip        = "trip"         // to open, by an operator
	CauseReset       = "reset"        // to closed, by an operator
	CauseAuto        = "auto"         // to half-open: an operator ended a hold
	CauseHoldEnded   = "hold_ended"   // to half-open: a hold ran out
)

// PermitLease is how long a permit that is not used lasts: from the nonce of
// the report that was answered, on the clock of the node. It is also how long a
// node that wanted a permit in vain is taken to want one.
const PermitLease = time.Second

// Generation numbers the states of a cluster's breaker. It never goes back: a
// leader counts on from what it found, and the entries of a later epoch are
// newer whatever their number. The zero value is a closed breaker that never
// changed.
type Generation struct {
	Epoch uint64 `json:"epoch,omitempty"` // of the leader that began it
	Gen   uint64 `json:"gen,omitempty"`
}

// Compare is negative if g is older than h, and 0 if they are the same.
func (g Generation) Compare(h Generation) int {
	return cmp.Or(cmp.Compare(g.Epoch, h.Epoch), cmp.Compare(g.Gen, h.Gen))
}

// BreakerEntry is the state of the cluster's breaker, at the provider's name in
// BreakerBucket. Only the leader writes it. Without an entry the breaker is
// closed.
type BreakerEntry struct {
	Head
	Generation
	State    string `json:"state"`
	Cause    string `json:"cause,omitempty"`
	Failures int    `json:"failures,omitempty"` // consecutive ones that opened it; 0 if closed
	// RetryMS is how long it stays open, counted from this message, in
	// milliseconds. 0 in a forced one: until an operator ends it.
	RetryMS  int64     `json:"retry_ms,omitempty"`
	Since    time.Time `json:"since"`              // of the state; for people, no program compares it with its clock
	OpenedAt time.Time `json:"opened_at,omitzero"` // last opening, likewise; zero if closed
	Forced   *Forced   `json:"forced,omitempty"`   // nil = automatic
}

// Forced is the hold of an operator, in a BreakerEntry.
type Forced struct {
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"`
	Author string    `json:"author"`
	Until  time.Time `json:"until,omitzero"` // for people; zero = until an operator ends it
}

// Evidence is what a node knows of one provider's breaker. The zero Evidence is
// a closed breaker with nothing to tell, and a report may leave it out.
//
// Permits are counted since the start of the node, over all generations, so
// that a lost, doubled or overtaken message changes nothing: Granted - Done are
// in use or unused.
type Evidence struct {
	Provider   string `json:"p"`
	Generation        // of the newest entry that the node has applied

	State   string `json:"state,omitempty"`    // of that entry; empty = closed. A leader without the entry learns it here
	RetryMS int64  `json:"retry_ms,omitempty"` // what is left of that entry's, on the node's clock

	Failures  int    `json:"fail,omitempty"`  // consecutive failed attempts since the generation began
	Attempted bool   `json:"att,omitempty"`   // an attempt was sent or ended in the last 10 s
	Local     string `json:"local,omitempty"` // state of the node's own breaker where it differs from State; empty = it does not

	// Of the probes of this generation:
	OK     int  `json:"ok,omitempty"`     // successes since the last failure
	Bad    int  `json:"bad,omitempty"`    // failures
	Closed bool `json:"closed,omitempty"` // the node heard no leader, probed by itself, and closed

	Granted uint64 `json:"granted,omitempty"` // permits that the node knows of
	Done    uint64 `json:"done,omitempty"`    // of these, attempts ended and permits given back
	Own     int    `json:"own,omitempty"`     // probes in flight that have no permit
	Wants   int    `json:"wants,omitempty"`   // attempts refused lately for want of a permit
}

// Probes are the permits of a half-open breaker that a node has been given. It
// also renews the lease of those that are unused.
type Probes struct {
	Provider   string `json:"p"`
	Generation        // that the permits are for
	Granted    uint64 `json:"granted"` // since the start of the node, over all generations
}

// Evidence is what r says of a provider.
func (r *Report) Evidence(provider string) Evidence {
	for _, e := range r.Breakers {
		if e.Provider == provider {
			return e
		}
	}
	return Evidence{Provider: provider}
}
