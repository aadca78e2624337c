// Package kv is what the control plane expects of a store of keys: compare-and-set
// by sequence, a history, and errors that tell apart what a caller must tell apart.
// Package broker implements it over NATS, Memory for tests.
package kv

import (
	"context"
	"errors"
	"time"
)

// Entry is one value of one key.
type Entry struct {
	Key   string
	Value []byte
	// Seq orders the writes of a bucket; compare-and-set names it. It begins again
	// if the bucket is lost.
	Seq     uint64
	Time    time.Time
	Deleted bool // then there is no Value
}

// Errors of a Bucket; look for them with errors.Is.
var (
	// ErrNotFound: the key does not exist or is deleted.
	ErrNotFound = errors.New("no such key")
	// ErrConflict: somebody else was faster; read again.
	ErrConflict = errors.New("the key has changed")
	// ErrFull: the disk or the bucket has no room; nothing was written.
	ErrFull = errors.New("no space left for the store")
	// ErrUnavailable: the store does not answer. A write may have been done or not.
	ErrUnavailable = errors.New("the store does not answer")
)

// Bucket is a set of keys. A key is made of letters, digits and "-/_=.", and does
// not begin or end with a dot. Safe for simultaneous use; every read sees what was
// acknowledged before it began.
type Bucket interface {
	// Get is the key's newest value, else ErrNotFound.
	Get(ctx context.Context, key string) (Entry, error)
	// Put writes whatever is there; it returns the new Seq, as Create and Update do.
	Put(ctx context.Context, key string, value []byte) (uint64, error)
	// Create writes a key that does not exist or is deleted, else ErrConflict.
	Create(ctx context.Context, key string, value []byte) (uint64, error)
	// Update writes if the key's newest Seq is the given one, else ErrConflict. 0 is
	// Create.
	Update(ctx context.Context, key string, value []byte, seq uint64) (uint64, error)
	// Delete leaves a mark in place of the value; a key that does not exist is fine.
	Delete(ctx context.Context, key string) error
	// DeleteAt is Delete if the key's newest Seq is the given one, else ErrConflict.
	DeleteAt(ctx context.Context, key string, seq uint64) error
	// History is all that is kept of a key, marks too, oldest first.
	History(ctx context.Context, key string) ([]Entry, error)
	// List is the newest value of each key that matches, deleted ones left out. In a
	// pattern "*" is one token between dots and a last ">" all the rest.
	List(ctx context.Context, pattern string) ([]Entry, error)
}
