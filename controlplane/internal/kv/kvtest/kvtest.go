// Package kvtest is what every kv.Bucket must do, as tests.
package kvtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/kv"
)

// Bucket tries everything but the length of the history, on a bucket that is
// empty before and after.
func Bucket(t *testing.T, b kv.Bucket) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := b.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("a key that never was: %v", err)
	}
	first, err := b.Create(ctx, "k", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Create(ctx, "k", []byte("x")); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("created twice: %v", err)
	}
	second, err := b.Update(ctx, "k", []byte("2"), first)
	if err != nil || second <= first {
		t.Fatalf("updated: %d, %v", second, err)
	}
	if _, err := b.Update(ctx, "k", []byte("x"), first); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("updated by a stale writer: %v", err)
	}
	if e, err := b.Get(ctx, "k"); err != nil || string(e.Value) != "2" || e.Key != "k" || e.Seq != second || e.Time.IsZero() || e.Deleted {
		t.Fatalf("read: %+v, %v", e, err)
	}
	third, err := b.Put(ctx, "k", []byte("3"))
	if err != nil || third <= second {
		t.Fatalf("put: %d, %v", third, err)
	}
	if err := b.DeleteAt(ctx, "k", second); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("deleted by a stale writer: %v", err)
	}
	if err := b.DeleteAt(ctx, "k", third); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(ctx, "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("a deleted key: %v", err)
	}
	fourth, err := b.Update(ctx, "k", []byte("4"), 0)
	if err != nil || fourth <= third {
		t.Fatalf("created after deletion: %d, %v", fourth, err)
	}
	if _, err := b.Put(ctx, "p.x", []byte("5")); err != nil {
		t.Fatal(err)
	}
	for pattern, want := range map[string]int{">": 2, "p.*": 1, "p.>": 1, "*": 1, "k": 1, "p": 0, "p.x.*": 0} {
		if list, err := b.List(ctx, pattern); err != nil || len(list) != want {
			t.Fatalf("list %s: %+v, %v; want %d", pattern, list, err, want)
		}
	}
	for _, key := range []string{"k", "p.x", "never"} {
		if err := b.Delete(ctx, key); err != nil {
			t.Fatalf("delete %s: %v", key, err)
		}
	}
	if list, err := b.List(ctx, ">"); err != nil || len(list) != 0 {
		t.Fatalf("after all is deleted: %+v, %v", list, err)
	}
	over, end := context.WithCancel(ctx)
	end()
	if _, err := b.Get(over, "k"); !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("a cancelled read: %v", err)
	}
}

// History checks that the newest 64 values of a key are kept.
func History(t *testing.T, b kv.Bucket) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i := range 70 {
		if _, err := b.Put(ctx, "h", []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	history, err := b.History(ctx, "h")
	if err != nil || len(history) != 64 || history[0].Value[0] != 6 || history[63].Value[0] != 69 {
		t.Fatalf("%d entries, %v", len(history), err)
	}
	if err := b.Delete(ctx, "h"); err != nil {
		t.Fatal(err)
	}
	if history, err = b.History(ctx, "h"); err != nil || len(history) != 64 || !history[63].Deleted {
		t.Fatalf("after deletion %d entries, %v", len(history), err)
	}
	if history, err = b.History(ctx, "nowhere"); err != nil || len(history) != 0 {
		t.Fatalf("of a key that never was: %+v, %v", history, err)
	}
}
