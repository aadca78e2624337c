// Package configstore keeps the configuration: published by compare-and-set, with
// its history, operators' holds on breakers, purges of the cache and the leaders'
// epoch beside it.
//
// The bucket is the truth. A copy of what it must not lose is the file config.json
// in the data directory, from which an empty or damaged bucket is filled again.
// Whatever is acknowledged is in both: the copy is written and flushed under
// another name first, which also shows that the disk has room, then the bucket
// decides, then the copy is renamed. A crash before the bucket has it leaves
// nothing; one before the renaming leaves the old copy, which the next start
// brings up to date. So the copy may be behind by a write that nobody was told of,
// and is never ahead. Purges are in the bucket only: losing them clears caches and
// no more.
package configstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// Options of a Store; all but Log and OnDamage are required.
type Options struct {
	Bucket  kv.Bucket        // wire.ConfigBucket
	DataDir string           // of the file copy
	Now     func() time.Time // for the dates that people read
	Log     *slog.Logger
	// OnDamage is told of each entry that cannot be read, once while it is the same
	// one. It must not block. The store goes on with the newest that can be read.
	OnDamage func(err error)
}

// Published is one revision of the configuration.
type Published struct {
	Revision uint64
	Time     time.Time
	Author   string
	Reason   string
	// Document has the Revision and is read-only.
	Document *config.Document
}

// Change says who changes something and why; both are cut to 256 bytes.
type Change struct {
	Author string
	Reason string
	// Expect is the revision that must be the current one; 0: any, and when others
	// publish at the same time the edit is made again on top of theirs.
	Expect uint64
}

// Errors of a Store beside its bucket's; look for them with errors.Is.
var (
	// ErrNone: nothing has been published yet.
	ErrNone = errors.New("no configuration has been published")
	// ErrStale: the current revision is not the expected one.
	ErrStale = errors.New("the configuration has changed")
	// ErrNoRevision: it is not among the last 64.
	ErrNoRevision = errors.New("no such revision")
	// ErrTooLarge: the document with all defaults written out does not fit into a
	// message.
	ErrTooLarge = errors.New("the document is too large")
	// ErrFull: the disk has no room; nothing was published.
	ErrFull = kv.ErrFull
	// ErrUnknown: the store did not answer, so the change may have been made or not.
	ErrUnknown = errors.New("it is not known whether the change was made; read the configuration and see")
)

// Store is safe for simultaneous use.
type Store struct {
	opts Options
	copy *copyFile

	writing sync.Mutex // one writer at a time; others in other processes meet at the bucket

	mu      sync.Mutex
	highest uint64 // revision known to anybody; guarded by mu
	stored  uint64 // revision that the bucket is known to have had; guarded by mu
	damaged uint64 // Seq of the damaged entry that was told last; guarded by mu
}

// Open reads the file copy and brings it and the bucket together. It publishes
// only if the bucket has lost something that the copy has, or holds something that
// is no message. A message of a newer version is an error, and untouched; so is a
// document with settings that this program does not know, which is told as damage.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.OnDamage == nil {
		opts.OnDamage = func(error) {}
	}
	s := &Store{opts: opts}
	var err error
	if s.copy, err = openCopy(opts.DataDir, opts.Now, opts.Log); err != nil {
		return nil, err
	}
	s.seen(s.copy.state.Revision)
	return s, s.Reunite(ctx)
}

// Reunite repairs the bucket from the file copy, or the other way round, as Open
// does. Call it when the store was away: it may have come back without its data.
func (s *Store) Reunite(ctx context.Context) error {
	found, err := s.newest(ctx)
	if err != nil || found.Revision == 0 {
		return err
	}
	if found.damage == nil || errors.Is(found.damage, errInvalid) {
		s.Keep(ctx)
		return nil
	}
	kept := s.copy.held()
	s.opts.Log.Error("the configuration in the store is lost or damaged and is published again",
		"revision", found.Revision, "revision_in_file_copy", kept.Revision, "damage", found.damage)
	for provider, hold := range kept.Holds {
		_, err := s.opts.Bucket.Create(ctx, wire.HoldKey(provider), wire.Encode(hold))
		if err != nil && !errors.Is(err, kv.ErrConflict) { // what the bucket has is newer
			return fmt.Errorf("configstore: cannot restore the hold on %s: %w", provider, err)
		}
	}
	_, err = s.Publish(ctx, Change{Author: "controller", Reason: fmt.Sprintf("restored from revision %d", found.Revision)},
		func(now Published) (*config.Document, error) { return now.Document, nil })
	return err
}

// Seed publishes a document if nothing has been published. Otherwise it changes
// nothing and returns how the document differs from the current one.
func (s *Store) Seed(ctx context.Context, doc *config.Document, change Change) (seeded bool, differs []Difference, err error) {
	current, err := s.Current(ctx)
	if errors.Is(err, ErrNone) {
		_, err = s.Publish(ctx, change, func(now Published) (*config.Document, error) {
			if now.Revision != 0 {
				return nil, ErrStale // another controller was faster
			}
			return doc, nil
		})
		if err == nil {
			return true, nil, nil
		}
		if errors.Is(err, ErrStale) {
			current, err = s.Current(ctx)
		}
	}
	if err != nil {
		return false, nil, err
	}
	return false, Diff(current.Document, doc), nil
}

// Current is the newest revision, else ErrNone.
func (s *Store) Current(ctx context.Context) (Published, error) {
	found, err := s.newest(ctx)
	if err == nil && found.Revision == 0 {
		err = ErrNone
	}
	return found.Published, err
}

// History is what is kept of the last 64 revisions, newest first, without
// documents. What cannot be read is left out.
func (s *Store) History(ctx context.Context) ([]Published, error) {
	entries, err := s.opts.Bucket.History(ctx, wire.ConfigKey)
	if err != nil {
		return nil, fmt.Errorf("configstore: %w", err)
	}
	var all []Published
	for _, e := range slices.Backward(entries) {
		if m, err := wire.Decode[wire.ConfigEntry](e.Value); err == nil && !e.Deleted {
			all = append(all, Published{Revision: m.Revision, Time: m.Time, Author: m.Author, Reason: m.Reason})
		}
	}
	return all, nil
}

// Revision is one of the History with its document, else ErrNoRevision.
func (s *Store) Revision(ctx context.Context, n uint64) (Published, error) {
	entries, err := s.opts.Bucket.History(ctx, wire.ConfigKey)
	if err != nil {
		return Published{}, fmt.Errorf("configstore: %w", err)
	}
	for _, e := range slices.Backward(entries) {
		if p, err := Decode(e.Value); err == nil && !e.Deleted && p.Revision == n {
			return p, nil
		}
	}
	return Published{}, fmt.Errorf("configstore: %w: %d", ErrNoRevision, n)
}

// maxRevision keeps a nonsensical report from using up the numbers. JSON readers
// that know only floating point can still tell such revisions apart.
const maxRevision = 1 << 52

// AtLeast tells the store of a revision that somebody has: the next one will be
// higher. It reports whether that was news; then call Raise, or whoever has the
// higher revision takes the current one for an old one. Nonsense is ignored.
func (s *Store) AtLeast(revision uint64) (higher bool) {
	if revision > maxRevision {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	higher = revision > s.highest
	s.highest = max(s.highest, revision)
	return higher
}

// Decode reads an entry of the bucket at wire.ConfigKey, as one who watches it
// must: the error of one that must not come into force says why.
func Decode(value []byte) (Published, error) {
	m, err := wire.Decode[wire.ConfigEntry](value)
	if err != nil {
		return Published{}, err
	}
	doc, _, err := config.Parse(m.Config)
	if err != nil {
		return Published{}, fmt.Errorf("revision %d: %w: %w", m.Revision, errInvalid, err)
	}
	if m.Revision == 0 || m.Revision > maxRevision {
		return Published{}, errors.New("a configuration without a sensible revision")
	}
	doc.Revision = m.Revision
	return Published{m.Revision, m.Time, m.Author, m.Reason, doc}, nil
}

// errInvalid is an entry in order whose document this program does not accept: that
// of a program with more settings, before this one was put back in its place.
var errInvalid = errors.New("not a valid configuration")

// found is the newest revision that can be read, zero if there is none, and where
// compare-and-set begins.
type found struct {
	Published
	seq    uint64
	damage error // why the newest entry itself is not the newest revision
}

func (s *Store) newest(ctx context.Context) (found, error) {
	before := s.seen(0) // the read that begins now must not find less
	e, err := s.opts.Bucket.Get(ctx, wire.ConfigKey)
	if errors.Is(err, kv.ErrNotFound) {
		f := found{}
		if s.copy.held().Revision > 0 {
			f.damage = errors.New("the store is empty")
			s.fromCopy(&f)
			s.tell(math.MaxUint64, f.damage)
		}
		return f, nil
	}
	if err != nil {
		return found{}, fmt.Errorf("configstore: %w", err)
	}
	f := found{seq: e.Seq}
	f.Published, f.damage = Decode(e.Value)
	if errors.Is(f.damage, wire.ErrVersion) {
		return found{}, fmt.Errorf("configstore: the current configuration: %w", f.damage)
	}
	if f.damage == nil {
		if f.Revision >= before {
			s.seen(f.Revision)
			return f, nil
		}
		f.damage = fmt.Errorf("revision %d came after revision %d", f.Revision, before)
	}
	s.tell(e.Seq, f.damage)
	if m, err := wire.Decode[wire.ConfigEntry](e.Value); err == nil {
		s.AtLeast(m.Revision)
	}
	return f, s.lastGood(ctx, &f)
}

// lastGood looks behind a damaged entry, and into the file copy.
func (s *Store) lastGood(ctx context.Context, f *found) error {
	entries, err := s.opts.Bucket.History(ctx, wire.ConfigKey)
	if err != nil {
		return fmt.Errorf("configstore: %w", err)
	}
	for _, e := range entries {
		if p, err := Decode(e.Value); err == nil && !e.Deleted && p.Revision > f.Revision {
			f.Published = p
		}
	}
	s.fromCopy(f)
	s.seen(f.Revision)
	return nil
}

// fromCopy takes the file copy if it is newer than what was found.
func (s *Store) fromCopy(f *found) {
	kept := s.copy.held()
	if kept.Revision <= f.Revision {
		return
	}
	if p, err := Decode(wire.Encode(kept.ConfigEntry)); err == nil {
		f.Published = p
	}
}

// seen notes a revision of the bucket, and returns the highest there was.
func (s *Store) seen(revision uint64) (stored uint64) {
	s.AtLeast(revision)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored = max(s.stored, revision)
	return s.stored
}

// tell reports a damaged entry once.
func (s *Store) tell(seq uint64, damage error) {
	s.mu.Lock()
	news := seq != s.damaged
	s.damaged = seq
	s.mu.Unlock()
	if news {
		s.opts.Log.Error("the newest entry of the configuration cannot be read; the one before stays", "error", damage)
		s.opts.OnDamage(damage)
	}
}
