//go:build linux

package configstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"apiproxy.internal/controlplane/internal/configstore"
	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/controlplane/linear"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// TestFullDisk: on a disk without room changes are refused and everything else
// goes on; with room again they are accepted.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("cannot mount a small disk: %v; in CI nothing is skipped", err)
		}
		t.Skipf("SKIP: cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
	ctx := context.Background()
	store, b, err := open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	put := func(n int64) answer { return do(ctx, store, call{linear.Input{Kind: linear.Put, A: n, B: n}, "a"}) }
	expect := func(n int64) {
		t.Helper()
		if a := do(ctx, store, call{Input: linear.Input{Kind: linear.Get}}); a.Error != "" || a.State.A != n {
			t.Fatalf("want %d: %+v", n, a)
		}
	}
	last := int64(1)
	if a := put(last); a.Error != "" {
		t.Fatal(a.Error)
	}
	ballast := filepath.Join(dir, "ballast")
	fill(t, ballast)
	for range 3 {
		_, err := store.Publish(ctx, configstore.Change{}, func(now configstore.Published) (*config.Document, error) { return now.Document, nil })
		if !errors.Is(err, configstore.ErrFull) {
			t.Fatalf("without room: %v", err)
		}
		expect(last)
	}
	// What is in memory does not care.
	if _, err := b.Bucket(wire.BreakerBucket).Put(ctx, "zerion", []byte("x")); err != nil {
		t.Fatal(err)
	}
	// The store itself, without the copy in front of it.
	if _, err := b.Bucket(wire.ConfigBucket).Put(ctx, "k", make([]byte, 100)); !errors.Is(err, kv.ErrFull) {
		t.Fatalf("the bucket: %v", err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.new")); len(files) != 0 {
		t.Fatalf("left behind: %v", files)
	}
	expect(last)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	last = 2
	if a := put(last); a.Error != "" {
		t.Fatalf("with room again: %s", a.Error)
	}
	expect(last)
	b.Close()
	if store, b, err = open(ctx, dir); err != nil {
		t.Fatal(err)
	}
	expect(last)
}

// fill writes until there is no room.
func fill(t *testing.T, path string) {
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 512} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
	}
}
