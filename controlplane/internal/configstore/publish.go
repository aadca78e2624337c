package configstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// tries is how often an edit is made again because somebody else was faster. Only
// another controller can be.
const tries = 50

// settleTime is for finding out what became of a write that was not answered.
const settleTime = 2 * time.Second

// Publish makes what edit returns the next revision, all or nothing. Edit gets the
// current revision, zero if there is none, and must not change its document; it
// may be called several times, and its error is Publish's. The new revision is in
// the store and in the file copy when Publish returns it.
func (s *Store) Publish(ctx context.Context, change Change, edit func(current Published) (*config.Document, error)) (Published, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	for range tries {
		now, err := s.newest(ctx)
		if err != nil {
			return Published{}, err
		}
		if change.Expect != 0 && change.Expect != now.Revision {
			return Published{}, fmt.Errorf("configstore: %w: revision %d is in force, %d was expected", ErrStale, now.Revision, change.Expect)
		}
		doc, err := edit(now.Published)
		if err != nil {
			return Published{}, err
		}
		done, err := s.publish(ctx, now, doc, change)
		if !errors.Is(err, kv.ErrConflict) {
			return done, err
		}
	}
	return Published{}, fmt.Errorf("configstore: gave up after %d others were faster: %w", tries, kv.ErrConflict)
}

func (s *Store) publish(ctx context.Context, now found, doc *config.Document, change Change) (Published, error) {
	next := *doc
	next.Revision = s.next()
	entry := wire.ConfigEntry{
		Head: wire.Now(), Revision: next.Revision, Time: s.opts.Now().UTC().Round(0),
		Author: clean(change.Author), Reason: clean(change.Reason), Config: next.JSON(),
	}
	value := wire.Encode(entry)
	if len(value) > wire.MaxMessage {
		return Published{}, fmt.Errorf("configstore: %w: %d bytes with all defaults written out, at most %d; use fewer providers or limits", ErrTooLarge, len(value), wire.MaxMessage)
	}
	err := s.write(func(c *copied) { c.ConfigEntry = entry }, func() error {
		_, err := s.opts.Bucket.Update(ctx, wire.ConfigKey, value, now.seq)
		if errors.Is(err, kv.ErrUnavailable) {
			return s.settle(value, err)
		}
		return err
	})
	if err != nil {
		return Published{}, fmt.Errorf("configstore: cannot publish: %w", err)
	}
	s.seen(entry.Revision)
	return Published{entry.Revision, entry.Time, entry.Author, entry.Reason, &next}, nil
}

// next is 1 + the highest revision known.
func (s *Store) next() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.highest + 1
}

// settle looks whether a write that was not answered was made.
func (s *Store) settle(value []byte, cause error) error {
	ctx, cancel := context.WithTimeout(context.Background(), settleTime)
	defer cancel()
	entries, err := s.opts.Bucket.History(ctx, wire.ConfigKey)
	if err == nil {
		for _, e := range entries {
			if bytes.Equal(e.Value, value) {
				return nil
			}
		}
	}
	return fmt.Errorf("%w (%w)", ErrUnknown, cause)
}

// Restore publishes one of the History again, as a new revision.
func (s *Store) Restore(ctx context.Context, revision uint64, change Change) (Published, error) {
	old, err := s.Revision(ctx, revision)
	if err != nil {
		return Published{}, err
	}
	if change.Reason == "" {
		change.Reason = fmt.Sprintf("restored revision %d", revision)
	}
	return s.Publish(ctx, change, func(Published) (*config.Document, error) { return old.Document, nil })
}

// Raise publishes the current configuration again, as a higher revision than any
// that AtLeast has heard of. If it is that already, or there is none, Raise does
// nothing and returns false.
func (s *Store) Raise(ctx context.Context, reason string) (Published, bool, error) {
	p, err := s.Publish(ctx, Change{Author: "controller", Reason: reason}, func(now Published) (*config.Document, error) {
		if now.Revision == 0 || now.Revision+1 == s.next() {
			return nil, errEnough
		}
		return now.Document, nil
	})
	if errors.Is(err, errEnough) {
		return p, false, nil
	}
	return p, err == nil, err
}

var errEnough = errors.New("nothing to do")

// clean makes text fit for a log line and a table.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > 256 {
		text = strings.ToValidUTF8(text[:256], "")
	}
	return text
}
