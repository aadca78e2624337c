package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// Bucket is one bucket by its name in package wire. It is a kv.Bucket, and can be
// watched.
type Bucket struct {
	b    *Broker
	name string
}

var _ kv.Bucket = (*Bucket)(nil)

// Bucket never fails; a name that is not in package wire answers
// kv.ErrNotFound to everything.
func (b *Broker) Bucket(name string) *Bucket { return &Bucket{b, name} }

// buckets are what the control plane keeps. History 64 is the most that NATS
// allows, and what the API promises.
func (b *Broker) buckets() []jetstream.KeyValueConfig {
	file, memory := jetstream.FileStorage, jetstream.MemoryStorage
	replicas := max(b.opts.Replicas, 1)
	return []jetstream.KeyValueConfig{
		{Bucket: wire.ConfigBucket, Storage: file, History: 64, Replicas: replicas, MaxValueSize: wire.MaxMessage},
		{Bucket: wire.MembersBucket, Storage: file, History: 1, Replicas: replicas},
		{Bucket: wire.ControlBucket, Storage: memory, History: 1, Replicas: replicas, TTL: 15 * time.Second},
		{Bucket: wire.BreakerBucket, Storage: memory, History: 1, Replicas: replicas},
		// One copy: the next report fills it again.
		{Bucket: wire.UsageBucket, Storage: memory, History: 1, Replicas: 1, TTL: 10 * time.Second, MaxBytes: 64 << 20},
	}
}

// ensureBuckets creates what is missing and keeps the handles, so that no
// operation has to ask for them.
func (b *Broker) ensureBuckets(ctx context.Context) error {
	handles := map[string]jetstream.KeyValue{}
	for _, c := range b.buckets() {
		store, err := b.ensureBucket(ctx, c)
		if err != nil {
			return failure("create the bucket "+c.Bucket, err)
		}
		handles[c.Bucket] = store
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handles = handles
	return nil
}

// askAgain is when a question about a bucket counts as lost: a cluster that has no
// leader yet drops what it is asked, and never answers.
const askAgain = 2 * time.Second

func (b *Broker) ensureBucket(ctx context.Context, c jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	for {
		once, cancel := context.WithTimeout(ctx, askAgain)
		store, err := b.js.CreateOrUpdateKeyValue(once, c)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return store, err
		}
	}
}

func (k *Bucket) open() (jetstream.KeyValue, error) {
	k.b.mu.Lock()
	defer k.b.mu.Unlock()
	if store := k.b.handles[k.name]; store != nil {
		return store, nil
	}
	return nil, failure("open the bucket "+k.name, kv.ErrNotFound)
}

// openToWrite refuses what the disk has no room for.
func (k *Bucket) openToWrite(size int) (jetstream.KeyValue, error) {
	if lasts := k.name == wire.ConfigBucket || k.name == wire.MembersBucket; lasts && k.b.server != nil {
		if err := k.b.room(size); err != nil {
			return nil, failure("write to the bucket "+k.name, err)
		}
	}
	return k.open()
}

// Get implements kv.Bucket.
func (k *Bucket) Get(ctx context.Context, key string) (kv.Entry, error) {
	store, err := k.open()
	if err != nil {
		return kv.Entry{}, err
	}
	e, err := store.Get(ctx, key)
	if err != nil {
		return kv.Entry{}, k.failure("read", key, err)
	}
	return entry(e), nil
}

// Put implements kv.Bucket.
func (k *Bucket) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	store, err := k.openToWrite(len(value))
	if err != nil {
		return 0, err
	}
	seq, err := store.Put(ctx, key, value)
	return seq, k.failure("write", key, err)
}

// Create implements kv.Bucket.
func (k *Bucket) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	store, err := k.openToWrite(len(value))
	if err != nil {
		return 0, err
	}
	seq, err := store.Create(ctx, key, value)
	return seq, k.failure("create", key, err)
}

// Update implements kv.Bucket.
func (k *Bucket) Update(ctx context.Context, key string, value []byte, seq uint64) (uint64, error) {
	if seq == 0 {
		return k.Create(ctx, key, value)
	}
	store, err := k.openToWrite(len(value))
	if err != nil {
		return 0, err
	}
	next, err := store.Update(ctx, key, value, seq)
	return next, k.failure("update", key, err)
}

// Delete implements kv.Bucket.
func (k *Bucket) Delete(ctx context.Context, key string) error {
	store, err := k.openToWrite(0)
	if err != nil {
		return err
	}
	return k.failure("delete", key, store.Delete(ctx, key))
}

// DeleteAt implements kv.Bucket.
func (k *Bucket) DeleteAt(ctx context.Context, key string, seq uint64) error {
	store, err := k.openToWrite(0)
	if err != nil {
		return err
	}
	return k.failure("delete", key, store.Delete(ctx, key, jetstream.LastRevision(seq)))
}

// History implements kv.Bucket.
func (k *Bucket) History(ctx context.Context, key string) ([]kv.Entry, error) {
	return k.collect(ctx, key, jetstream.IncludeHistory())
}

// List implements kv.Bucket.
func (k *Bucket) List(ctx context.Context, pattern string) ([]kv.Entry, error) {
	return k.collect(ctx, pattern, jetstream.IgnoreDeletes())
}

func (k *Bucket) collect(ctx context.Context, pattern string, opt jetstream.WatchOpt) ([]kv.Entry, error) {
	store, err := k.open()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	w, err := store.Watch(ctx, pattern, opt)
	if err != nil {
		return nil, k.failure("read", pattern, err)
	}
	defer w.Stop() //nolint:errcheck // a watcher that is gone already is what we want
	var all []kv.Entry
	for {
		select {
		case e, ok := <-w.Updates():
			if !ok {
				return nil, k.failure("read", pattern, kv.ErrUnavailable)
			}
			if e == nil {
				return all, nil
			}
			all = append(all, entry(e))
		case <-ctx.Done():
			return nil, k.failure("read", pattern, ctx.Err())
		}
	}
}

// Watch calls update with the newest value of each key that matches and then with
// each change, and synced whenever all that was there has been told; both one
// after the other from one goroutine, until ctx or the broker ends. After a
// reconnection everything is told again, because nobody knows what was missed; a
// key that has vanished meanwhile is not. Watch returns at once.
func (k *Bucket) Watch(ctx context.Context, pattern string, update func(kv.Entry), synced func()) {
	k.b.tasks.Go(func() {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stop := context.AfterFunc(k.b.closing, cancel)
		defer stop()
		for ctx.Err() == nil {
			if err := k.watch(ctx, pattern, update, synced); err != nil && ctx.Err() == nil {
				k.b.log.Warn("the watch is broken and begins again", "bucket", k.name, "error", err)
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
			}
		}
	})
}

// watch ends without an error when everything is to be told again.
func (k *Bucket) watch(ctx context.Context, pattern string, update func(kv.Entry), synced func()) error {
	renewed := k.b.renewed()
	store, err := k.open()
	if err != nil {
		return err
	}
	w, err := store.Watch(ctx, pattern)
	if err != nil {
		return k.failure("watch", pattern, err)
	}
	defer w.Stop() //nolint:errcheck // a watcher that is gone already is what we want
	for {
		select {
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return k.failure("watch", pattern, kv.ErrUnavailable)
			case e != nil:
				update(entry(e))
			case synced != nil:
				synced()
			}
		case <-renewed:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

func entry(e jetstream.KeyValueEntry) kv.Entry {
	return kv.Entry{
		Key: e.Key(), Value: e.Value(), Seq: e.Revision(), Time: e.Created(),
		Deleted: e.Operation() != jetstream.KeyValuePut,
	}
}

func (k *Bucket) failure(doing, key string, err error) error {
	if err == nil {
		return nil
	}
	return failure(fmt.Sprintf("%s %s/%s", doing, k.name, key), err)
}

// failure says in our words what NATS meant.
func failure(doing string, err error) error {
	is := func(targets ...error) bool {
		for _, target := range targets {
			if errors.Is(err, target) {
				return true
			}
		}
		return false
	}
	api := &jetstream.APIError{}
	code := jetstream.ErrorCode(0)
	if errors.As(err, &api) {
		code = api.ErrorCode
	}
	var ours error
	switch {
	case is(kv.ErrNotFound, kv.ErrConflict, kv.ErrFull, kv.ErrUnavailable):
	case is(jetstream.ErrKeyNotFound, jetstream.ErrKeyDeleted):
		ours = kv.ErrNotFound
	case is(jetstream.ErrKeyExists, jetstream.ErrKeyRevisionMismatch),
		code == jetstream.JSErrCodeStreamWrongLastSequence, code == jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		ours = kv.ErrConflict
	case code == codeNoResources, code == codeStoreLimit, code == codeMemoryLimit, strings.Contains(err.Error(), "no space left"):
		ours = kv.ErrFull
	case is(context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed,
		nats.ErrReconnectBufExceeded, nats.ErrDisconnected, nats.ErrConnectionReconnecting, nats.ErrNoServers, jetstream.ErrNoStreamResponse, jetstream.ErrConnectionClosed),
		code == jetstream.JSErrCodeJetStreamNotEnabled, api != nil && api.Code == 503:
		ours = kv.ErrUnavailable
	}
	if ours == nil {
		return fmt.Errorf("broker: cannot %s: %w", doing, err)
	}
	return fmt.Errorf("broker: cannot %s: %w (%w)", doing, ours, err)
}

// Codes of the server that the client has no names for.
const (
	codeNoResources jetstream.ErrorCode = 10023
	codeMemoryLimit jetstream.ErrorCode = 10028
	codeStoreLimit  jetstream.ErrorCode = 10047
)
