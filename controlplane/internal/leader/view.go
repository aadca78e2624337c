package leader

import (
	"time"

	"apiproxy.internal/controlplane/internal/overview"
	"apiproxy.internal/controlplane/internal/rollout"
	"apiproxy.internal/shared/status"
)

// Status is the view of the whole cluster.
func (l *Leader) Status(now time.Time) status.Document {
	return overview.Status(overview.Cluster{
		Now:      now.UTC().Round(0),
		Config:   l.origin,
		Document: l.doc,
		Nodes:    l.describeNodes(now),
		Breakers: l.Breakers(now),
		Limits:   l.tokens(now),
	})
}

// describeNodes are the nodes and what they said last.
func (l *Leader) describeNodes(now time.Time) []overview.Node {
	var all []overview.Node
	for _, m := range l.members.List() {
		n := overview.Node{Node: status.Node{
			ID: m.ID, Incarnation: m.Incarnation, State: m.State, Left: m.Left(), Address: m.Address, Version: m.Version,
			LastSeenMS: (l.clock(now) - m.Seen) / int64(time.Millisecond),
		}}
		if said := l.nodes[m.ID]; said != nil {
			n.Stats, n.Revision = said.stats, said.last.Revision
		}
		all = append(all, n)
	}
	return all
}

// Progress says how far a revision has come.
func (l *Leader) Progress(revision uint64) (nodes int, pending []rollout.Pending) {
	return l.rollout.Progress(revision)
}

// Revision is the newest published revision.
func (l *Leader) Revision() uint64 { return l.rollout.Newest() }

// Behind is how many live nodes do not run the newest revision.
func (l *Leader) Behind() int { return l.rollout.Behind(l.live()) }
