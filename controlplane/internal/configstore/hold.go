package configstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// Holds are the operators' orders to breakers, by provider, those whose time is up
// included. What cannot be read is left out and told as damage.
func (s *Store) Holds(ctx context.Context) (map[string]wire.Hold, error) {
	entries, err := s.opts.Bucket.List(ctx, wire.HoldKey("*"))
	if err != nil {
		return nil, fmt.Errorf("configstore: %w", err)
	}
	holds := map[string]wire.Hold{}
	for _, e := range entries {
		hold, err := wire.Decode[wire.Hold](e.Value)
		if err != nil {
			s.tell(e.Seq, err)
			continue
		}
		holds[strings.TrimPrefix(e.Key, wire.HoldKey(""))] = hold
	}
	return holds, nil
}

// SetHold replaces the hold on a provider's breaker.
func (s *Store) SetHold(ctx context.Context, provider string, hold wire.Hold) error {
	hold.Head = wire.Now()
	hold.Author, hold.Reason = clean(hold.Author), clean(hold.Reason)
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.write(func(c *copied) { c.Holds[provider] = hold }, func() error {
		_, err := s.opts.Bucket.Put(ctx, wire.HoldKey(provider), wire.Encode(hold))
		return err
	})
	return unknown("hold "+provider, err)
}

// DropHold ends a hold; none is fine.
func (s *Store) DropHold(ctx context.Context, provider string) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.write(func(c *copied) { delete(c.Holds, provider) },
		func() error { return s.opts.Bucket.Delete(ctx, wire.HoldKey(provider)) })
	return unknown("drop the hold on "+provider, err)
}

// NextEpoch is an epoch that no leader has had: higher than any that the store,
// the file copy or (atLeast) a node knows. It is kept before it is returned.
func (s *Store) NextEpoch(ctx context.Context, atLeast uint64) (uint64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for range tries {
		var now wire.Epoch
		e, err := s.opts.Bucket.Get(ctx, wire.EpochKey)
		if err == nil {
			if now, err = wire.Decode[wire.Epoch](e.Value); errors.Is(err, wire.ErrVersion) {
				return 0, fmt.Errorf("configstore: the epoch: %w", err)
			} else if err != nil {
				s.tell(e.Seq, err) // the file copy knows better
			}
		} else if !errors.Is(err, kv.ErrNotFound) {
			return 0, fmt.Errorf("configstore: %w", err)
		}
		next := wire.Epoch{Head: wire.Now(), Epoch: 1 + max(now.Epoch, s.copy.held().Epoch, atLeast)}
		err = s.write(func(c *copied) { c.Epoch = next.Epoch }, func() error {
			_, err := s.opts.Bucket.Update(ctx, wire.EpochKey, wire.Encode(next), e.Seq)
			return err
		})
		if err == nil {
			return next.Epoch, nil
		}
		if !errors.Is(err, kv.ErrConflict) {
			return 0, unknown("begin an epoch", err)
		}
	}
	return 0, fmt.Errorf("configstore: cannot begin an epoch: %w", kv.ErrConflict)
}

// Keep brings the file copy up to what the bucket has. Call it when a revision is
// seen that this store did not publish; a failure is logged.
func (s *Store) Keep(ctx context.Context) {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := func() error {
		e, err := s.opts.Bucket.Get(ctx, wire.ConfigKey)
		if err != nil {
			return err
		}
		entry, err := wire.Decode[wire.ConfigEntry](e.Value)
		if err != nil {
			return err
		}
		holds, err := s.Holds(ctx)
		if err != nil {
			return err
		}
		return s.write(func(c *copied) {
			c.Holds = holds
			if entry.Revision > c.Revision {
				c.ConfigEntry = entry
			}
		}, func() error { return nil })
	}()
	if err != nil {
		s.opts.Log.Error("the file copy of the configuration is not up to date", "error", err)
	}
}

// unknown says what a write without an answer means.
func unknown(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, kv.ErrUnavailable) {
		return fmt.Errorf("configstore: cannot %s: %w (%w)", doing, ErrUnknown, err)
	}
	return fmt.Errorf("configstore: cannot %s: %w", doing, err)
}
