package configstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

var ctx = context.Background()

// harness is a store over a bucket that outlives it, as NATS does the controller.
type harness struct {
	*Store
	t      *testing.T
	bucket *kv.Memory
	dir    string
	damage []error
}

func newHarness(t *testing.T) *harness {
	h := &harness{t: t, bucket: &kv.Memory{}, dir: t.TempDir()}
	h.restart()
	return h
}

func (h *harness) restart() {
	h.t.Helper()
	if err := h.open(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *harness) open() (err error) {
	h.damage = nil
	h.Store, err = Open(ctx, Options{
		Bucket: h.bucket, DataDir: h.dir, Now: func() time.Time { return time.Unix(1e9, 0) },
		OnDamage: func(err error) { h.damage = append(h.damage, err) },
	})
	return err
}

// rated is a document that can be told from others.
func rated(rate string) *config.Document {
	doc, _, err := config.Parse([]byte(`{"rate_limit":{"per_ip":{"rate":` + rate + `}}}`))
	if err != nil {
		panic(err)
	}
	return doc
}

func (h *harness) publish(rate string, expect uint64) (Published, error) {
	return h.Publish(ctx, Change{Author: "ann", Reason: "because", Expect: expect},
		func(Published) (*config.Document, error) { return rated(rate), nil })
}

func (h *harness) must(rate string) Published {
	h.t.Helper()
	p, err := h.publish(rate, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// expect checks what is in force.
func (h *harness) expect(revision uint64, rate string) {
	h.t.Helper()
	p, err := h.Current(ctx)
	if err != nil || p.Revision != revision || p.Document.Revision != revision || !p.Document.Equal(rated(rate)) {
		h.t.Fatalf("revision %d (%v), want %d with rate %s: %s", p.Revision, err, revision, rate, p.Reason)
	}
}

func (h *harness) copied() string {
	data, _ := os.ReadFile(filepath.Join(h.dir, "config.json"))
	return string(data)
}

func TestPublish(t *testing.T) {
	h := newHarness(t)
	if _, err := h.Current(ctx); !errors.Is(err, ErrNone) {
		t.Fatalf("an empty store: %v", err)
	}
	if list, err := h.History(ctx); err != nil || len(list) != 0 {
		t.Fatalf("%v %v", list, err)
	}
	h.must("1")
	h.expect(1, "1")
	if _, err := h.publish("2", 1); err != nil {
		t.Fatal(err)
	}
	h.expect(2, "2")
	if _, err := h.publish("3", 1); !errors.Is(err, ErrStale) {
		t.Fatalf("a stale writer: %v", err)
	}
	if _, err := h.publish("3", 9); !errors.Is(err, ErrStale) {
		t.Fatalf("a revision that never was: %v", err)
	}
	h.expect(2, "2")
	refusal := errors.New("not like this")
	if _, err := h.Publish(ctx, Change{}, func(Published) (*config.Document, error) { return nil, refusal }); !errors.Is(err, refusal) {
		t.Fatalf("the edit's error: %v", err)
	}
	p, err := h.Publish(ctx, Change{Author: "a\nb" + strings.Repeat("é", 300)}, func(now Published) (*config.Document, error) {
		if now.Revision != 2 || !now.Document.Equal(rated("2")) {
			t.Fatalf("the edit begins with %d", now.Revision)
		}
		return rated("3"), nil
	})
	if err != nil || p.Revision != 3 || len(p.Author) > 256 || !strings.HasPrefix(p.Author, "a bé") {
		t.Fatalf("%+v %v", p, err)
	}
	p, err = h.Restore(ctx, 1, Change{Author: "eve"})
	if err != nil || p.Revision != 4 || p.Reason != "restored revision 1" {
		t.Fatalf("%+v %v", p, err)
	}
	h.expect(4, "1")
	if _, err := h.Restore(ctx, 2, Change{Expect: 1}); !errors.Is(err, ErrStale) {
		t.Fatalf("a stale restore: %v", err)
	}
	if _, err := h.Restore(ctx, 99, Change{}); !errors.Is(err, ErrNoRevision) {
		t.Fatalf("%v", err)
	}
	list, err := h.History(ctx)
	if err != nil || len(list) != 4 || list[0].Revision != 4 || list[3].Revision != 1 || list[3].Author != "ann" || list[3].Reason != "because" {
		t.Fatalf("%+v %v", list, err)
	}
	for i := range 70 {
		h.must(fmt.Sprint(i + 1))
	}
	if list, err = h.History(ctx); err != nil || len(list) != 64 || list[0].Revision != 74 || list[63].Revision != 11 {
		t.Fatalf("%d revisions, %v", len(list), err)
	}
}

func TestTooLarge(t *testing.T) {
	h := newHarness(t)
	doc := config.Default()
	for i := range 9000 {
		doc.Providers[fmt.Sprint("p", i)] = doc.Providers["zerion"]
	}
	if _, err := h.Publish(ctx, Change{}, func(Published) (*config.Document, error) { return doc, nil }); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	if _, err := h.Current(ctx); !errors.Is(err, ErrNone) {
		t.Fatalf("something was published: %v", err)
	}
}

func TestSeed(t *testing.T) {
	h := newHarness(t)
	if seeded, _, err := h.Seed(ctx, rated("1"), Change{Author: "file"}); !seeded || err != nil {
		t.Fatal(err)
	}
	h.expect(1, "1")
	h.restart()
	if seeded, differs, err := h.Seed(ctx, rated("1"), Change{}); seeded || len(differs) != 0 || err != nil {
		t.Fatalf("the same file: %v %v %v", seeded, differs, err)
	}
	seeded, differs, err := h.Seed(ctx, rated("2"), Change{})
	if seeded || err != nil || len(differs) != 2 || differs[1].String() != "rate_limit.per_ip.rate: 1 -> 2" {
		t.Fatalf("another file: %v %v %v", seeded, differs, err)
	}
	h.expect(1, "1")
}

// TestAtLeast: a revision that a node has is never given again.
func TestAtLeast(t *testing.T) {
	h := newHarness(t)
	if _, raised, err := h.Raise(ctx, "x"); raised || !(err == nil || errors.Is(err, ErrNone)) {
		t.Fatalf("nothing to raise: %v %v", raised, err)
	}
	h.must("1")
	if h.AtLeast(1) {
		t.Fatal("its own revision is news")
	}
	if !h.AtLeast(7) || h.AtLeast(7) || h.AtLeast(1<<63) {
		t.Fatal("news once, nonsense never")
	}
	if p, raised, err := h.Raise(ctx, "a node has 7"); !raised || err != nil || p.Revision != 8 {
		t.Fatalf("%+v %v %v", p, raised, err)
	}
	h.expect(8, "1")
	if _, raised, err := h.Raise(ctx, "again"); raised || err != nil {
		t.Fatalf("%v %v", raised, err)
	}
}

// TestReunite: what the bucket and the file copy have lost, and what is in force
// after a start.
func TestReunite(t *testing.T) {
	const garbage = "\x00garbage"
	put := func(h *harness, value string) { _, _ = h.bucket.Put(ctx, wire.ConfigKey, []byte(value)) }
	entry := func(version int, revision uint64, doc string) string {
		return fmt.Sprintf(`{"v":%d,"revision":%d,"time":"2026-01-01T00:00:00Z","author":"x","config":%s}`, version, revision, doc)
	}
	file := func(h *harness, text string) {
		if err := os.WriteFile(filepath.Join(h.dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		harm     func(*harness)
		revision uint64 // 0: nothing
		rate     string
		damage   int
		moved    bool
	}{
		"nothing":                  {func(*harness) {}, 3, "3", 0, false},
		"the bucket is empty":      {func(h *harness) { h.bucket = &kv.Memory{} }, 4, "3", 1, false},
		"the bucket is behind":     {func(h *harness) { h.bucket = &kv.Memory{}; put(h, entry(1, 2, "{}")) }, 4, "3", 1, false},
		"garbage in the bucket":    {func(h *harness) { put(h, garbage) }, 4, "3", 1, false},
		"an empty value":           {func(h *harness) { put(h, "") }, 4, "3", 1, false},
		"a reply of the server":    {func(h *harness) { put(h, `{"stream":"KV_usage","seq":12}`) }, 4, "3", 1, false},
		"a megabyte of garbage":    {func(h *harness) { put(h, strings.Repeat("x", 1<<20)) }, 4, "3", 1, false},
		"revision 0":               {func(h *harness) { put(h, entry(1, 0, "{}")) }, 4, "3", 1, false},
		"a huge revision":          {func(h *harness) { put(h, entry(1, 1<<60, "{}")) }, 4, "3", 1, false},
		"an older revision":        {func(h *harness) { put(h, entry(1, 1, "{}")) }, 4, "3", 1, false},
		"the store of another day": {func(h *harness) { h.bucket = &kv.Memory{}; put(h, entry(1, 1, "{}")); put(h, entry(1, 2, "{}")) }, 4, "3", 1, false},
		"garbage and no copy":      {func(h *harness) { put(h, garbage); _ = os.Remove(filepath.Join(h.dir, "config.json")) }, 4, "3", 1, false},
		"garbage alone": {func(h *harness) {
			h.bucket = &kv.Memory{}
			put(h, garbage)
			_ = os.Remove(filepath.Join(h.dir, "config.json"))
		}, 0, "", 1, false},
		"a setting that we do not know":    {func(h *harness) { put(h, entry(1, 4, `{"later":true}`)) }, 3, "3", 1, false},
		"the copy is lost":                 {func(h *harness) { _ = os.Remove(filepath.Join(h.dir, "config.json")) }, 3, "3", 0, false},
		"the copy is garbage":              {func(h *harness) { file(h, garbage) }, 3, "3", 0, true},
		"the copy is cut":                  {func(h *harness) { file(h, h.copied()[:100]) }, 3, "3", 0, true},
		"the copy is behind":               {func(h *harness) { file(h, entry(1, 2, "{}")) }, 3, "3", 0, false},
		"a copy of what we do not know":    {func(h *harness) { file(h, entry(1, 9, `{"later":true}`)) }, 3, "3", 0, true},
		"the bucket empty, a copy garbage": {func(h *harness) { h.bucket = &kv.Memory{}; file(h, garbage) }, 0, "", 0, true},
		"a write that crashed half-way":    {func(h *harness) { _ = os.WriteFile(filepath.Join(h.dir, "config.json.new"), []byte(garbage), 0o600) }, 3, "3", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			for _, rate := range []string{"1", "2", "3"} {
				h.must(rate)
			}
			c.harm(h)
			h.restart()
			damage := len(h.damage)
			if c.revision == 0 {
				if _, err := h.Current(ctx); !errors.Is(err, ErrNone) {
					t.Fatalf("%v", err)
				}
				if seeded, _, err := h.Seed(ctx, rated("5"), Change{}); !seeded || err != nil {
					t.Fatalf("seeding: %v", err)
				}
			} else {
				h.expect(c.revision, c.rate)
				if name != "a setting that we do not know" && !strings.Contains(h.copied(), fmt.Sprintf(`"revision":%d`, c.revision)) {
					t.Fatalf("the copy: %.200s", h.copied())
				}
			}
			moved, _ := filepath.Glob(filepath.Join(h.dir, "config.json.damaged-*"))
			if damage != c.damage || (len(moved) > 0) != c.moved {
				t.Fatalf("damage told %d times (%v), moved aside %v", damage, h.damage, moved)
			}
			before, _ := h.Current(ctx)
			after := h.must("7")
			if after.Revision <= before.Revision || after.Revision < 4 && c.revision != 0 {
				t.Fatalf("revision %d after %d", after.Revision, before.Revision)
			}
			h.restart()
			h.expect(after.Revision, "7")
		})
	}
}

// TestNewerProgram: what a newer program wrote is not touched.
func TestNewerProgram(t *testing.T) {
	const newer = `{"v":2,"revision":9,"config":{}}`
	h := newHarness(t)
	h.must("1")
	kept := h.copied()
	_, _ = h.bucket.Put(ctx, wire.ConfigKey, []byte(newer))
	if err := h.open(); !errors.Is(err, wire.ErrVersion) {
		t.Fatal(err)
	}
	if e, _ := h.bucket.Get(ctx, wire.ConfigKey); string(e.Value) != newer || h.copied() != kept {
		t.Fatal("touched")
	}
	h = newHarness(t)
	_ = os.WriteFile(filepath.Join(h.dir, "config.json"), []byte(newer), 0o600)
	if err := h.open(); !errors.Is(err, wire.ErrVersion) || h.copied() != newer {
		t.Fatal(err)
	}
}

// TestDamageAtRunTime: the configuration in force stays, and the next publication
// is possible.
func TestDamageAtRunTime(t *testing.T) {
	h := newHarness(t)
	h.must("1")
	_, _ = h.bucket.Put(ctx, wire.ConfigKey, []byte("garbage"))
	h.expect(1, "1")
	h.expect(1, "1")
	if len(h.damage) != 1 {
		t.Fatalf("told %d times", len(h.damage))
	}
	if _, err := h.publish("2", 1); err != nil {
		t.Fatal(err)
	}
	h.expect(2, "2")
	if list, err := h.History(ctx); err != nil || len(list) != 2 {
		t.Fatalf("%+v %v", list, err)
	}
	// A revision that was in force before, put back behind our back.
	history, _ := h.bucket.History(ctx, wire.ConfigKey)
	_, _ = h.bucket.Put(ctx, wire.ConfigKey, history[0].Value)
	h.expect(2, "2")
	if len(h.damage) != 2 {
		t.Fatalf("%v", h.damage)
	}
	h.must("3")
	h.expect(3, "3")
	// More garbage than history.
	for range 64 {
		_, _ = h.bucket.Put(ctx, wire.ConfigKey, []byte("garbage"))
	}
	h.expect(3, "3")
	// A server that comes back empty: an edit begins with what was in force.
	h.bucket = &kv.Memory{}
	h.opts.Bucket = h.bucket
	h.expect(3, "3")
	if err := h.Reunite(ctx); err != nil {
		t.Fatal(err)
	}
	h.expect(4, "3")
	if err := h.Reunite(ctx); err != nil {
		t.Fatal(err)
	}
	h.expect(4, "3")
}

func TestHoldsAndEpoch(t *testing.T) {
	h := newHarness(t)
	until := time.Unix(2e9, 0).UTC()
	if err := h.SetHold(ctx, "zerion", wire.Hold{State: "open", Author: "ann", Reason: "over\nquota", Until: until}); err != nil {
		t.Fatal(err)
	}
	_ = h.SetHold(ctx, "alchemy", wire.Hold{State: "open"})
	if err := h.DropHold(ctx, "alchemy"); err != nil {
		t.Fatal(err)
	}
	if err := h.DropHold(ctx, "never"); err != nil {
		t.Fatal(err)
	}
	if n, err := h.NextEpoch(ctx, 0); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := h.NextEpoch(ctx, 10); n != 11 || err != nil {
		t.Fatal(n, err)
	}
	check := func() {
		t.Helper()
		holds, err := h.Holds(ctx)
		if err != nil || len(holds) != 1 || holds["zerion"].Reason != "over quota" || !holds["zerion"].Until.Equal(until) {
			t.Fatalf("%+v %v", holds, err)
		}
	}
	check()
	h.restart()
	check()
	h.must("1")
	h.bucket = &kv.Memory{} // the store is lost
	h.restart()
	check()
	if n, err := h.NextEpoch(ctx, 0); n != 12 || err != nil {
		t.Fatal(n, err)
	}
	_, _ = h.bucket.Put(ctx, wire.EpochKey, []byte("garbage"))
	if n, err := h.NextEpoch(ctx, 0); n != 13 || err != nil {
		t.Fatal(n, err)
	}
	_, _ = h.bucket.Put(ctx, wire.HoldKey("coingecko"), []byte("garbage"))
	check()
	if len(h.damage) != 3 { // the loss, the epoch, the hold
		t.Fatalf("damage: %v", h.damage)
	}
}

// TestFull: nothing is half published when there is no room, in the bucket or for
// the copy.
func TestFull(t *testing.T) {
	h := newHarness(t)
	h.must("1")
	kept := h.copied()
	full := true
	h.bucket.Fail = func(operation, _ string) error {
		if full && (operation == "update" || operation == "put") {
			return kv.ErrFull
		}
		return nil
	}
	if _, err := h.publish("2", 0); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := h.SetHold(ctx, "zerion", wire.Hold{State: "open"}); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if _, err := h.NextEpoch(ctx, 0); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	h.expect(1, "1")
	files, _ := os.ReadDir(h.dir)
	if h.copied() != kept || len(files) != 1 {
		t.Fatalf("left behind: %v", files)
	}
	full = false
	h.must("2")
	h.expect(2, "2")
}

// TestUnanswered: a write without an answer is looked for.
func TestUnanswered(t *testing.T) {
	h := newHarness(t)
	h.must("1")
	silent := "update"
	h.bucket.Fail = func(operation, _ string) error {
		if operation == silent {
			return kv.ErrUnavailable
		}
		return nil
	}
	if _, err := h.publish("2", 0); !errors.Is(err, ErrUnknown) || !errors.Is(err, kv.ErrUnavailable) {
		t.Fatalf("not made: %v", err)
	}
	h.expect(1, "1")
	silent = ""
	h.opts.Bucket = deaf{h.bucket}
	if p, err := h.publish("3", 0); err != nil || p.Revision != 2 {
		t.Fatalf("made: %+v %v", p, err)
	}
	h.expect(2, "3")
	silent = "history"
	if _, err := h.publish("4", 0); !errors.Is(err, ErrUnknown) {
		t.Fatalf("nobody knows: %v", err)
	}
	h.expect(3, "4")
}

// deaf does what it is told and does not hear the answer.
type deaf struct{ *kv.Memory }

func (d deaf) Update(ctx context.Context, key string, value []byte, seq uint64) (uint64, error) {
	if _, err := d.Memory.Update(ctx, key, value, seq); err != nil {
		return 0, err
	}
	return 0, kv.ErrUnavailable
}

// TestTwoControllers: several stores over one bucket never lose or double an edit.
func TestTwoControllers(t *testing.T) {
	h := newHarness(t)
	h.must("1000")
	const stores, edits = 4, 25
	var wg sync.WaitGroup
	for range stores {
		other := &harness{t: t, bucket: h.bucket, dir: t.TempDir()}
		other.restart()
		wg.Go(func() {
			for range edits {
				_, err := other.Publish(ctx, Change{}, func(now Published) (*config.Document, error) {
					burst := now.Document.RateLimit.PerIP.Burst
					doc, _, err := config.Parse(fmt.Appendf(nil, `{"rate_limit":{"per_ip":{"rate":1000,"burst":%d}}}`, burst+1))
					return doc, err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	p, err := h.Current(ctx)
	if err != nil || p.Revision != 1+stores*edits || p.Document.RateLimit.PerIP.Burst != 1000+stores*edits {
		t.Fatalf("revision %d, burst %d, %v", p.Revision, p.Document.RateLimit.PerIP.Burst, err)
	}
	if len(h.damage) != 0 {
		t.Fatalf("writers at once are taken for damage: %v", h.damage)
	}
	h.Keep(ctx)
	if !strings.Contains(h.copied(), fmt.Sprintf(`"revision":%d`, p.Revision)) {
		t.Fatal("the copy was not brought up to date")
	}
}
