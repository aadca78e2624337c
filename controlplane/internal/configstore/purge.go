package configstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// Purges are the last purges of the cache, oldest first. Where there is no list,
// or none that can be read, a new one is begun with a purge of everything: nobody
// knows which purges were lost with the old one.
func (s *Store) Purges(ctx context.Context) ([]wire.Purge, error) {
	list, _, err := s.purges(ctx)
	if err != nil || len(list) > 0 {
		return list, err
	}
	return s.AddPurge(ctx, wire.Purge{Author: "controller", Reason: "a new list"})
}

// AddPurge gives a purge its id and time and stores it. It returns the list, of
// which it is the last one.
func (s *Store) AddPurge(ctx context.Context, p wire.Purge) ([]wire.Purge, error) {
	p.ID, p.Time = rand.Text()[:idLength], s.opts.Now().UTC().Round(0)
	p.Author, p.Reason = clean(p.Author), clean(p.Reason)
	for range tries {
		list, seq, err := s.purges(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
		list = list[max(0, len(list)-wire.MaxPurges):]
		_, err = s.opts.Bucket.Update(ctx, wire.PurgesKey, wire.Encode(wire.Purges{Head: wire.Now(), Last: list}), seq)
		if err == nil {
			return list, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return nil, unknown("store a purge", err)
		}
	}
	return nil, fmt.Errorf("configstore: cannot store a purge: %w", kv.ErrConflict)
}

// idLength is that of a purge's id, which nobody else comes upon: 65 random bits.
const idLength = 13

// purges is the list in the bucket, empty where there is none, and where
// compare-and-set begins.
func (s *Store) purges(ctx context.Context) (list []wire.Purge, seq uint64, err error) {
	e, err := s.opts.Bucket.Get(ctx, wire.PurgesKey)
	if errors.Is(err, kv.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("configstore: %w", err)
	}
	m, err := wire.Decode[wire.Purges](e.Value)
	if errors.Is(err, wire.ErrVersion) {
		return nil, 0, fmt.Errorf("configstore: the purges: %w", err)
	}
	if err != nil {
		s.opts.Log.Error("the list of purges cannot be read; a new one is begun, and all caches are cleared", "error", err)
		return nil, e.Seq, nil
	}
	return m.Last, e.Seq, nil
}
