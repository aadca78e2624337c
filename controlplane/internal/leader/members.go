package leader

import (
	"errors"
	"time"

	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/ledger"
	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// membership carries out what the members' book says.
func (l *Leader) membership(now time.Time, out membership.Outcome) {
	for _, w := range out.Writes {
		w.Time = now.UTC().Round(0)
		l.effects.WriteMember(w)
	}
	for _, id := range out.Deletes {
		l.forgotten[id] = true
	}
	for _, p := range out.Probes {
		l.effects.Probe(p)
	}
	for _, e := range out.Events {
		l.member(now, e)
	}
}

func (l *Leader) member(now time.Time, e membership.Event) {
	data := memberChanged{now.UTC(), e.Node, e.Incarnation, e.Address, e.Reason}
	switch e.Kind {
	case membership.Joined:
		delete(l.forgotten, e.Node)
		l.begin(e.Node, e.Incarnation)
		l.effects.Event(events.NodeJoined, data)
	case membership.Gone:
		l.rollout.Gone(e.Node)
		if e.Reason != membership.ReasonSilent { // silence is no proof: it may be serving
			l.dead(now, e.Node)
		}
		l.effects.Event(events.NodeLeft, data)
	case membership.Refused:
		l.effects.Refused("duplicate_id")
		l.effects.Event(events.NodeRefused, data)
	}
}

type memberChanged struct {
	Time        time.Time `json:"time"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"`
	Address     string    `json:"address,omitempty"`
	Reason      string    `json:"reason,omitempty"`
}

// begin makes room for a node's new incarnation. Incarnations are numbered as
// they come, because their names have no order. One that was only silent for long
// goes on as it was; one that was proven dead and is not begins anew.
func (l *Leader) begin(id, incarnation string) {
	n := &node{incarnation: incarnation, ordinal: 1}
	if before := l.nodes[id]; before != nil {
		if before.incarnation == incarnation && !before.dead {
			return
		}
		n.ordinal = before.ordinal + 1
		if before.incarnation == incarnation {
			n.answered = before.answered
		}
	}
	l.nodes[id] = n
}

// dead is what a proven death sets free at once; its part of the limits is free
// when the death is stored.
func (l *Leader) dead(now time.Time, id string) {
	for name, b := range l.breakers {
		l.breaker(now, name, b.Dead(now, id))
	}
	if n := l.nodes[id]; n != nil {
		n.dead = true
	}
}

// MemberStored says that this stands in the durable list of members. Only then
// may an incarnation be given a part of the limits, or a dead one's be taken.
func (l *Leader) MemberStored(now time.Time, m wire.Member) {
	n := l.nodes[m.Node]
	if n == nil || n.incarnation != m.Incarnation {
		return // overtaken by a newer incarnation
	}
	who := ledger.Member{ID: m.Node, Incarnation: n.ordinal}
	switch {
	case m.State != status.Gone && !n.stored:
		n.stored = true
		for _, b := range l.limits {
			b.Join(who)
		}
	case m.State == status.Gone && n.dead && !n.buried:
		n.buried = true
		for _, b := range l.limits {
			b.Dead(l.clock(now), who)
		}
		l.effects.Renew() // what is due is free once the lead is confirmed
	}
}

// storeAgain repeats the writing of births and deaths that has not succeeded.
func (l *Leader) storeAgain(now time.Time) {
	for _, m := range l.members.List() {
		n := l.nodes[m.ID]
		if n == nil || n.stored && !n.dead || n.buried || !n.stored && m.State == status.Gone {
			continue
		}
		l.effects.WriteMember(wire.Member{Head: wire.Now(), Node: m.ID, Incarnation: m.Incarnation, Address: m.Address,
			TLS: m.TLS, Version: m.Version, State: m.State, Reason: m.Reason, Time: now.UTC().Round(0)})
	}
}

// forget removes nodes that have been gone for long and hold nothing any more.
func (l *Leader) forget() {
	for id := range l.forgotten {
		free := true
		for _, b := range l.limits {
			free = b.Forget(id) && free
		}
		if free {
			delete(l.forgotten, id)
			delete(l.nodes, id)
			l.effects.DropMember(id)
		}
	}
}

// Probed takes in what a probe has found.
func (l *Leader) Probed(now time.Time, p membership.Probe, found membership.Finding, incarnation string) {
	l.membership(now, l.members.Probed(p, found, incarnation, l.clock(now)))
}

// ErrUnknownNode is the error of an order about a node that nobody knows.
var ErrUnknownNode = errors.New("there is no such node")

// ErrAlive is the error of declaring a node dead that is heard.
var ErrAlive = errors.New("the node is reporting right now; stop it first")

// Confirm takes an operator's word that a node is dead.
func (l *Leader) Confirm(now time.Time, id string) error {
	n, found := l.members.Get(id)
	if !found {
		return ErrUnknownNode
	}
	if n.State == status.Live || n.State == status.Draining {
		return ErrAlive
	}
	out, _ := l.members.Confirm(id, l.clock(now))
	l.membership(now, out)
	return nil
}

// live are the nodes that are heard; those that are only silent for a moment
// count.
func (l *Leader) live() (ids []string) {
	for _, n := range l.members.List() {
		if n.State != status.Gone {
			ids = append(ids, n.ID)
		}
	}
	return ids
}
