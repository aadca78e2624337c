package sim

import (
	"strconv"

	control "apiproxy.internal/controlplane/lab"
	data "apiproxy.internal/dataplane/lab"
	"apiproxy.internal/shared/quota"
)

// node is a data-plane process with one limit.
type node struct {
	process
	id          string
	incarnation uint64
	lease       *data.Lease
	bell        chan struct{}
	disk        quota.Saved
	balanced    bool    // the balancer sends requests to it
	parked      []int64 // requests that wait, until when
	arrival     <-chan struct{}
	again       bool // listen is due
	plain       *baseline
	forged      quota.Sum // see World.Broken
	offered     int
	admitted    int
}

// leader is a control-plane process.
type leader struct {
	process
	epoch  uint64
	ledger *control.Ledger
}

func (n *node) time(now int64) data.Time {
	t := n.read(now)
	return data.Time{Mono: t, Boot: t}
}

// AddNode starts another node; the balancer uses it a second later.
func (w *World) AddNode() {
	n := &node{id: "node-" + strconv.Itoa(len(w.nodes)), process: process{clock: w.newClock()}}
	w.nodes = append(w.nodes, n)
	w.boot(n)
	if w.now == 0 {
		n.balanced = true
		return
	}
	w.after(second, func() { n.balanced = n.up })
}

// boot starts a node's process anew.
func (w *World) boot(n *node) {
	n.incarnation++
	n.up, n.stopped, n.pending, n.parked = true, 0, nil, nil
	n.forged = quota.Sum{}
	n.bell = make(chan struct{}, 1)
	n.lease = data.NewLease(n.time(w.now), n.bell)
	w.startBaseline(n)
	inc := n.incarnation
	var tick func()
	tick = func() {
		if n.incarnation != inc || !n.up {
			return
		}
		w.handle(&n.process, func() {
			if w.Kind == Leases {
				w.report(n, false)
			} else {
				w.tell(n)
			}
		})
		w.after(quota.Tick, tick)
	}
	w.after(w.random.Int64N(quota.Tick), tick)
}

// report sends a report to whoever listens.
func (w *World) report(n *node, urgent bool) { w.publish(n, n.lease.Report(n.time(w.now), urgent)) }

func (w *World) publish(n *node, r quota.Report) {
	n.disk = n.lease.Save() // before it leaves
	inc := n.incarnation
	for _, l := range w.leaders {
		if l.up {
			w.send(&n.process, &l.process, func() { w.receive(l, n, inc, r) })
		}
	}
}

// receive is a leader that gets a report.
func (w *World) receive(l *leader, n *node, inc uint64, r quota.Report) {
	now := l.read(w.now)
	if m := w.store.members[n.id]; inc > m.incarnation {
		if l.cut || w.store.down || w.store.epoch != l.epoch || r.Last {
			return // nobody joins without a durable entry
		}
		w.store.members[n.id] = member{incarnation: inc}
	}
	l.ledger.Join(control.Member{ID: n.id, Incarnation: w.store.members[n.id].incarnation})
	if w.Broken {
		r = w.forge(n, r)
	}
	a, ok := l.ledger.Report(now, n.id, inc, r)
	if l.ledger.Opening() {
		w.confirm(l)
	}
	if !ok {
		return
	}
	if w.Broken && a.Hand < r.Holding().Rate {
		n.forged.Rate = r.Back.Rate + uint64(r.Holding().Rate-a.Hand)
	}
	w.send(&l.process, &n.process, func() {
		if n.incarnation >= inc {
			w.apply(n, a)
		}
	})
}

// forge makes the leader believe that its cuts have been obeyed already.
func (w *World) forge(n *node, r quota.Report) quota.Report {
	if int64(n.forged.Rate-r.Back.Rate) > 0 {
		r.Back.Rate = n.forged.Rate
	}
	return r
}

func (w *World) apply(n *node, a quota.Answer) {
	report := n.lease.Apply(n.time(w.now), a)
	select {
	case <-n.arrival:
		w.retry(n)
	default:
	}
	if report {
		w.report(n, false)
	}
	w.listen(n)
}

// listen sends the urgent report that the bucket asks for.
func (w *World) listen(n *node) {
	select {
	case <-n.bell:
	default:
		if !n.lease.Bucket().Rung() {
			return
		}
	}
	if n.lease.Urgent(n.time(w.now)) {
		w.report(n, true)
		return
	}
	if n.again {
		return
	}
	n.again = true
	w.after(5*ms, func() {
		n.again = false
		if n.up && n.lease.Bucket().Rung() {
			w.handle(&n.process, func() { w.listen(n) })
		}
	})
}

// request is one that the balancer sends to its i-th node.
func (w *World) request(i int) {
	for _, n := range w.nodes {
		if !n.balanced {
			continue
		}
		if i == 0 {
			w.meter.offer()
			n.offered++
			w.handle(&n.process, func() { w.take(n) })
			return
		}
		i--
	}
}

func (w *World) take(n *node) {
	if w.Kind != Leases {
		w.takePlain(n)
		return
	}
	if n.lease.Bucket().Take(n.read(w.now)).OK {
		w.admit(n)
	} else if !w.NoPark && n.lease.MaxWait() > 0 && len(n.parked) < 1000 {
		n.arrival = n.lease.Arrival()
		n.parked = append(n.parked, w.now+n.lease.MaxWait())
	}
	w.listen(n)
}

// retry lets those try again who waited for tokens.
func (w *World) retry(n *node) {
	parked := n.parked
	n.parked, n.arrival = nil, nil
	for _, until := range parked {
		switch {
		case until < w.now:
		case n.lease.Bucket().Take(n.read(w.now)).OK:
			w.admit(n)
		default:
			n.arrival = n.lease.Arrival()
			n.parked = append(n.parked, until)
		}
	}
}

func (w *World) admit(n *node) {
	n.admitted++
	w.meter.admit()
}

// StartLeader starts a leader that takes over. It needs the store.
func (w *World) StartLeader() {
	w.store.epoch++
	l := &leader{process: process{clock: w.newClock(), up: true}, epoch: w.store.epoch}
	t := control.Takeover{Epoch: l.epoch, New: w.fresh}
	for _, n := range w.nodes {
		if m, ok := w.store.members[n.id]; ok && !m.dead {
			t.Members = append(t.Members, control.Member{ID: n.id, Incarnation: m.incarnation})
		}
	}
	w.fresh = false
	l.ledger = control.NewLedger(l.read(w.now), w.params, t)
	w.leaders = append(w.leaders, l)
	var tick func()
	tick = func() {
		if !l.up {
			return
		}
		w.handle(&l.process, func() {
			w.confirm(l)
			l.ledger.Tick(l.read(w.now))
		})
		w.after(200*ms, tick)
	}
	w.after(200*ms, tick)
}

// confirm renews a leadership. The store is reached when the network is.
func (w *World) confirm(l *leader) {
	if !l.cut && !w.store.down && w.store.epoch == l.epoch {
		l.ledger.Confirm(l.read(w.now))
	}
}
