package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"apiproxy.internal/controlplane/internal/broker"
	"apiproxy.internal/controlplane/internal/configstore"
	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/controlplane/internal/metrics"
	"apiproxy.internal/controlplane/internal/prober"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// renewEvery is how often the leadership is confirmed; the bucket forgets it
// after 15 s.
const renewEvery = time.Second

// lead takes the leadership and starts the loop. If another controller has it,
// lead waits for that one to end.
func (c *Controller) lead(ctx context.Context) error {
	if err := c.takeLock(ctx); err != nil {
		return err
	}
	r, err := c.restore(ctx, 0) // not before: who led until now wrote to the end
	if err != nil {
		return err
	}
	current, err := c.store.Current(ctx)
	if err != nil {
		return err
	}
	c.effects = &effects{
		broker: c.broker, holds: c.store, hub: c.hub, metrics: c.metrics, log: c.log,
		prober: prober.New(probeTime), queue: make(chan func(context.Context), maxQueue), renew: make(chan struct{}, 1), loop: c.loop.Load, ahead: c.ahead,
	}
	c.tasks.Go(func() { c.effects.work(c.running) })
	l := leader.New(time.Now(), r, c.effects)
	loop := leader.Run(l)
	c.loop.Store(loop)
	c.ask(func(l *leader.Leader, now time.Time) { configure(l, now, current) })
	if err := c.confirm(); err != nil {
		return err
	}
	if err := c.broker.OnReport(c.report); err != nil {
		return err
	}
	c.tasks.Go(c.read)
	c.tasks.Go(c.renew)
	c.log.Info("leading", "epoch", r.Epoch, "revision", current.Revision)
	return nil
}

// restore reads what earlier leaders left, and begins an epoch above theirs and above
// another that is known.
func (c *Controller) restore(ctx context.Context, above uint64) (r leader.Restored, err error) {
	if r.Holds, err = c.store.Holds(ctx); err != nil {
		return r, err
	}
	if r.Purges, err = c.store.Purges(ctx); err != nil {
		return r, err
	}
	if r.Breakers, err = list[wire.BreakerEntry](ctx, c, wire.BreakerBucket); err != nil {
		return r, err
	}
	members, err := list[wire.Member](ctx, c, wire.MembersBucket)
	if err != nil {
		return r, err
	}
	for _, m := range members {
		r.Members = append(r.Members, m)
	}
	if r.Longest, err = c.longestHold(ctx); err != nil {
		return r, err
	}
	r.Epoch, err = c.store.NextEpoch(ctx, above)
	return r, err
}

// maxHold is the longest hold that a configuration may name.
const maxHold = 24 * time.Hour

// longestHold is the longest hold of any limit in the history of the
// configuration: what an earlier leader has promised at most. Where the history
// does not reach back to the first revision, it may have been anything.
func (c *Controller) longestHold(ctx context.Context) (longest time.Duration, err error) {
	history, err := c.store.History(ctx)
	if err != nil {
		return 0, err
	}
	for _, h := range history {
		p, err := c.store.Revision(ctx, h.Revision)
		if err != nil {
			return maxHold, nil // it is there, and cannot be read
		}
		longest = max(longest, p.Document.LongestHold())
	}
	if n := len(history); n > 0 && history[n-1].Revision > 1 {
		return maxHold, nil
	}
	return longest, nil
}

// list is what a bucket holds, by key; what cannot be read is left out with a
// word in the log.
func list[T wire.Message](ctx context.Context, c *Controller, bucket string) (map[string]T, error) {
	entries, err := c.broker.Bucket(bucket).List(ctx, ">")
	if err != nil {
		return nil, err
	}
	all := make(map[string]T, len(entries))
	for _, e := range entries {
		m, err := wire.Decode[T](e.Value)
		if err != nil {
			c.log.Error("an entry cannot be read and is ignored", "bucket", bucket, "key", e.Key, "error", err.Error())
			continue
		}
		all[e.Key] = m
	}
	return all, nil
}

// takeLock becomes the leader, as soon as no other controller is. The embedded
// server belongs to this process alone, so there nobody else can be.
func (c *Controller) takeLock(ctx context.Context) error {
	c.lock = c.broker.Lock(wire.ControlBucket, wire.LeaderKey)
	told := false
	for {
		err := c.lock.Acquire(ctx, c.leadership(0)) // which epoch is not known yet
		if !errors.Is(err, kv.ErrConflict) {
			return err
		}
		if !told {
			told = true
			c.log.Warn("another controller leads, or led until a moment ago; waiting")
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("another controller leads: %w; run one controller for each NATS", ctx.Err())
		case <-time.After(renewEvery):
		}
	}
}

func (c *Controller) leadership(epoch uint64) []byte {
	return wire.Encode(wire.Leader{Head: wire.Now(), Controller: c.main.Addr().String(), Incarnation: c.incarnation, Epoch: epoch})
}

// renew confirms the leadership again and again. A controller that has lost it
// ends, and is started anew by whoever watches over it.
func (c *Controller) renew() {
	t := time.NewTicker(renewEvery)
	defer t.Stop()
	for {
		tick := false
		select {
		case <-c.running.Done():
			return
		case <-t.C:
			tick = true
		case <-c.effects.renew:
		}
		err := c.confirm()
		if errors.Is(err, kv.ErrConflict) {
			c.failed <- errors.New("another controller has taken the lead; run one controller for each NATS")
			return
		}
		if err == nil && tick {
			c.rise()
		}
	}
}

// rise leads again in a later epoch where nodes obey one that is not below ours
// although the lock is ours: the data of this controller were lost or are older than
// what the nodes know, or another led while this one could not.
func (c *Controller) rise() {
	var other uint64
	c.ask(func(l *leader.Leader, _ time.Time) { other = l.Outranked() })
	if other == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.running, storeTime)
	defer cancel()
	r, err := c.restore(ctx, other)
	if err == nil { // the epoch is written down; nobody may have taken the lead meanwhile
		err = c.lock.Renew(ctx, c.leadership(r.Epoch))
	}
	if err != nil {
		c.log.Error("nodes obey another epoch and a later one cannot be begun", "reported", other, "error", err.Error())
		return
	}
	c.log.Warn("nodes obey an epoch that the store does not know: it was lost or is older than they are; leading again above it", "reported", other, "epoch", r.Epoch)
	c.ask(func(l *leader.Leader, now time.Time) { l.Again(now, r) })
}

// confirm renews the leadership once, and begins to lead again where the bucket
// forgot us while nobody else was there.
func (c *Controller) confirm() error {
	ctx, cancel := context.WithTimeout(c.running, storeTime)
	defer cancel()
	began, epoch := time.Now(), uint64(0)
	c.ask(func(l *leader.Leader, _ time.Time) { epoch = l.Epoch() })
	err := c.lock.Renew(ctx, c.leadership(epoch))
	if errors.Is(err, kv.ErrConflict) {
		err = c.lock.Acquire(ctx, c.leadership(epoch))
	}
	if err == nil {
		c.ask(func(l *leader.Leader, now time.Time) { l.Confirmed(began, now) })
	}
	return err
}

// ahead publishes what is in force again, above a revision that a node has and
// the store has lost: else that node would take it for an old one.
// Mostly it is only faster than this controller, which is about to hear of its own
// publication.
func (c *Controller) ahead(revision uint64) {
	if !c.raising.CompareAndSwap(false, true) {
		return
	}
	c.tasks.Go(func() {
		defer c.raising.Store(false)
		c.mend(func(ctx context.Context) error { return c.raise(ctx, revision) })
	})
}

func (c *Controller) raise(ctx context.Context, revision uint64) error {
	if p, err := c.store.Current(ctx); err != nil || p.Revision >= revision {
		return err
	}
	c.log.Error("a node runs a revision that the store does not know; what is in force is published again above it", "revision", revision)
	c.store.AtLeast(revision)
	_, _, err := c.store.Raise(ctx, "a node ran a higher revision")
	return err
}

// mend repairs the store and brings into force what came of it.
func (c *Controller) mend(repair func(context.Context) error) {
	ctx, cancel := context.WithTimeout(c.running, startTime)
	defer cancel()
	if err := repair(ctx); err != nil {
		c.log.Error("the store of the configuration cannot be repaired", "error", err.Error())
		return
	}
	p, err := c.store.Current(ctx)
	if err != nil {
		c.log.Error("the configuration cannot be read", "error", err.Error())
		return
	}
	c.inForce(p)
}

// report takes a node's report in.
func (c *Controller) report(node string, data []byte) {
	c.metrics.Reports.Inc()
	if c.inbox.put(node, data) {
		c.metrics.ReportsOvertaken.Inc()
	}
}

// read hands reports to the leader, one after the other.
func (c *Controller) read() {
	for {
		node, data, ok := c.inbox.take(c.running)
		if !ok {
			return
		}
		r, err := wire.Decode[wire.Report](data)
		if err != nil {
			c.metrics.ReportsRefused.WithLabelValues("unreadable").Inc()
			continue
		}
		c.ask(func(l *leader.Leader, now time.Time) { l.Report(now, node, r) })
	}
}

func configure(l *leader.Leader, now time.Time, p configstore.Published) {
	l.Configure(now, p.Document, status.Config{Revision: p.Revision, UpdatedAt: p.Time, Author: p.Author})
}

// ask runs f in the leader's loop and waits for it; before Start and after Stop
// it does not run.
func (c *Controller) ask(f func(*leader.Leader, time.Time)) bool {
	loop := c.loop.Load()
	return loop != nil && loop.Do(context.Background(), f)
}

// gauges is what a scrape finds.
func (c *Controller) gauges() (s metrics.State) {
	c.ask(func(l *leader.Leader, now time.Time) {
		s = metrics.State{Leader: true, Epoch: l.Epoch(), Revision: l.Revision(), PendingNodes: l.Behind(),
			Nodes: map[string]int{}, Breakers: map[string]string{}, Limits: map[string]metrics.Limit{}}
		doc := l.Status(now)
		for _, n := range doc.Nodes {
			if n.Left {
				n.State = metrics.NodeLeft
			}
			s.Nodes[n.State]++
		}
		add := func(name string, l *status.Limit) {
			if l != nil {
				s.Limits[name] = metrics.Limit{Utilisation: l.Utilisation, Overshoot: l.OvershootBound}
			}
		}
		add("global", doc.Limits.Global)
		for name, p := range doc.Providers {
			s.Breakers[name] = p.State
			add(name, p.Limit)
		}
	})
	return s
}

var _ kv.Bucket = (*broker.Bucket)(nil)
