package membership

import (
	"time"

	"apiproxy.internal/shared/status"
)

// Finding is what a probe found.
type Finding int

// The findings.
const (
	Unclear    Finding = iota // no answer, or one that tells nothing
	Answered                  // somebody answered and said who he is
	NobodyHome                // the address refuses connections
)

// Probed takes what a probe has found, and who answered. Every probe must be
// followed by it.
func (m *Members) Probed(p Probe, found Finding, incarnation string, now int64) (out Outcome) {
	n := m.nodes[p.Node]
	if n == nil || n.probing != p.Incarnation || n.Incarnation != p.Incarnation {
		return out // overtaken by events, and already counted
	}
	m.unprobe(n)
	if found == Answered && incarnation == "" {
		found = Unclear
	}
	rival := n.rival
	switch {
	case found == Unclear:
	case found == Answered && incarnation == p.Incarnation:
		n.rival.refused = rival.report.Incarnation != ""
		if n.rival.refused {
			n.refuse(rival.report, &n.rival.told, &out)
		}
	case rival.report.Incarnation != "":
		m.replace(n, rival.report, deadBy(found), now, &out)
		out.Accepted = false // there is no report to count
	case n.State == status.Suspect || n.State == status.Gone:
		m.bury(n, deadBy(found), now, &out)
	}
	return out
}

func deadBy(found Finding) string {
	if found == NobodyHome {
		return ReasonClosed
	}
	return ReasonOther
}

// challenge takes the report of a second process while the first is heard. It is
// neither accepted nor rejected until it is known whether the first lives.
func (m *Members) challenge(n *member, r Report, now int64, out *Outcome) {
	c := &n.rival
	if c.report.Incarnation != r.Incarnation {
		if c.report.Incarnation != "" && time.Duration(now-c.seen) < GoneAfter {
			return // one at a time
		}
		*c = challenge{since: now}
	}
	c.report, c.seen = r, now
	// If the first was heard well after the second came, it lives: no message of a
	// dead process is under way for so long.
	c.refused = c.refused || time.Duration(n.Seen-c.since) >= bothAlive
	if c.refused {
		n.refuse(r, &c.told, out)
		return
	}
	m.probe(n, reprobe, now, out)
}

// refuse turns a process away and tells the world once.
func (n *member) refuse(r Report, told *bool, out *Outcome) {
	out.Rejected = "another process uses the node id " + n.ID + " (at " + n.Address + "); give each node its own --node-id or --data-dir"
	if !*told {
		*told = true
		out.Events = append(out.Events, Event{Kind: Refused, Node: r.Node, Incarnation: r.Incarnation, Address: r.Address, Reason: ReasonDuplicate})
	}
}
