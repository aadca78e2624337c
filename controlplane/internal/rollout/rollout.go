// Package rollout follows revisions of the configuration on their way to the
// nodes. It is pure: it neither sends nor waits.
package rollout

import (
	"cmp"
	"fmt"
	"slices"
)

// Rollout knows which revision each node runs, and which nodes a revision has to
// reach. Not safe for simultaneous use.
type Rollout struct {
	nodes  map[string]node
	aimed  []aim // oldest first
	newest uint64
}

type node struct {
	revision uint64
	refused  uint64 // the newest one that it could not use
	reason   string
}

// aim is a revision and the nodes that were live when it was published.
type aim struct {
	revision uint64
	nodes    []string
}

// kept bounds how many revisions can still be asked for.
const kept = 64

// New is a rollout of nothing to nobody.
func New() *Rollout { return &Rollout{nodes: make(map[string]node)} }

// Published notes a revision and who was live then.
func (r *Rollout) Published(revision uint64, live []string) {
	if revision <= r.newest {
		return
	}
	r.newest = revision
	r.aimed = append(r.aimed, aim{revision, slices.Sorted(slices.Values(live))})
	if len(r.aimed) > kept {
		r.aimed = slices.Delete(r.aimed, 0, len(r.aimed)-kept)
	}
}

// Newest is the newest published revision; 0 = none.
func (r *Rollout) Newest() uint64 { return r.newest }

// Report notes what a node runs and what it refused (0 = nothing). It returns
// whether something changed by it.
func (r *Rollout) Report(id string, revision, refused uint64, reason string) (changed bool) {
	now := node{revision, refused, reason}
	before, known := r.nodes[id]
	r.nodes[id] = now
	return !known || before != now
}

// Gone forgets a node: it does not hold up a revision any more.
func (r *Rollout) Gone(id string) { delete(r.nodes, id) }

// Pending is a node that does not run a revision, and will not if it has refused
// that very one: one after it may have been withdrawn.
type Pending struct {
	Node, Reason string
	Refused      bool
}

// Progress says how far a revision has come among the nodes that were live when
// it was published: how many those are, and which of them do not run it or a
// newer one. A node that has gone since counts as neither.
func (r *Rollout) Progress(revision uint64) (nodes int, pending []Pending) {
	i, found := slices.BinarySearchFunc(r.aimed, revision, func(a aim, rev uint64) int { return cmp.Compare(a.revision, rev) })
	if !found {
		return 0, nil
	}
	for _, id := range r.aimed[i].nodes {
		n, alive := r.nodes[id]
		if !alive {
			continue
		}
		nodes++
		switch {
		case n.revision >= revision:
		case n.refused >= revision:
			pending = append(pending, Pending{id, fmt.Sprintf("it refused revision %d: %s", n.refused, n.reason), n.refused == revision})
		default:
			pending = append(pending, Pending{id, fmt.Sprintf("it runs revision %d", n.revision), false})
		}
	}
	return nodes, pending
}

// Behind counts the given nodes that do not run the newest revision.
func (r *Rollout) Behind(ids []string) (n int) {
	for _, id := range ids {
		if r.nodes[id].revision < r.newest {
			n++
		}
	}
	return n
}
