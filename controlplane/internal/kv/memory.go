package kv

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Bucket for tests, with a history of 64. The zero value is empty.
type Memory struct {
	// Fail is asked before each operation, with its name in lower case; what it
	// returns is the answer. Set before use; may be nil.
	Fail func(operation, key string) error

	mu   sync.Mutex
	seq  uint64
	keys map[string][]Entry
}

var _ Bucket = (*Memory)(nil)

// begin locks unless the operation is to fail.
func (m *Memory) begin(ctx context.Context, operation, key string) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", ErrUnavailable, ctx.Err())
	}
	if m.Fail != nil {
		if err := m.Fail(operation, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	if m.keys == nil {
		m.keys = map[string][]Entry{}
	}
	return nil
}

// newest is the key's last entry; its Seq is 0 if there is none.
func (m *Memory) newest(key string) Entry {
	if history := m.keys[key]; len(history) > 0 {
		return history[len(history)-1]
	}
	return Entry{Deleted: true}
}

func (m *Memory) add(key string, value []byte, deleted bool) uint64 {
	m.seq++
	history := append(m.keys[key], Entry{key, slices.Clone(value), m.seq, time.Unix(0, int64(m.seq)), deleted})
	m.keys[key] = history[max(0, len(history)-64):]
	return m.seq
}

// Get implements Bucket.
func (m *Memory) Get(ctx context.Context, key string) (Entry, error) {
	if err := m.begin(ctx, "get", key); err != nil {
		return Entry{}, err
	}
	defer m.mu.Unlock()
	if e := m.newest(key); !e.Deleted {
		return e, nil
	}
	return Entry{}, ErrNotFound
}

// Put implements Bucket.
func (m *Memory) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if err := m.begin(ctx, "put", key); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	return m.add(key, value, false), nil
}

// Create implements Bucket.
func (m *Memory) Create(ctx context.Context, key string, value []byte) (uint64, error) {
	return m.Update(ctx, key, value, 0)
}

// Update implements Bucket.
func (m *Memory) Update(ctx context.Context, key string, value []byte, seq uint64) (uint64, error) {
	if err := m.begin(ctx, "update", key); err != nil {
		return 0, err
	}
	defer m.mu.Unlock()
	if e := m.newest(key); e.Seq != seq && !(seq == 0 && e.Deleted) {
		return 0, ErrConflict
	}
	return m.add(key, value, false), nil
}

// Delete implements Bucket.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := m.begin(ctx, "delete", key); err != nil {
		return err
	}
	defer m.mu.Unlock()
	m.add(key, nil, true)
	return nil
}

// DeleteAt implements Bucket.
func (m *Memory) DeleteAt(ctx context.Context, key string, seq uint64) error {
	if err := m.begin(ctx, "delete", key); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if m.newest(key).Seq != seq {
		return ErrConflict
	}
	m.add(key, nil, true)
	return nil
}

// History implements Bucket.
func (m *Memory) History(ctx context.Context, key string) ([]Entry, error) {
	if err := m.begin(ctx, "history", key); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	return slices.Clone(m.keys[key]), nil
}

// List implements Bucket.
func (m *Memory) List(ctx context.Context, pattern string) ([]Entry, error) {
	if err := m.begin(ctx, "list", pattern); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var all []Entry
	for key := range m.keys {
		if e := m.newest(key); !e.Deleted && matches(strings.Split(pattern, "."), strings.Split(key, ".")) {
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return all, nil
}

func matches(pattern, key []string) bool {
	for i, token := range pattern {
		if token == ">" && i < len(key) {
			return true
		}
		if i >= len(key) || token != "*" && token != key[i] {
			return false
		}
	}
	return len(pattern) == len(key)
}
