package leader

import (
	"fmt"
	"strings"
	"time"

	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Purge tells all nodes of a purge, the last one of a list that is stored.
func (l *Leader) Purge(now time.Time, list []wire.Purge) {
	l.purges = list
	p := list[len(list)-1]
	l.effects.Event(events.CachePurged, cachePurged{now.UTC(), p.ID, p.Provider, withoutQuery(p.Prefix), withoutQuery(p.Exact), p.Author, p.Reason})
	for _, n := range l.nodes {
		if n.last.Incarnation != "" && !n.dead {
			l.answer(now, n, told{}, true)
		}
	}
}

type cachePurged struct {
	Time     time.Time `json:"time"`
	ID       string    `json:"id"`
	Provider string    `json:"provider,omitempty"`
	Prefix   string    `json:"prefix,omitempty"`
	Exact    string    `json:"exact,omitempty"`
	Author   string    `json:"author"`
	Reason   string    `json:"reason,omitempty"`
}

// withoutQuery is a target as it may be shown and logged.
func withoutQuery(target string) string {
	path, _, found := strings.Cut(target, "?")
	if found {
		path += "?..."
	}
	return path
}

// untold are the purges that a node has not done by its report, after the one that
// it has done last; all of them if that is not known.
func (l *Leader) untold(r *wire.Report) []wire.Purge {
	i := wire.PurgeAt(l.purges, r.LastPurge())
	if i == len(l.purges)-1 {
		return nil
	}
	return l.purges[max(i, 0):]
}

// Purging is how far a purge is at one node.
type Purging struct {
	Node    string
	Done    bool
	Entries int    // forgotten by it; if the node has forgotten everything, by that
	Gone    bool   // it has been silent for so long that nobody should wait for it
	Pending string // why it is not done
}

// Purging is how far a purge is at each node that may be serving: at all but those
// whose death is proven.
func (l *Leader) Purging(now time.Time, id string) (all []Purging) {
	at := wire.PurgeAt(l.purges, id)
	for _, m := range l.members.List() {
		if m.Dead() {
			continue
		}
		p := Purging{Node: m.ID, Gone: m.State == status.Gone}
		said := &wire.Report{}
		if n := l.nodes[m.ID]; n != nil {
			said = &n.last
		}
		last := wire.PurgeAt(l.purges, said.LastPurge())
		if p.Done = last >= 0 && last >= at; p.Done {
			p.Entries = l.forgotBy(said.Purged, at)
		} else if silence := time.Duration(l.clock(now) - m.Seen); silence >= membership.SuspectAfter {
			p.Pending = fmt.Sprintf("it has not been heard for %v; it goes on with its copies and purges as soon as it hears the controller", silence.Truncate(100*time.Millisecond))
		} else {
			p.Pending = "it has not purged yet"
		}
		all = append(all, p)
	}
	return all
}

// forgotBy is what the purge at that place of the list came to, or the one after
// it with which the node has done it.
func (l *Leader) forgotBy(done []wire.Purged, at int) int {
	for _, d := range done[max(0, len(done)-wire.MaxPurges):] {
		if i := wire.PurgeAt(l.purges, d.ID); i >= 0 && i >= at {
			return d.Entries
		}
	}
	return 0
}
