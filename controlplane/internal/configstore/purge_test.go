package configstore

import (
	"errors"
	"fmt"
	"testing"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// A list begins with a purge of everything and outlives the store's owner.
func TestPurges(t *testing.T) {
	h := newHarness(t)
	first, err := h.Purges(ctx)
	if err != nil || len(first) != 1 || first[0].ID == "" || first[0].Provider+first[0].Prefix+first[0].Exact != "" || first[0].Author != "controller" {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := h.Purges(ctx); err != nil || len(again) != 1 || again[0] != first[0] {
		t.Errorf("read again: %+v, %v", again, err)
	}
	list, err := h.AddPurge(ctx, wire.Purge{Provider: "zerion", Prefix: "/zerion/v1/", Author: "ann\n", Reason: "wrong prices"})
	if err != nil || len(list) != 2 || list[0] != first[0] || list[1].ID == first[0].ID || list[1].Prefix != "/zerion/v1/" || list[1].Author != "ann " || list[1].Time.IsZero() {
		t.Fatalf("%+v, %v", list, err)
	}
	h.restart()
	if got, err := h.Purges(ctx); err != nil || len(got) != 2 || got[1] != list[1] {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
	for i := range wire.MaxPurges + 5 {
		if list, err = h.AddPurge(ctx, wire.Purge{Exact: fmt.Sprint("/zerion/", i)}); err != nil {
			t.Fatal(err)
		}
	}
	ids := map[string]bool{}
	for _, p := range list {
		ids[p.ID] = true
	}
	if len(list) != wire.MaxPurges || len(ids) != len(list) || list[0].Exact != "/zerion/5" || list[len(list)-1].Exact != fmt.Sprint("/zerion/", wire.MaxPurges+4) {
		t.Errorf("%d purges with %d ids: %+v", len(list), len(ids), list)
	}
}

// A list that is lost or damaged is begun anew, under ids that no node knows: so
// all caches are cleared. One of a newer program is left alone.
func TestPurgesLost(t *testing.T) {
	h := newHarness(t)
	old, err := h.Purges(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for name, lose := range map[string]func(){
		"deleted": func() { _ = h.bucket.Delete(ctx, wire.PurgesKey) },
		"garbage": func() { _, _ = h.bucket.Put(ctx, wire.PurgesKey, []byte(`{"stream":"KV_usage","seq":12}`)) },
		"torn":    func() { _, _ = h.bucket.Put(ctx, wire.PurgesKey, []byte(`{"v":1,"last":[{"id":"`+old[0].ID+`"},7]}`)) },
		"empty":   func() { _, _ = h.bucket.Put(ctx, wire.PurgesKey, []byte(`{"v":1}`)) },
	} {
		lose()
		fresh, err := h.Purges(ctx)
		if err != nil || len(fresh) != 1 || fresh[0].ID == old[0].ID {
			t.Errorf("%s: %+v, %v", name, fresh, err)
		}
		lose()
		fresh, err = h.AddPurge(ctx, wire.Purge{Provider: "zerion"})
		if err != nil || len(fresh) != 1 || fresh[0].ID == old[0].ID || fresh[0].Provider != "zerion" {
			t.Errorf("%s, and a purge comes: %+v, %v", name, fresh, err)
		}
	}
	_, _ = h.bucket.Put(ctx, wire.PurgesKey, []byte(`{"v":2}`))
	if _, err := h.AddPurge(ctx, wire.Purge{}); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("of a newer program: %v", err)
	}
}

// Two controllers that purge at the same moment lose neither's.
func TestPurgesOfTwoControllers(t *testing.T) {
	h := newHarness(t)
	other := newHarness(t)
	other.bucket = h.bucket
	other.restart()
	done := make(chan error)
	const each = 10
	for _, s := range []*Store{h.Store, other.Store} {
		go func() {
			var err error
			for range each {
				_, more := s.AddPurge(ctx, wire.Purge{Provider: "zerion"})
				err = errors.Join(err, more)
			}
			done <- err
		}()
	}
	if err := errors.Join(<-done, <-done); err != nil {
		t.Fatal(err)
	}
	if list, err := h.Purges(ctx); err != nil || len(list) != 2*each {
		t.Errorf("%d purges, %v", len(list), err)
	}
}

// A purge that could not be stored is an error that tells whether it may have been.
func TestPurgeNotStored(t *testing.T) {
	h := newHarness(t)
	for _, fail := range []error{kv.ErrFull, kv.ErrUnavailable} {
		h.bucket.Fail = func(operation, _ string) error {
			if operation == "update" {
				return fail
			}
			return nil
		}
		_, err := h.AddPurge(ctx, wire.Purge{})
		if !errors.Is(err, fail) || errors.Is(err, ErrUnknown) != (fail == kv.ErrUnavailable) {
			t.Errorf("%v: %v", fail, err)
		}
	}
}
