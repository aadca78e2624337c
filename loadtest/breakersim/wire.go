package breakersim

import (
	"container/heap"
	"strconv"

	control "apiproxy.internal/controlplane/lab"
	"apiproxy.internal/shared/wire"
)

// report sends what a node has to tell. Messages go through their encoding, as
// on the wire.
func (w *BreakerWorld) report(n *simNode) {
	n.urgent = false
	now := w.Now - n.started
	e := n.breaker.Evidence(now)
	e.Provider = "p"
	message := wire.Encode(wire.Report{
		Head: wire.Now(), Node: n.id, Incarnation: strconv.Itoa(n.life), Nonce: now, Epoch: n.epoch,
		Breakers: []wire.Evidence{e},
	})
	w.send(n, func() {
		r, err := wire.Decode[wire.Report](message)
		if err != nil {
			w.fail("%v", err)
		}
		for _, l := range w.leaders {
			if l.up {
				w.hear(l, n, r)
			}
		}
	})
}

// hear is the leader's adapter with its membership: the newest incarnation of a
// node is the node.
func (w *BreakerWorld) hear(l *simLeader, n *simNode, r wire.Report) {
	life, _ := strconv.Atoi(r.Incarnation)
	if life < l.lives[r.Node] {
		return
	}
	if life > l.lives[r.Node] {
		l.lives[r.Node] = life
		l.nonces[r.Node] = r.Nonce
	}
	l.nonces[r.Node] = max(l.nonces[r.Node], r.Nonce)
	w.members[r.Node] = true
	w.effect(l, l.machine.Report(w.date(), control.BreakerNode{
		ID: r.Node, Incarnation: r.Incarnation, Nonce: r.Nonce, Epoch: r.Epoch,
	}, r.Evidence("p")))
	if r.Nonce == l.nonces[r.Node] {
		w.answer(l, n)
	}
}

// answer answers the last report of a node.
func (w *BreakerWorld) answer(l *simLeader, n *simNode) {
	a := wire.Answer{Head: wire.Now(), Incarnation: strconv.Itoa(l.lives[n.id]), Nonce: l.nonces[n.id], Epoch: l.epoch}
	if p, ok := l.machine.Probes(w.date(), n.id); ok {
		p.Provider = "p"
		a.Probes = append(a.Probes, p)
	}
	message := wire.Encode(a)
	w.send(n, func() {
		a, err := wire.Decode[wire.Answer](message)
		if err != nil {
			w.fail("%v", err)
		}
		if !n.up || a.Incarnation != strconv.Itoa(n.life) || a.Epoch < n.epoch {
			return
		}
		n.epoch, n.heard = a.Epoch, w.Now
		n.breaker.Follow(true, len(w.nodes))
		for _, p := range a.Probes {
			n.breaker.Grant(w.Now-n.started, a.Nonce, p)
		}
	})
}

// effect does what a machine asks for. Only the newest leader can write.
func (w *BreakerWorld) effect(l *simLeader, eff control.BreakerEffect) {
	if l.epoch == w.epoch {
		if eff.StoreHold != nil {
			w.hold = eff.StoreHold
		}
		if eff.DropHold {
			w.hold = nil
		}
		if eff.Write != nil {
			e, err := wire.Decode[wire.BreakerEntry](wire.Encode(eff.Write))
			if err != nil {
				w.fail("%v", err)
			}
			if w.entry != nil && e.Compare(w.entry.Generation) <= 0 {
				w.fail("entry %v after %v", e.Generation, w.entry.Generation)
			}
			w.entry = &e
			w.Transitions = append(w.Transitions, e.State+" "+e.Cause)
			for _, n := range w.nodes {
				w.watch(n)
			}
		}
	}
	for _, id := range eff.Answer {
		for _, n := range w.nodes {
			if n.id == id {
				w.answer(l, n)
			}
		}
	}
}

// watch delivers the stored entry to a node: in order, and nothing while it is
// cut off. When the link is mended, the newest one comes.
func (w *BreakerWorld) watch(n *simNode) {
	if w.entry == nil {
		return
	}
	entry, life := *w.entry, n.life
	n.watchedAt = max(n.watchedAt, w.Now+w.delay())
	w.after(n.watchedAt-w.Now, func() {
		if n.up && !n.cut && n.life == life {
			n.heard = w.Now
			n.breaker.Impose(w.Now-n.started, entry)
		}
	})
}

// send delivers a message between a node and the leaders, or not, or twice.
func (w *BreakerWorld) send(n *simNode, deliver func()) {
	if n.cut || w.random.Float64() < w.Loss {
		return
	}
	times := 1
	if w.random.Float64() < w.Double {
		times = 2
	}
	for range times {
		w.after(w.delay(), func() {
			if !n.cut {
				deliver()
			}
		})
	}
}

// delay is mostly short, and long enough now and then for others to overtake.
func (w *BreakerWorld) delay() int64 {
	d := w.random.Int64N(w.Delay) + 1
	if w.random.IntN(10) > 0 {
		d = d/20 + 1
	}
	return d
}

// event is something that happens at a time; those of one moment happen in the
// order in which they were planned.
type event struct {
	at    int64
	order uint64
	do    func()
}

type events []event

func (e events) Len() int      { return len(e) }
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}

// Push implements heap.Interface.
func (e *events) Push(x any) { *e = append(*e, x.(event)) }

// Pop implements heap.Interface.
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (w *BreakerWorld) after(d int64, do func()) {
	w.count++
	heap.Push(&w.events, event{w.Now + d, w.count, do})
}
