package controller

import (
	"context"
	"fmt"
	"time"

	"apiproxy.internal/controlplane/internal/httpapi"
	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Breakers are the breakers of all providers.
func (b backend) Breakers(context.Context) (all map[string]status.Breaker, _ error) {
	b.ask(func(l *leader.Leader, now time.Time) { all = l.Breakers(now) })
	return all, nil
}

// Trip holds a breaker open.
func (b backend) Trip(ctx context.Context, provider string, ttl time.Duration, author, reason string) (status.Breaker, error) {
	hold := wire.Hold{State: wire.BreakerOpen, Author: author, Reason: reason}
	if ttl > 0 {
		hold.Until = time.Now().Add(ttl).UTC().Round(0)
	}
	return b.order(provider, leader.Order{Do: leader.Trip, TTL: ttl, Author: author, Reason: reason},
		func() error { return b.store.SetHold(ctx, provider, hold) })
}

// Reset closes a breaker.
func (b backend) Reset(ctx context.Context, provider, author, reason string) (status.Breaker, error) {
	return b.order(provider, leader.Order{Do: leader.Reset, Author: author, Reason: reason},
		func() error { return b.store.DropHold(ctx, provider) })
}

// Auto ends the hold on a breaker.
func (b backend) Auto(ctx context.Context, provider, author, reason string) (status.Breaker, error) {
	return b.order(provider, leader.Order{Do: leader.Auto, Author: author, Reason: reason},
		func() error { return b.store.DropHold(ctx, provider) })
}

// order stores what an order must leave behind, then carries it out.
func (b backend) order(provider string, o leader.Order, store func() error) (out status.Breaker, err error) {
	b.orders.Lock()
	defer b.orders.Unlock()
	known := false
	b.ask(func(l *leader.Leader, _ time.Time) { known = l.HasProvider(provider) })
	if !known {
		return out, fmt.Errorf("%w: no provider is named %q", httpapi.ErrUnknown, provider)
	}
	if err := store(); err != nil {
		return out, foreseen(err)
	}
	b.ask(func(l *leader.Leader, now time.Time) {
		l.Order(now, provider, o)
		out = l.Breakers(now)[provider]
	})
	return out, nil
}

// Purge stores a purge and tells the nodes of it.
func (b backend) Purge(ctx context.Context, p httpapi.Purge, author, reason string) (id string, err error) {
	b.orders.Lock()
	defer b.orders.Unlock()
	list, err := b.store.AddPurge(ctx, wire.Purge{Provider: p.Provider, Prefix: p.Prefix, Exact: p.Exact, Author: author, Reason: reason})
	if err != nil {
		b.metrics.Purges.WithLabelValues("failed").Inc()
		return "", foreseen(err)
	}
	b.ask(func(l *leader.Leader, now time.Time) { l.Purge(now, list) })
	return list[len(list)-1].ID, nil
}

// Purged waits until all nodes that are heard have done a purge.
func (b backend) Purged(ctx context.Context, id string) (p httpapi.Purged) {
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	entries := map[string]int{} // nodes tell it for a while only
	for {
		p = httpapi.Purged{}
		waiting := false
		led := b.ask(func(l *leader.Leader, now time.Time) {
			for _, n := range l.Purging(now, id) {
				if !n.Done {
					waiting = waiting || !n.Gone
					p.Pending = append(p.Pending, httpapi.Pending{ID: n.Node, Reason: n.Pending})
					continue
				}
				if _, known := entries[n.Node]; !known {
					entries[n.Node] = n.Entries
				}
				p.Done = append(p.Done, httpapi.PurgedNode{ID: n.Node, Entries: entries[n.Node]})
			}
		})
		if led && !waiting || !wait(ctx, b.running, t.C) {
			break
		}
	}
	result := "acknowledged"
	if len(p.Pending) > 0 {
		result = "incomplete"
	}
	b.metrics.Purges.WithLabelValues(result).Inc()
	return p
}
