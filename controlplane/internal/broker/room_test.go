package broker

import (
	"errors"
	"testing"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

// TestBrokenStore: a store that can write no more is healed, at the same address,
// without losing what it has acknowledged.
func TestBrokenStore(t *testing.T) {
	s := open(t, Options{Listen: "127.0.0.1:0", Secret: secret})
	ctx := within(t)
	cfg := s.Bucket(wire.ConfigBucket)
	must(cfg.Put(ctx, "k", []byte("v")))
	told := make(chan string, 100)
	cfg.Watch(ctx, ">", func(e kv.Entry) { told <- e.Key + "=" + string(e.Value) }, nil)
	expect(t, told, "k=v")
	addr := s.Addr()
	before := s.server.current()

	(&serverLog{log: s.Broker.log, broken: s.injured}).Errorf("JetStream stream '%s > %s' critical write error: %v", "$G", "KV_cfg", errors.New("no space left on device"))
	if _, err := cfg.Put(ctx, "k", []byte("x")); !errors.Is(err, kv.ErrFull) {
		t.Fatalf("a write to a broken store: %v", err)
	}
	poll(t, "the server is another one and writes work", func() bool {
		_, err := cfg.Put(ctx, "k", []byte("w"))
		return err == nil && s.server.current() != before
	})
	if s.Addr() != addr {
		t.Fatalf("at %s, it was at %s", s.Addr(), addr)
	}
	for what := range told {
		if what == "k=w" {
			break
		}
	}
	history, err := cfg.History(ctx, "k")
	if err != nil || string(history[0].Value) != "v" {
		t.Fatalf("%+v %v", history, err)
	}
	s.node("node-1")
}
