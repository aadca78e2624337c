package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"apiproxy.internal/controlplane/internal/configstore"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/httpapi"
	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// backend is what the API is a window on.
type backend struct{ *Controller }

// Current is the configuration in force.
func (b backend) Current(ctx context.Context) (httpapi.Revision, error) {
	p, err := b.store.Current(ctx)
	return revision(p), foreseen(err)
}

func revision(p configstore.Published) httpapi.Revision {
	return httpapi.Revision{Revision: p.Revision, Time: p.Time, Author: p.Author, Reason: p.Reason, Config: p.Document}
}

// Update publishes what next makes of the configuration in force.
func (b backend) Update(ctx context.Context, author, reason string, next func(httpapi.Revision) (*config.Document, error)) (uint64, error) {
	p, err := b.publish(ctx, configstore.Change{Author: author, Reason: reason}, func(now configstore.Published) (*config.Document, error) {
		return next(revision(now))
	})
	return p.Revision, foreseen(err)
}

// publish makes a new revision and brings it into force here.
func (c *Controller) publish(ctx context.Context, change configstore.Change, edit func(configstore.Published) (*config.Document, error)) (configstore.Published, error) {
	refused := false
	p, err := c.store.Publish(ctx, change, func(now configstore.Published) (*config.Document, error) {
		doc, err := edit(now)
		refused = err != nil
		return doc, err
	})
	switch {
	case refused:
		c.metrics.Publications.WithLabelValues("refused").Inc()
		return p, err
	case err != nil:
		c.metrics.Publications.WithLabelValues("failed").Inc()
		return p, err
	}
	c.metrics.Publications.WithLabelValues("published").Inc()
	c.inForce(p)
	return p, nil
}

// inForce tells the leader and the listeners of a revision, unless they know it.
func (c *Controller) inForce(p configstore.Published) {
	fresh := false
	c.ask(func(l *leader.Leader, now time.Time) {
		if fresh = p.Revision > l.Revision(); !fresh {
			return
		}
		configure(l, now, p)
		for _, w := range l.Advise(p.Document) {
			c.log.Warn("configuration", "path", w.Path, "problem", w.Message, "remedy", w.Remedy)
		}
	})
	if !fresh {
		return
	}
	c.effects.Event(events.ConfigPublished, map[string]any{"time": p.Time, "revision": p.Revision, "author": p.Author, "reason": p.Reason})
}

// publishFile publishes a document unless it is in force already.
func (c *Controller) publishFile(ctx context.Context, doc *config.Document) error {
	unchanged := errors.New("unchanged")
	_, err := c.publish(ctx, configstore.Change{Author: "file", Reason: "reload"}, func(now configstore.Published) (*config.Document, error) {
		if now.Document != nil && now.Document.Equal(doc) {
			return nil, unchanged
		}
		return doc, nil
	})
	if errors.Is(err, unchanged) {
		return nil
	}
	return err
}

// progressEvery is how often a waiting request looks how far the nodes are.
const progressEvery = time.Millisecond

// wait waits for the next look and reports false if nobody should look any more.
func wait(ctx, running context.Context, next <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-running.Done():
		return false
	case <-next:
		return true
	}
}

// Applied waits until the nodes that were live when it was published run a
// revision or have refused it, and none that is heard holds more of a lowered limit
// than there is.
func (b backend) Applied(ctx context.Context, revision uint64) (a httpapi.Applied) {
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	for {
		underway := false
		b.ask(func(l *leader.Leader, _ time.Time) {
			underway = l.Lowering()
			nodes, pending := l.Progress(revision)
			a = httpapi.Applied{Nodes: nodes, Applied: nodes - len(pending)}
			for _, p := range pending {
				a.Pending = append(a.Pending, httpapi.Pending{ID: p.Node, Reason: p.Reason})
				underway = underway || !p.Refused
			}
		})
		if !underway || !wait(ctx, b.running, t.C) {
			return a
		}
	}
}

// Revisions are the last 64, newest first.
func (b backend) Revisions(ctx context.Context) ([]httpapi.Revision, error) {
	history, err := b.store.History(ctx)
	all := make([]httpapi.Revision, len(history))
	for i, p := range history {
		all[i] = revision(p)
	}
	return all, foreseen(err)
}

// Revision is one of them.
func (b backend) Revision(ctx context.Context, n uint64) (httpapi.Revision, error) {
	p, err := b.store.Revision(ctx, n)
	return revision(p), foreseen(err)
}

// Merge is what a merge patch makes of a document.
func (backend) Merge(old *config.Document, patch []byte) (*config.Document, []config.Problem, error) {
	return configstore.Merge(old, patch)
}

// Advise warns of limits that are too thin for the nodes there are.
func (b backend) Advise(doc *config.Document) (all []config.Problem) {
	b.ask(func(l *leader.Leader, _ time.Time) { all = l.Advise(doc) })
	return all
}

// Diff is how two documents differ.
func (backend) Diff(from, to *config.Document) []httpapi.Difference {
	diff := configstore.Diff(from, to)
	all := make([]httpapi.Difference, len(diff))
	for i, d := range diff {
		all[i] = httpapi.Difference(d)
	}
	return all
}

// Nodes are the nodes and their shares.
func (b backend) Nodes(context.Context) (all []httpapi.Node, _ error) {
	b.ask(func(l *leader.Leader, now time.Time) {
		shares := l.Shares(now)
		for _, n := range l.Status(now).Nodes {
			node := httpapi.Node{Node: n, Shares: map[string]httpapi.Share{}}
			for name, s := range shares[n.ID] {
				node.Shares[strings.TrimPrefix(name, wire.ProviderLimit(""))] = httpapi.Share(s)
			}
			all = append(all, node)
		}
	})
	return all, nil
}

// ConfirmDeath takes an operator's word that a node is dead.
func (b backend) ConfirmDeath(_ context.Context, node, _, _ string) (err error) {
	b.ask(func(l *leader.Leader, now time.Time) { err = l.Confirm(now, node) })
	switch {
	case errors.Is(err, leader.ErrUnknownNode):
		return fmt.Errorf("%w: no node has the id %q", httpapi.ErrUnknown, node)
	case err != nil:
		return fmt.Errorf("%w: %w", httpapi.ErrConflict, err)
	}
	return nil
}

// Ready is nil if the controller can do its work.
func (b backend) Ready() error {
	if !b.broker.Connected() {
		return errors.New("there is no connection to NATS")
	}
	return nil
}

// Subscribe delivers events.
func (b backend) Subscribe(after uint64) (<-chan httpapi.Event, func()) {
	in, unsubscribe := b.hub.Subscribe(after)
	out := make(chan httpapi.Event)
	left := make(chan struct{})
	go func() {
		defer close(out)
		for e := range in {
			select {
			case out <- httpapi.Event(e):
			case <-left:
				return
			}
		}
	}()
	return out, sync.OnceFunc(func() { unsubscribe(); close(left) })
}

// foreseen words the errors of the store as the API knows them.
func foreseen(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, configstore.ErrFull):
		return fmt.Errorf("%w: %w", httpapi.ErrFull, err)
	case errors.Is(err, configstore.ErrUnknown):
		return fmt.Errorf("%w: %w", httpapi.ErrUncertain, err)
	case errors.Is(err, kv.ErrUnavailable), errors.Is(err, configstore.ErrNone):
		return fmt.Errorf("%w: %w", httpapi.ErrUnavailable, err)
	case errors.Is(err, configstore.ErrNoRevision):
		return fmt.Errorf("%w: %w", httpapi.ErrUnknown, err)
	}
	return err
}
