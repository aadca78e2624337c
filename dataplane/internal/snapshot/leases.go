package snapshot

import (
	"maps"
	"slices"

	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
)

// Limit is a limit as the request path takes from it: a bucket of the node's own
// or, in a cluster, the bucket of its lease.
type Limit struct {
	*limit.Bucket
	Policy limit.Policy
	Lease  *lease.Lease // nil when the node is on its own
}

// leases are the node's parts of the limits of its cluster, by their name on the
// wire. They outlive the configuration: a limit that is taken out keeps its lease,
// so that putting it back refills nothing.
type leases struct {
	bell chan<- struct{} // rung when one runs low
	time func() lease.Time

	// Guarded by State.mu.
	byName  map[string]*lease.Lease
	saved   map[string]quota.Saved // of the process before
	resumed bool                   // nobody leads: leases begin with what was saved
}

// applyLimit finds or makes the limit of that name. own is where the node keeps
// its bucket while it is on its own.
func (s *State) applyLimit(own **limit.Bucket, name, policy string, c *config.Limit, now int64) *Limit {
	params := limitParams(c.Rate, c.Burst)
	l := &Limit{Policy: limit.NewPolicy(policy, params)}
	switch {
	case s.leases != nil:
		l.Lease = s.leases.get(name)
		l.Bucket = l.Lease.Bucket()
	case *own == nil:
		*own = limit.NewBucket(now, params)
		l.Bucket = *own
	default:
		(*own).Configure(now, params)
		l.Bucket = *own
	}
	return l
}

// get is the lease of a limit, made at its first use.
func (l *leases) get(name string) *lease.Lease {
	x := l.byName[name]
	if x == nil {
		x = lease.New(l.time(), l.bell)
		l.byName[name] = x
		l.restore(name, x)
	}
	return x
}

func (l *leases) restore(name string, x *lease.Lease) {
	if saved, ok := l.saved[name]; ok && l.resumed {
		x.Restore(l.time(), saved)
	}
}

// Leases are the leases of a node in a cluster. Safe for simultaneous use.
type Leases struct {
	state *State
	time  func() lease.Time
}

// Leases gives access to the leases; only after Join.
func (s *State) Leases() Leases { return Leases{s, s.leases.time} }

// Left is what the process before left, until Resume or Forgo; read-only.
func (l Leases) Left() map[string]quota.Saved {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	return l.state.leases.saved
}

// Resume lets the leases go on where the process before has left them, those of
// limits that come later too. It is for a node that finds no leader: one that
// leads may have found that process dead and given its part to others.
func (l Leases) Resume() {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	l.state.leases.resumed = true
	for name, x := range l.state.leases.byName {
		l.state.leases.restore(name, x)
	}
}

// Forgo drops what the process before has left: there is a leader.
func (l Leases) Forgo() {
	l.state.mu.Lock()
	defer l.state.mu.Unlock()
	if !l.state.leases.resumed {
		l.state.leases.saved = nil
	}
}

// all are the leases by name, in order.
func (l Leases) all(each func(name string, l *lease.Lease)) {
	l.state.mu.Lock()
	leases := maps.Clone(l.state.leases.byName)
	l.state.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(leases)) {
		each(name, leases[name])
	}
}

// Urgent reports whether a lease has run low and should be reported before the
// next tick.
func (l Leases) Urgent() (urgent bool) {
	t := l.time()
	l.all(func(_ string, x *lease.Lease) { urgent = urgent || x.Urgent(t) })
	return urgent
}

// Report is what the next report says of the limits; urgent is false at a tick.
// Keep Saved first, when it has become less.
func (l Leases) Report(urgent bool) map[string]quota.Report {
	t := l.time()
	said := make(map[string]quota.Report)
	l.all(func(name string, x *lease.Lease) { said[name] = x.Report(t, urgent) })
	return said
}

// Return is the last report: everything unspent goes back.
func (l Leases) Return() map[string]quota.Report {
	t := l.time()
	said := make(map[string]quota.Report)
	l.all(func(name string, x *lease.Lease) { said[name] = x.Return(t) })
	return said
}

// Apply takes answers in and says whether a report should be sent at once.
func (l Leases) Apply(answers map[string]quota.Answer) (report bool) {
	t := l.time()
	for name, a := range answers {
		l.state.mu.Lock()
		x := l.state.leases.byName[name]
		l.state.mu.Unlock()
		if x != nil && x.Apply(t, a) {
			report = true
		}
	}
	return report
}

// Settled reports whether each lease has room for a token, or is of a limit whose
// tokens stay with the leader.
func (l Leases) Settled() bool {
	t, settled := l.time(), true
	l.all(func(_ string, x *lease.Lease) {
		s := x.Status(t)
		settled = settled && s.Mode == lease.Leased && (s.Have.Room >= quota.Token || x.MaxWait() > 0)
	})
	return settled
}

// Saved is what a restart without a leader may go on with.
func (l Leases) Saved() map[string]quota.Saved {
	saved := make(map[string]quota.Saved)
	l.all(func(name string, x *lease.Lease) {
		if s := x.Save(); s != (quota.Saved{}) {
			saved[name] = s
		}
	})
	return saved
}

// Status is how each limit's lease stands.
func (l Leases) Status() map[string]lease.Status {
	t := l.time()
	all := make(map[string]lease.Status)
	l.all(func(name string, x *lease.Lease) { all[name] = x.Status(t) })
	return all
}
