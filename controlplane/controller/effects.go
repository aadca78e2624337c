package controller

import (
	"context"
	"log/slog"
	"time"

	"apiproxy.internal/controlplane/internal/broker"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/controlplane/internal/metrics"
	"apiproxy.internal/controlplane/internal/prober"
	"apiproxy.internal/shared/wire"
)

// effects carry out what the leader decides. Messages to nodes go out at once;
// what is stored goes through a queue, in order, so that a slow store never
// holds up the leader.
type effects struct {
	broker *broker.Broker
	holds  interface {
		DropHold(context.Context, string) error
	}
	hub     *events.Hub
	metrics *metrics.Metrics
	log     *slog.Logger
	prober  *prober.Prober
	queue   chan func(context.Context)
	renew   chan struct{}
	loop    func() *leader.Loop
	ahead   func(revision uint64)
}

const (
	maxQueue  = 1024
	storeTime = 3 * time.Second // for one write
	probeTime = time.Second     // for a node to say who it is
)

// work stores what is queued until ctx ends, and then what is left.
func (e *effects) work(ctx context.Context) {
	one := func(f func(context.Context)) {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		f(bounded)
	}
	for {
		select {
		case f := <-e.queue:
			one(f)
		case <-ctx.Done():
			for {
				select {
				case f := <-e.queue:
					one(f)
				default:
					return
				}
			}
		}
	}
}

// store queues a write. One that cannot be queued or made is logged: what it
// says is said again by the next one, and nodes hear it in answers meanwhile.
func (e *effects) store(what, key string, write func(context.Context) error) {
	f := func(ctx context.Context) {
		if err := write(ctx); err != nil {
			e.log.Error("cannot store", "what", what, "key", key, "error", err.Error())
		}
	}
	select {
	case e.queue <- f:
	default:
		e.log.Error("cannot store: too many writes are waiting", "what", what, "key", key)
	}
}

func (e *effects) Answer(node string, a wire.Answer) {
	e.metrics.Answers.Inc()
	_ = e.broker.Answer(node, wire.Encode(a)) // the next report is answered anyway
}

func (e *effects) WriteBreaker(provider string, entry wire.BreakerEntry) {
	e.store("breaker", provider, func(ctx context.Context) error {
		_, err := e.broker.Bucket(wire.BreakerBucket).Put(ctx, provider, wire.Encode(entry))
		return err
	})
}

func (e *effects) DropHold(provider string) {
	e.store("end of a hold", provider, func(ctx context.Context) error { return e.holds.DropHold(ctx, provider) })
}

func (e *effects) WriteMember(m wire.Member) {
	e.store("member", m.Node, func(ctx context.Context) error {
		if _, err := e.broker.Bucket(wire.MembersBucket).Put(ctx, m.Node, wire.Encode(m)); err != nil {
			return err
		}
		e.loop().Offer(func(l *leader.Leader, now time.Time) { l.MemberStored(now, m) })
		return nil
	})
}

func (e *effects) DropMember(node string) {
	e.store("end of a member", node, func(ctx context.Context) error {
		return e.broker.Bucket(wire.MembersBucket).Delete(ctx, node)
	})
}

// Renew asks for a renewal of the leadership now.
func (e *effects) Renew() {
	select {
	case e.renew <- struct{}{}:
	default: // one is asked for already
	}
}

// Probe asks in the background and reports back to the leader.
func (e *effects) Probe(p membership.Probe) {
	go func() {
		found, incarnation := e.prober.Probe(context.Background(), p)
		e.loop().Offer(func(l *leader.Leader, now time.Time) { l.Probed(now, p, found, incarnation) })
	}()
}

func (e *effects) Event(name string, data any) {
	e.metrics.Events.WithLabelValues(name).Inc()
	if b, ok := data.(leader.BreakerChanged); ok {
		e.metrics.Transitions.WithLabelValues(b.Provider, b.To).Inc()
	}
	e.hub.Publish(name, data)
	e.log.Info("event", "event", name, "data", data)
}

func (e *effects) Ahead(revision uint64) { e.ahead(revision) }

func (e *effects) Refused(reason string) { e.metrics.ReportsRefused.WithLabelValues(reason).Inc() }
