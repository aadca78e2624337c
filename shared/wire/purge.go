package wire

import (
	"slices"
	"time"
)

// Purge is an operator's order to forget stored answers: those of a provider,
// those of targets that begin with Prefix, or those of the one target Exact. A
// target is path and query, byte for byte as clients write them. What is empty is
// any, and all that is given must hold; without anything it is the whole cache.
//
// Purges come in a list, oldest first, of which the oldest are forgotten in the
// end. A node remembers the last one that it has done and does those that follow
// it. If it does not find that one in the list it may have missed some, and
// forgets everything: also when it has just started, or when the list was lost
// and begun anew.
type Purge struct {
	ID       string    `json:"id"` // never used again
	Provider string    `json:"provider,omitempty"`
	Prefix   string    `json:"prefix,omitempty"`
	Exact    string    `json:"exact,omitempty"`
	Time     time.Time `json:"time"` // for people
	Author   string    `json:"author"`
	Reason   string    `json:"reason,omitempty"`
}

// MaxPurges is how many a list has at most.
const MaxPurges = 64

// Purges is the list, at PurgesKey.
type Purges struct {
	Head
	Last []Purge `json:"last"`
}

// Purged is what a purge came to at a node. If the node has forgotten everything,
// it says so of the newest purge only.
type Purged struct {
	ID      string `json:"id"`
	Entries int    `json:"n"` // stored answers forgotten
}

// PurgeAt is where in a list the purge with that id is; -1 if it is not there.
func PurgeAt(list []Purge, id string) int {
	return slices.IndexFunc(list, func(p Purge) bool { return p.ID == id })
}

// LastPurge is the id of the last purge that the node has done; empty for none.
func (r *Report) LastPurge() string {
	if len(r.Purged) == 0 {
		return ""
	}
	return r.Purged[len(r.Purged)-1].ID
}
