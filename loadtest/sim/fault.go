package sim

import (
	control "apiproxy.internal/controlplane/lab"
	"apiproxy.internal/shared/quota"
)

func (w *World) newest() *leader { return w.leaders[len(w.leaders)-1] }

// KillLeader crashes the newest leader.
func KillLeader(w *World) { w.newest().up = false }

// NewLeader starts a leader beside the old one, if that still runs.
func NewLeader(w *World) { w.StartLeader() }

// StopLeader stops the newest leader for a time.
func StopLeader(d int64) func(*World) {
	return func(w *World) { w.stop(&w.newest().process, d) }
}

// Cut takes node i off the network; all nodes for -1.
func Cut(i int, cut bool) func(*World) {
	return func(w *World) {
		for j, n := range w.nodes {
			if i < 0 || i == j {
				n.cut = cut
			}
		}
	}
}

// CutLeader takes the newest leader off the network and the store.
func CutLeader(cut bool) func(*World) {
	return func(w *World) { w.newest().cut = cut }
}

// StopNode stops node i for a time.
func StopNode(i int, d int64) func(*World) {
	return func(w *World) { w.stop(&w.nodes[i%len(w.nodes)].process, d) }
}

// KillNode crashes node i. With proof the leader learns of it 1.7 s later.
func KillNode(i int, proof bool) func(*World) {
	return func(w *World) {
		n := w.nodes[i%len(w.nodes)]
		n.up, n.balanced = false, false
		inc := n.incarnation
		if !proof {
			return
		}
		w.after(1700*ms, func() {
			l := w.newest()
			if n.incarnation != inc || w.store.down || w.store.epoch != l.epoch {
				return
			}
			w.handle(&l.process, func() {
				w.store.members[n.id] = member{inc, true}
				l.ledger.Dead(l.read(w.now), control.Member{ID: n.id, Incarnation: inc})
			})
		})
	}
}

// RestartNode starts node i again, on its saved lease if no leader is there.
func RestartNode(i int) func(*World) {
	return func(w *World) {
		n := w.nodes[i%len(w.nodes)]
		if n.up {
			return
		}
		saved := n.disk
		w.boot(n)
		n.balanced = true
		if !w.store.members[n.id].dead {
			n.lease.Restore(n.time(w.now), saved)
		}
	}
}

// DrainNode lets node i leave: its share goes back in one message, twice.
func DrainNode(i int) func(*World) {
	return func(w *World) {
		n := w.nodes[i%len(w.nodes)]
		if !n.up {
			return
		}
		n.balanced = false
		if w.Kind != Leases {
			n.up = false
			return
		}
		w.handle(&n.process, func() {
			w.publish(n, n.lease.Return(n.time(w.now)))
			w.after(10*ms, func() {
				if n.up {
					w.publish(n, n.lease.Return(n.time(w.now)))
				}
				n.up = false
			})
		})
	}
}

// Join starts another node.
func Join(w *World) { w.AddNode() }

// Change configures the limit anew.
func Change(p quota.Params) func(*World) {
	return func(w *World) {
		w.loose = wider(w.loose, p)
		w.params = p
		for _, n := range w.nodes {
			n.plain.accrue(w.now)
			n.plain.rate, n.plain.room = w.plain()
			n.plain.level = min(n.plain.level, n.plain.room)
		}
		for _, l := range w.leaders {
			if l.up && l.epoch == w.store.epoch {
				l.ledger.Configure(l.read(w.now), p)
			}
		}
		w.meter.configure()
	}
}

func wider(a, b quota.Params) quota.Params {
	if b.Rate() > a.Rate() {
		a.Num, a.Den = b.Num, b.Den
	}
	a.Burst = max(a.Burst, b.Burst)
	return a
}

// CutOldLeaders takes all leaders but the newest off the network, or back.
func CutOldLeaders(cut bool) func(*World) {
	return func(w *World) {
		for _, l := range w.leaders {
			l.cut = cut && l != w.newest()
		}
	}
}
