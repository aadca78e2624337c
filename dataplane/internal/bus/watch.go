package bus

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/shared/wire"
)

// retryWatch is the pause before a watch that could not be opened is tried
// again: the controller may be about to make the bucket.
const retryWatch = 250 * time.Millisecond

// follow keeps a watch open and passes on every value, the present ones first,
// until ctx ends.
func (b *Bus) follow(ctx context.Context, bucket, keys string, each func(jetstream.KeyValueEntry)) {
	for ctx.Err() == nil {
		b.mu.Lock()
		renewed := b.renewed
		b.mu.Unlock()
		w, err := b.watch(ctx, bucket, keys)
		if err != nil {
			b.explain()
			select {
			case <-ctx.Done():
			case <-renewed:
			case <-time.After(retryWatch):
			}
			continue
		}
		drain(ctx, w, renewed, each)
		_ = w.Stop()
	}
}

// explain tells that the server does not let this node in: the library keeps that
// to itself until it was let in once.
func (b *Bus) explain() {
	if err := b.nc.LastError(); errors.Is(err, nats.ErrAuthorization) && !b.nc.IsConnected() {
		b.options.Trouble("cannot connect to NATS", plain(err))
	}
}

func (b *Bus) watch(ctx context.Context, bucket, keys string) (jetstream.KeyWatcher, error) {
	bounded, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	kv, err := b.js.KeyValue(bounded, bucket)
	if err != nil {
		return nil, err
	}
	// The context bounds the opening only: a watcher outlives it.
	return kv.Watch(ctx, keys)
}

func drain(ctx context.Context, w jetstream.KeyWatcher, renewed <-chan struct{}, each func(jetstream.KeyValueEntry)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-renewed:
			return
		case e, ok := <-w.Updates():
			if !ok {
				return
			}
			if e != nil { // nil: those were all present values
				each(e)
			}
		}
	}
}

// config passes on a published configuration. A deletion means nothing: what is
// in force stays in force.
func (b *Bus) config(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	entry, err := wire.Decode[wire.ConfigEntry](e.Value())
	if err != nil {
		b.options.Trouble("the published configuration cannot be read", err)
		return
	}
	b.options.Config(entry)
}

// breaker passes on a breaker's state. A deletion means nothing: the node goes
// on with what it knows until the leader writes again.
func (b *Bus) breaker(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		return
	}
	entry, err := wire.Decode[wire.BreakerEntry](e.Value())
	if err != nil {
		b.options.Trouble("a breaker's state cannot be read", err)
		return
	}
	b.options.Breaker(e.Key(), entry)
}

func (b *Bus) answer(m *nats.Msg) {
	a, err := wire.Decode[wire.Answer](m.Data)
	if err != nil {
		b.options.Trouble("the leader's answer cannot be read", err)
		return
	}
	b.options.Answer(a)
}
