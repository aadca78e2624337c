package sim

import "apiproxy.internal/shared/quota"

// Kind is how the nodes keep the limit.
type Kind string

// Leases are the machines under test. Static gives each node rate/N and
// burst/N. Gossip is what most products do: each node keeps the whole bucket,
// takes from it at once, and subtracts what the others took when they tell it,
// each tick; it may be in debt.
const (
	Leases Kind = ""
	Static Kind = "static split"
	Gossip Kind = "counter gossip"
)

// baseline is a node's bucket under Static or Gossip.
type baseline struct {
	bucket
	own int64 // taken since the last tick
}

// startBaseline begins a node that does not use leases.
func (w *World) startBaseline(n *node) {
	n.plain = &baseline{bucket: bucket{at: w.now}}
	n.plain.rate, n.plain.room = w.plain()
	n.plain.level = n.plain.room
}

// plain is each node's rate and room.
func (w *World) plain() (rate, room int64) {
	rate, room = w.params.Rate(), w.params.Room()
	if w.Kind == Static {
		return rate / int64(w.Nodes), room / int64(w.Nodes)
	}
	return rate, room
}

func (w *World) takePlain(n *node) {
	b := n.plain
	b.accrue(w.now)
	if b.level < quota.Token {
		return
	}
	b.level -= quota.Token
	b.own += quota.Token
	w.admit(n)
}

// tell is a tick of gossip.
func (w *World) tell(n *node) {
	taken := n.plain.own
	n.plain.own = 0
	if taken == 0 || w.Kind != Gossip {
		return
	}
	for _, to := range w.nodes {
		if to != n && to.up {
			w.send(&n.process, &to.process, func() {
				to.plain.accrue(w.now)
				to.plain.level -= taken
			})
		}
	}
}
