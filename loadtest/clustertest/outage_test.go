package clustertest

import (
	"context"
	"slices"
	"syscall"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/process"
	"apiproxy.internal/shared/status"
)

// outage is how long NATS is away: longer than a node believes in a leader that
// it does not hear.
func outage() time.Duration {
	if long() {
		return 20 * time.Second
	}
	return 3 * time.Second
}

// While NATS is away, whatever the reason, no request fails because of it; when
// it is back all is as before, a change that was made meanwhile included.
func TestOutages(t *testing.T) {
	for _, row := range []struct {
		name       string
		begin, end func(b *bench) error
	}{
		{"stopped", func(b *bench) error { return b.StopController(context.Background()) }, func(b *bench) error { return b.StartController() }},
		{"partitioned", func(b *bench) error { b.Hold(); return nil }, func(b *bench) error { b.Heal(); return nil }},
		{"swallowed", func(b *bench) error { b.Swallow(); return nil }, func(b *bench) error { b.Heal(); return nil }},
		{"cut", func(b *bench) error { b.Cut(); return nil }, func(b *bench) error { b.Heal(); return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			b := start(t, 3, highLimits, relays)
			requests := b.send(100, b.urls("/zerion/test")...)
			b.eventually("traffic", func() bool { return requests.sent.Load() > 20 })
			if err := row.begin(b); err != nil {
				t.Fatal(err)
			}
			b.eventually("the nodes notice", func() bool {
				return !slices.ContainsFunc(b.Nodes, func(n *node.Node) bool { return n.Status().Nodes[0].Mode != status.Holding })
			})
			<-time.After(outage())
			stopped := row.name == "stopped"
			var revision uint64
			if !stopped { // the API works, the nodes do not hear of it
				o := b.change("PUT", "/api/v1/limits/global?wait=100ms", `{"rate":900000}`)
				if revision = o.Revision; o.Applied != 0 {
					t.Errorf("applied while nobody can hear: %+v", o)
				}
			}
			if err := row.end(b); err != nil {
				t.Fatal(err)
			}
			back := time.Now()
			b.converged(3)
			t.Logf("converged %v after the end of the outage", time.Since(back).Round(time.Millisecond))
			if stopped {
				revision = b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`).Revision
			}
			for i, n := range b.Nodes {
				if got := n.Status().Config.Revision; got != revision {
					t.Errorf("node %d runs revision %d, want %d", i, got, revision)
				}
			}
			requests.end(t, 50)
		})
	}
}

// A controller that is frozen and goes on later does harm to nobody, and takes
// nobody for dead.
func TestFrozenController(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 3, highLimits)
	requests := c.send(60, urls(f, "/zerion/test")...)
	c.eventually("traffic", func() bool { return requests.sent.Load() > 20 })
	if err := f.Controller.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.eventually("the nodes notice", func() bool {
		return !slices.ContainsFunc(f.NodeURLs, func(url string) bool { return c.mode(url) != status.Holding })
	})
	<-time.After(max(outage(), 11*time.Second)) // so long that silent nodes would be gone
	if err := f.Controller.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	c.settled(f, 3)
	t.Logf("converged %v after the end of the outage", time.Since(back).Round(time.Millisecond))
	o := c.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`)
	if o.Nodes != 3 || o.Applied != 3 {
		t.Errorf("afterwards: %+v", o)
	}
	if left := c.metric(f.ControlURL, `api_proxy_control_events_total{event="node_left"}`); left != 0 {
		t.Errorf("%v nodes were taken for dead", left)
	}
	requests.end(t, 100)
}

// A node that starts while the controller is away serves what it ran last, at
// once: whether the address of NATS refuses or swallows everything.
func TestStartWithoutController(t *testing.T) {
	b := start(t, 1, highLimits, relays)
	revision := b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`).Revision
	for _, row := range []struct {
		name  string
		begin func()
	}{{"refused", b.Cut}, {"swallowed", b.Hold}} {
		row.begin()
		if err := b.Nodes[0].Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := b.RestartNode(0); err != nil {
			t.Fatal(err)
		}
		b.eventually(row.name+": ready", func() bool { return b.get(b.URL(0)+"/ready").status == 200 })
		if got := b.Nodes[0].Status().Config.Revision; got != revision {
			t.Errorf("%s: revision %d, want %d", row.name, got, revision)
		}
		// It handed its lease back when it stopped, so it knows better than to spend.
		if a := b.get(b.URL(0) + "/zerion/test"); a.status != 429 {
			t.Errorf("%s, without a lease: %d %s", row.name, a.status, a.body)
		}
		b.Heal()
		b.converged(1)
		b.eventually(row.name+": served with the controller", func() bool { return b.get(b.URL(0)+"/zerion/test").status == 200 })
	}
}

// A node that was killed and comes back without a controller goes on with its
// lease.
func TestKilledNodeComesBackAlone(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 1, highLimits)
	requests := c.send(60, urls(f, "/zerion/test")...)
	c.eventually("a lease that can be kept", func() bool { return requests.sent.Load() > 150 })
	requests.end(t, 100)
	f.Relay.Cut()
	f.Nodes[0].Kill()
	if err := f.RestartNode(0); err != nil {
		t.Fatal(err)
	}
	c.eventually("a request is served", func() bool { return c.get(f.NodeURLs[0]+"/zerion/test").status == 200 })
	if got := c.mode(f.NodeURLs[0]); got != status.Holding {
		t.Errorf("mode %s", got)
	}
	f.Relay.Heal()
	c.settled(f, 1)
}

// The store is lost, file copy and all: the controller begins anew, above the
// revision that the nodes have, so that they follow it.
func TestStoreLost(t *testing.T) {
	b := start(t, 2, highLimits, relays)
	var last uint64
	for range 5 {
		last = b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`, "If-Match", b.api("GET", "/api/v1/config", "").header.Get("ETag")).Revision
	}
	if err := b.StopController(context.Background()); err != nil {
		t.Fatal(err)
	}
	b.forget(t)
	if err := b.StartController(); err != nil {
		t.Fatal(err)
	}
	b.converged(2)
	for i, n := range b.Nodes {
		doc := n.Status()
		if doc.Config.Revision <= last || doc.Limits.Global.Rate != 1e6 {
			t.Errorf("node %d: revision %d with a limit of %v, want more than %d and the limit of the file", i, doc.Config.Revision, doc.Limits.Global.Rate, last)
		}
	}
}

// startFleet is start with processes.
func startFleet(t testing.TB, nodes int, yaml string) (*process.Fleet, *client) {
	t.Helper()
	f, err := process.StartFleet(t.TempDir(), token, nodes, uncached(t, yaml))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, func() string { return f.ControlURL })
	t.Cleanup(func() {
		c.close()
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	c.settled(f, nodes)
	return f, c
}

// settled waits until that many live nodes follow the controller at its newest
// revision.
func (c *client) settled(f *process.Fleet, nodes int) {
	c.t.Helper()
	c.eventually("all nodes follow the controller", func() bool {
		doc, n := c.status(f.ControlURL), 0
		for _, node := range doc.Nodes {
			if node.State == status.Live && node.Revision == doc.Config.Revision && node.Mode == status.Leased {
				n++
			}
		}
		return n == nodes
	})
}

func (c *client) status(base string) (doc status.Document) {
	c.t.Helper()
	decode(c.t, c.get(base+"/status?format=json").body, &doc)
	return doc
}

// mode is the mode of a node as it sees itself.
func (c *client) mode(url string) string { return c.status(url).Nodes[0].Mode }

func urls(f *process.Fleet, path string) (all []string) {
	for _, url := range f.NodeURLs {
		all = append(all, url+path)
	}
	return all
}
