package wire

import "time"

// Evidence is what a node knows of one provider's breaker.
type Evidence struct {
	Provider string `json:"p"`
	Gen      uint64 `json:"gen"`            // the generation of the cluster's breaker that the node has applied
	Failures int    `json:"fail,omitempty"` // consecutive failed attempts
	// Attempted says that it sent an attempt in the last 10 s.
	Attempted bool `json:"att,omitempty"`
}

// BreakerEntry is the state of the cluster's breaker, at the provider's name in
// BreakerBucket. Only the leader writes it.
type BreakerEntry struct {
	Head
	Gen   uint64    `json:"gen"`
	State string    `json:"state"`
	Since time.Time `json:"since"` // for people; no program compares it with its clock
}

// Probes are the permits of a half-open breaker that a node has been given.
type Probes struct {
	Provider string `json:"p"`
	Gen      uint64 `json:"gen"`
}
