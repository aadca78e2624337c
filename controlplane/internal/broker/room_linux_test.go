package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// TestDiskFillsUnderTheStore: a write that fails inside the server, because others
// took the room that was there a moment ago.
func TestDiskFillsUnderTheStore(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount a small disk: %v; in CI nothing is skipped", err)
		}
		t.Skipf("SKIP: cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	s := open(t, Options{DataDir: dir})
	t.Cleanup(s.Close) // before the disk goes
	ctx := within(t)
	cfg := s.Bucket(wire.ConfigBucket)
	must(cfg.Put(ctx, "k", []byte("v")))

	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{64 << 10, 512} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	_ = f.Close()
	store, err := cfg.open() // past the check of the room
	if err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := store.Put(brief, "k", make([]byte, 1<<20)); err == nil {
		t.Fatal("there was room")
	}
	if _, err := cfg.Put(ctx, "k", nil); !errors.Is(err, kv.ErrFull) {
		t.Fatalf("without room: %v", err)
	}
	if e, err := cfg.Get(ctx, "k"); err != nil || string(e.Value) != "v" {
		t.Fatalf("reads go on: %+v %v", e, err)
	}
	must(s.Bucket(wire.BreakerBucket).Put(ctx, "memory", []byte("too")))

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	poll(t, "writes work again", func() bool { _, err := cfg.Put(ctx, "k", []byte("w")); return err == nil })
	history, err := cfg.History(ctx, "k")
	if err != nil || len(history) != 2 || string(history[0].Value) != "v" || string(history[1].Value) != "w" {
		t.Fatalf("%+v %v", history, err)
	}
}
