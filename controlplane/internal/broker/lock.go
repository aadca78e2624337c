package broker

import (
	"context"

	"apiproxy.internal/controlplane/internal/kv"
)

// Lock is a key that one of several controllers holds. It lasts as long as the
// bucket keeps what is not renewed (ControlBucket: 15 s). Not safe for
// simultaneous use.
type Lock struct {
	bucket *Bucket
	key    string
	seq    uint64 // of our own last write; 0: not held
}

// Lock names a lock; nobody holds it by that.
func (b *Broker) Lock(bucket, key string) *Lock { return &Lock{bucket: b.Bucket(bucket), key: key} }

// Acquire takes the lock if nobody has it, else kv.ErrConflict. The value tells
// others who has it.
func (l *Lock) Acquire(ctx context.Context, value []byte) (err error) {
	l.seq, err = l.bucket.Create(ctx, l.key, value)
	return err
}

// Renew holds the lock for longer. kv.ErrConflict: it is lost, because it ran out or
// because the bucket did. After any other error it may or may not have been
// renewed; if it was, the next Renew answers kv.ErrConflict and the key runs out.
func (l *Lock) Renew(ctx context.Context, value []byte) error {
	if l.seq == 0 {
		return failure("renew "+l.key, kv.ErrConflict)
	}
	seq, err := l.bucket.Update(ctx, l.key, value, l.seq)
	if err == nil {
		l.seq = seq
	}
	return err
}

// Release gives the lock back if it is still held.
func (l *Lock) Release(ctx context.Context) error {
	if l.seq == 0 {
		return nil
	}
	seq := l.seq
	l.seq = 0
	return l.bucket.DeleteAt(ctx, l.key, seq)
}
