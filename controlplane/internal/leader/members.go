package leader

import (
	"errors"
	"time"

	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/membership"
)

func (l *Leader) membership(now time.Time, all []membership.Event) {
	for _, e := range all {
		switch {
		case e.Joined:
			l.effects.Event(events.NodeJoined, map[string]any{"time": now.UTC(), "node": e.Node})
		case e.Left:
			delete(l.nodes, e.Node)
			l.rollout.Gone(e.Node)
			for name, b := range l.breakers {
				l.breaker(now, name, b.Dead(now, e.Node))
			}
			l.effects.Event(events.NodeLeft, map[string]any{"time": now.UTC(), "node": e.Node, "reason": e.Reason})
		}
	}
}

// ErrUnknownNode is the error of an order about a node that nobody knows.
var ErrUnknownNode = errors.New("there is no such node")

// Probed takes in what came of a probe.
func (l *Leader) Probed(now time.Time, p membership.Probe, alive bool) {}

// Confirm takes an operator's word that a node is dead.
func (l *Leader) Confirm(now time.Time, node, author, reason string) error { return ErrUnknownNode }
