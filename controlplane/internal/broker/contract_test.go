package broker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/controlplane/internal/kv/kvtest"
	"apiproxy.internal/shared/wire"
)

// contract is what every server must do, the own one and an external one.
func contract(t *testing.T, s *stage, counted bool) {
	t.Run("buckets", func(t *testing.T) { testBuckets(t, s) })
	t.Run("watch", func(t *testing.T) { testWatch(t, s) })
	t.Run("leader", func(t *testing.T) { testLock(t, s) })
	t.Run("what a node may", func(t *testing.T) { testAllowed(t, s) })
	t.Run("what a node must not", func(t *testing.T) { testForbidden(t, s, counted) })
}

func TestEmbedded(t *testing.T) {
	contract(t, open(t, Options{Listen: "127.0.0.1:0", Secret: secret}), true)
}

func testBuckets(t *testing.T, s *stage) {
	for _, name := range []string{wire.ConfigBucket, wire.MembersBucket, wire.ControlBucket, wire.BreakerBucket, wire.UsageBucket} {
		t.Run(name, func(t *testing.T) { kvtest.Bucket(t, s.Bucket(name)) })
	}
	cfg := s.Bucket(wire.ConfigBucket)
	kvtest.History(t, cfg)
	if _, err := cfg.Put(within(t), "big", make([]byte, wire.MaxMessage)); err != nil {
		t.Fatalf("as much as a message may have: %v", err)
	}
	if _, err := cfg.Put(within(t), "big", make([]byte, wire.MaxMessage+1)); err == nil {
		t.Fatal("more than a message may have was stored")
	}
	_ = cfg.Delete(within(t), "big")
	if _, err := s.Bucket("other").Get(within(t), "k"); !errors.Is(err, kv.ErrNotFound) {
		t.Fatalf("an unknown bucket: %v", err)
	}
}

func testWatch(t *testing.T, s *stage) {
	ctx, cancel := context.WithCancel(within(t))
	b := s.Bucket(wire.BreakerBucket)
	must(b.Put(ctx, "w.a", []byte("1")))
	events := make(chan string, 100)
	b.Watch(ctx, "w.*", func(e kv.Entry) {
		if e.Deleted {
			events <- e.Key + " deleted"
			return
		}
		events <- e.Key + "=" + string(e.Value)
	}, func() { events <- "synced" })
	expect(t, events, "w.a=1", "synced")
	must(b.Put(ctx, "w.b", []byte("2")))
	_ = b.Delete(ctx, "w.a")
	expect(t, events, "w.b=2", "w.a deleted")
	cancel()
	_ = b.Delete(within(t), "w.b")
}

func expect(t *testing.T, events <-chan string, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-events:
			if got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(deadline):
			t.Fatalf("no %q", w)
		}
	}
}

func testLock(t *testing.T, s *stage) {
	ctx := within(t)
	one, two := s.Lock(wire.ControlBucket, wire.LeaderKey), s.Lock(wire.ControlBucket, wire.LeaderKey)
	if err := one.Acquire(ctx, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := two.Acquire(ctx, []byte("two")); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("two leaders: %v", err)
	}
	if err := two.Renew(ctx, []byte("two")); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("renewed what it does not hold: %v", err)
	}
	if err := one.Renew(ctx, []byte("one again")); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Bucket(wire.ControlBucket).Get(ctx, wire.LeaderKey); err != nil || string(e.Value) != "one again" {
		t.Fatalf("%+v %v", e, err)
	}
	if err := one.Release(ctx); err != nil {
		t.Fatal(err)
	}
	if err := two.Acquire(ctx, []byte("two")); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	if err := one.Renew(ctx, []byte("one")); !errors.Is(err, kv.ErrConflict) {
		t.Fatalf("renewed what is another's: %v", err)
	}
	if err := two.Release(ctx); err != nil {
		t.Fatal(err)
	}
}

func testAllowed(t *testing.T, s *stage) {
	ctx := within(t)
	reports := make(chan string, 10)
	if err := s.OnReport(func(node string, data []byte) { reports <- node + ": " + string(data) }); err != nil {
		t.Fatal(err)
	}
	must(s.Bucket(wire.ConfigBucket).Put(ctx, "seen", []byte("1")))
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	n := s.node("node-1")
	for _, name := range readBuckets {
		store, err := n.js.KeyValue(ctx, name)
		if err != nil {
			t.Fatalf("open %s: %v", name, err)
		}
		w, err := store.WatchAll(ctx)
		if err != nil {
			t.Fatalf("watch %s: %v", name, err)
		}
		seen := false
		for e := range w.Updates() {
			if e == nil {
				break
			}
			seen = seen || e.Key() == "seen" && string(e.Value()) == "1"
		}
		if seen != (name == wire.ConfigBucket) {
			t.Fatalf("%s: the watch shows the key: %v", name, seen)
		}
		if name == wire.ConfigBucket {
			if e, err := store.Get(ctx, "seen"); err != nil || string(e.Value()) != "1" {
				t.Fatalf("get: %v %v", e, err)
			}
			must(s.Bucket(name).Put(ctx, "seen", []byte("2")))
			select {
			case e := <-w.Updates():
				if string(e.Value()) != "2" {
					t.Fatalf("watched %v", e)
				}
			case <-ctx.Done():
				t.Fatal("the change is not seen")
			}
		}
		_ = w.Stop()
	}
	answers, err := n.SubscribeSync(wire.AnswerSubject("node-1"))
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Publish(wire.ReportSubject("node-1"), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	_ = n.FlushWithContext(ctx)
	expect(t, reports, "node-1: hello")
	poll(t, "the report is stored", func() bool { // after it was passed on
		e, err := s.Bucket(wire.UsageBucket).Get(ctx, "node-1")
		return err == nil && string(e.Value) == "hello"
	})
	if err := s.Answer("node-1", []byte("granted")); err != nil {
		t.Fatal(err)
	}
	if m, err := answers.NextMsgWithContext(ctx); err != nil || string(m.Data) != "granted" {
		t.Fatalf("%v %v", m, err)
	}
	if s.Answer("a.b", nil) == nil {
		t.Fatal("an answer to what is not a node id")
	}
	if told := n.told(); len(told) > 0 {
		t.Fatalf("refused: %v", told)
	}
}

// testForbidden tries everything that a node must not do, and looks for it in the
// server's refusals, in the node's, and in the buckets.
func testForbidden(t *testing.T, s *stage, counted bool) {
	ctx := within(t)
	if _, err := dial(s.url, "node-2", "wrong"); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("a wrong secret: %v", err)
	}
	if _, err := dial(s.url, "node.2", secret); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("an id that is none: %v", err)
	}
	if _, err := nats.Connect(s.url); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("no log-in at all: %v", err)
	}
	if _, err := dial(s.url, controllerUser, secret); !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("a node that is the controller: %v", err)
	}
	if counted {
		want := []Refused{{"node-2", RefusedLogin, ""}, {"", RefusedLogin, ""}}
		poll(t, "log-ins are counted", func() bool {
			got := s.refusals()
			return slices.Contains(got, want[0]) && slices.Contains(got, want[1])
		})
	}

	must(s.Bucket(wire.ConfigBucket).Put(ctx, wire.ConfigKey, []byte("good")))
	n := s.node("node-2")
	publish := []string{
		"$KV.cfg." + wire.ConfigKey, "$KV.cfg.hold.zerion", "$KV.brk.zerion", "$KV.members.node-2", "$KV.members.node-1", "$KV.ctl.leader",
		wire.ReportSubject("node-1"), wire.ReportSubject("node-22"), "$KV.usage.node-2.x", wire.AnswerSubject("node-2"), wire.AnswerSubject("node-1"),
		"_INBOX.node-1.x", "_INBOX.x",
		"$JS.API.STREAM.DELETE.KV_cfg", "$JS.API.STREAM.PURGE.KV_cfg", "$JS.API.STREAM.CREATE.x", "$JS.API.STREAM.UPDATE.KV_cfg", "$JS.API.STREAM.MSG.DELETE.KV_cfg",
		"$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.KV_usage", "$JS.API.DIRECT.GET.KV_usage.$KV.usage.node-1", "$JS.API.CONSUMER.CREATE.KV_usage.c",
		"$JS.API.CONSUMER.DURABLE.CREATE.KV_cfg.c", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.STREAM.RESTORE.KV_cfg", "$JS.API.STREAM.SNAPSHOT.KV_cfg",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.$G.CONNZ", "hello",
	}
	subscribe := []string{
		"_INBOX.>", "_INBOX.node-1.>", "_INBOX.*.>", ">", "*", wire.AnswerSubject("node-1"), "q.grant.*", "q.>", "$KV.>", wire.ReportSubjects, "$KV.cfg.>", "$SYS.>", "$JS.>", "$JS.EVENT.>",
	}
	for _, subject := range publish {
		_ = n.PublishRequest(subject, wire.InboxPrefix("node-2")+".reply", []byte("{}"))
	}
	for _, subject := range subscribe {
		_, _ = n.SubscribeSync(subject)
		_, _ = n.QueueSubscribeSync(subject, "queue")
	}
	_ = n.FlushWithContext(ctx)
	check := func(kind, subject string) {
		t.Helper()
		poll(t, "the node is told that it must not "+kind+" "+subject, func() bool {
			return slices.ContainsFunc(n.told(), func(err error) bool {
				return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(strings.ToLower(err.Error()), strings.ToLower(`"`+subject+`"`))
			})
		})
		if counted {
			poll(t, kind+" "+subject+" is counted", func() bool { return slices.Contains(s.refusals(), Refused{"node-2", kind, subject}) })
		}
	}
	for _, subject := range publish {
		check(RefusedPublish, subject)
	}
	for _, subject := range subscribe {
		check(RefusedSubscribe, subject)
	}
	if e, err := s.Bucket(wire.ConfigBucket).Get(ctx, wire.ConfigKey); err != nil || string(e.Value) != "good" {
		t.Fatalf("the configuration is now %+v %v", e, err)
	}
	if list, err := s.Bucket(wire.BreakerBucket).List(ctx, ">"); err != nil || len(list) != 0 {
		t.Fatalf("breakers: %+v %v", list, err)
	}
	// The way that a program would go.
	store, err := n.js.KeyValue(ctx, wire.ConfigBucket)
	if err != nil {
		t.Fatal(err)
	}
	brief, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := store.Put(brief, wire.ConfigKey, []byte("bad")); err == nil {
		t.Fatal("a node has written the configuration")
	}
	_ = s.Bucket(wire.ConfigBucket).Delete(ctx, wire.ConfigKey)
	if err := n.js.DeleteStream(brief, "KV_cfg"); err == nil || errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Fatalf("deleting a stream: %v", err)
	}
}
