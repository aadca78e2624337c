package clustertest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// refusals is how often NATS has refused something.
func (b *bench) refusals(reason string) float64 {
	return b.metric(b.ControlURL(), `api_proxy_control_nats_refused_total{reason="`+reason+`"}`)
}

// A node with a wrong secret stays outside, is counted, and says why it is there.
func TestWrongSecret(t *testing.T) {
	b := start(t, 1, highLimits, func(o *cluster.Options) {
		o.Node = func(i int, o *node.Options) {
			if o.DrainDelay = 0; i == 1 {
				o.NATSSecret = "wrong"
			}
		}
	})
	if err := b.AddNode(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the refusal is counted", func() bool { return b.refusals("login") > 0 })
	if got := len(b.Controller.Status().Nodes); got != 1 {
		t.Errorf("%d nodes in the cluster", got)
	}
	if a := b.get(b.URL(1) + "/ready"); a.status != 503 {
		t.Errorf("/ready of a node without a configuration: %d", a.status)
	}
	b.eventually("the node's log tells", func() bool {
		return strings.Contains(b.log("node-2", "error.log"), "check --nats-secret-file")
	})
	if log := b.log("node-2", "error.log") + b.log("controller", "control.log"); strings.Contains(log, b.Secret()) {
		t.Error("the secret is in a log")
	}
}

// Whoever has a node's credentials can report as that node, and nothing else.
func TestNodeMayNotWrite(t *testing.T) {
	b := start(t, 1, highLimits)
	refused := make(chan error, 100)
	nc, err := nats.Connect("nats://"+b.Controller.NATSAddr(), nats.UserInfo("stranger", b.Secret()), nats.CustomInboxPrefix(wire.InboxPrefix("stranger")),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	before := b.refusals("permission")
	garbage := []byte(`{"v":1,"revision":99,"config":{}}`)
	subjects := []string{"$KV.cfg.current", "$KV.cfg.hold.zerion", "$KV.brk.zerion", "$KV.members.node-1", "$KV.ctl.leader",
		wire.ReportSubject("node-1"), wire.AnswerSubject("node-1"), "$JS.API.STREAM.DELETE.KV_cfg", "$JS.API.STREAM.PURGE.KV_cfg"}
	for _, subject := range subjects {
		if err := nc.Publish(subject, garbage); err != nil {
			t.Fatal(err)
		}
	}
	hear := []string{wire.AnswerSubject("node-1"), wire.ReportSubjects, "_INBOX.node-1.>", ">"}
	for _, subject := range hear {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for i := range len(subjects) + len(hear) {
		select {
		case err := <-refused:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("refusal %d: %v", i, err)
			}
		case <-time.After(patience):
			t.Fatalf("%d refusals, want %d", i, len(subjects)+len(hear))
		}
	}
	b.eventually("all are counted", func() bool { return b.refusals("permission") == before+float64(len(subjects)+len(hear)) })

	// Its own report with another's name in it is not believed.
	r := wire.Report{Head: wire.Now(), Node: "node-1", Incarnation: "x", Nonce: 1, State: status.Live}
	for reason, data := range map[string][]byte{"foreign": wire.Encode(r), "unreadable": []byte("garbage")} {
		if err := nc.Publish(wire.ReportSubject("stranger"), data); err != nil {
			t.Fatal(err)
		}
		b.eventually(reason+" is counted", func() bool {
			return b.metric(b.ControlURL(), `api_proxy_control_reports_refused_total{reason="`+reason+`"}`) == 1
		})
	}
	b.converged(1)
	if got := b.Controller.Status().Config.Revision; got != 1 {
		t.Errorf("revision %d", got)
	}
}

// A document that one node cannot use stays outside there: the old one goes on,
// the operator who waits is told why, a metric is raised.
func TestRefusedAtANode(t *testing.T) {
	b := start(t, 2, highLimits, func(o *cluster.Options) {
		o.Node = func(i int, o *node.Options) { o.DrainDelay, o.DebugAdmittedAt = 0, i == 1 }
	})
	events := b.listen()
	o := b.change("PATCH", "/api/v1/config?wait=3s", `{"providers":{"zerion":{"upstream":"https://api.zerion.io"}}}`, "X-Change-Reason", "go live")
	if o.Nodes != 2 || o.Applied != 1 || len(o.Pending) != 1 || o.Pending[0].ID != "node-2" || !strings.Contains(o.Pending[0].Reason, "--debug-admitted-at") {
		t.Fatalf("%+v", o)
	}
	events.wait(t, "config_applied", "node-2")
	if got := b.metric(b.URL(1), "api_proxy_config_refused_total"); got != 1 {
		t.Errorf("%v refusals are counted at the node", got)
	}
	if got := b.metric(b.ControlURL(), "api_proxy_control_config_pending_nodes"); got != 1 {
		t.Errorf("%v nodes are behind, want 1", got)
	}
	if got := b.Nodes[1].Status().Config.Revision; got != o.Revision-1 {
		t.Errorf("the node runs revision %d, want %d", got, o.Revision-1)
	}
	if a := b.get(b.URL(1) + "/zerion/test"); a.status != 200 {
		t.Errorf("the old configuration answers %d", a.status)
	}
	if o = b.change("PATCH", "/api/v1/config?wait=30s", `{"providers":{"zerion":{"upstream":"`+b.ProviderURL()+`/zerion"}}}`); o.Applied != 2 {
		t.Errorf("mended: %+v", o)
	}
	b.converged(2)
}

// Nonsense in the bucket of the configuration is ignored by all, and the next
// change goes on from the last good revision.
func TestGarbageInTheStore(t *testing.T) {
	s := startNATS(t, 2)
	b := start(t, 2, highLimits, s.use)
	nc, err := nats.Connect(s.url, nats.UserInfo("controller", s.secret))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cfg, err := js.KeyValue(ctx, wire.ConfigBucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"garbage", `{"v":1}`, `{"v":1,"revision":7,"config":{"proxi":{}}}`, `{"v":1,"revision":8,"config":"x"}`} {
		if _, err := cfg.PutString(ctx, wire.ConfigKey, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := cfg.Delete(ctx, wire.ConfigKey); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.PutString(ctx, wire.ConfigKey, "garbage"); err != nil {
		t.Fatal(err)
	}
	b.eventually("a node has seen the nonsense", func() bool {
		return strings.Contains(b.log("node-1", "error.log"), "the published configuration cannot be read")
	})
	for i, n := range b.Nodes {
		if got := n.Status().Config.Revision; got != 1 {
			t.Errorf("node %d runs revision %d", i, got)
		}
		if a := b.get(b.URL(i) + "/zerion/test"); a.status != 200 {
			t.Errorf("node %d answers %d", i, a.status)
		}
	}
	if o := b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`); o.Applied != 2 {
		t.Errorf("the next change: %+v", o)
	}
}
