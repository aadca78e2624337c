package clustertest

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"

	"apiproxy.internal/shared/status"
)

// A node that is killed is gone with proof, its share is free for the others; one
// that is stopped says goodbye; one that is started again is the same node.
func TestMembers(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 3, highLimits)
	events := c.listen()
	incarnation := func(id string) string { return c.node(id).Incarnation }
	before := incarnation("node-1")

	f.Nodes[0].Kill()
	e := events.wait(t, "node_left", "node-1")
	if e.Reason != "connection refused" || e.Incarnation != before {
		t.Errorf("killed: %+v", e)
	}
	if got := c.node("node-1"); got.State != status.Gone || got.Left {
		t.Errorf("killed: %+v", got)
	}
	c.eventually("its share is free", func() bool {
		var list struct {
			Nodes []struct {
				ID     string
				Shares map[string]struct{ Rate float64 }
			}
		}
		decode(t, c.api("GET", "/api/v1/nodes", "").body, &list)
		for _, n := range list.Nodes {
			if n.ID == "node-1" {
				return n.Shares["zerion"].Rate == 0
			}
		}
		return true
	})
	if err := f.RestartNode(0); err != nil {
		t.Fatal(err)
	}
	events.wait(t, "node_joined", "node-1")
	c.settled(f, 3)
	if incarnation("node-1") == before {
		t.Error("the same incarnation after a new start")
	}

	// Killed and back before anybody has noticed.
	before = incarnation("node-2")
	f.Nodes[1].Kill()
	if err := f.RestartNode(1); err != nil {
		t.Fatal(err)
	}
	e = events.wait(t, "node_left", "node-2")
	if e.Incarnation != before {
		t.Errorf("replaced: %+v", e)
	}
	events.wait(t, "node_joined", "node-2")
	c.settled(f, 3)

	if err := f.Nodes[2].Stop(); err != nil {
		t.Error(err)
	}
	e = events.wait(t, "node_left", "node-3")
	if e.Reason != "left" {
		t.Errorf("stopped: %+v", e)
	}
	if got := c.node("node-3"); got.State != status.Gone || !got.Left {
		t.Errorf("stopped: %+v", got)
	}
	for state, want := range map[string]float64{"gone": 0, "left": 1} {
		if n := c.metric(f.ControlURL, `api_proxy_control_nodes{state="`+state+`"}`); n != want {
			t.Errorf("%v nodes are %s, want %v", n, state, want)
		}
	}
	if a, err := c.try("DELETE", c.control()+"/api/v1/nodes/node-2", "", "Authorization", "Bearer "+token); err != nil || a.status != 409 {
		t.Errorf("the death of a live node is confirmed: %d %s %v", a.status, a.body, err)
	}
	if a, err := c.try("DELETE", c.control()+"/api/v1/nodes/nobody", "", "Authorization", "Bearer "+token); err != nil || a.status != 404 {
		t.Errorf("the death of a node that never was: %d %s %v", a.status, a.body, err)
	}
}

// A second process with the id of a node that lives is refused and ends with a
// clear word; the first goes on.
func TestDuplicateID(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 1, highLimits)
	before := c.node("node-1").Incarnation
	second, _, err := f.Node(0, "--data-dir", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	code, err := second.Wait()
	if err != nil {
		second.Kill()
		t.Fatal(err)
	}
	if code != 1 || !strings.Contains(second.Output(), "the controller refused this node: another process uses the node id node-1") {
		t.Errorf("exit code %d:\n%s", code, second.Output())
	}
	c.settled(f, 1)
	if got := c.node("node-1").Incarnation; got != before {
		t.Error("the first process was replaced")
	}
	if a := c.get(f.NodeURLs[0] + "/zerion/test"); a.status != 200 {
		t.Errorf("the first process answers %d", a.status)
	}
	if n := c.metric(f.ControlURL, `api_proxy_control_reports_refused_total{reason="duplicate_id"}`); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
}

// A node that drains says so, serves what it has begun, and then is gone.
func TestDraining(t *testing.T) {
	t.Parallel()
	f, c := startFleet(t, 0, highLimits)
	p, _, err := f.Node(0, "--drain-delay", "1h")
	if err != nil {
		t.Fatal(err)
	}
	f.Nodes = append(f.Nodes, p)
	c.settled(f, 1)
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.eventually("the node drains", func() bool { return c.node("node-1").State == status.Draining })
	if err := p.Stop(); err != nil { // a second signal: at once
		t.Error(err)
	}
	c.eventually("the node is gone", func() bool { return c.node("node-1").State == status.Gone })
}

// node is a node as the controller sees it.
func (c *client) node(id string) (found status.Node) {
	for _, n := range c.status(c.control()).Nodes {
		if n.ID == id {
			found = n
		}
	}
	return found
}

// event is one of the stream of events.
type event struct {
	name                      string
	Node, Incarnation, Reason string
}

// stream is what was heard of it, and not yet waited for.
type stream struct {
	c    *client
	mu   sync.Mutex
	past []event
}

// listen hears the controller's events until the end of the test.
func (c *client) listen() *stream {
	c.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", c.control()+"/api/v1/events", nil)
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := (&http.Client{Transport: c.transport}).Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	s := &stream{c: c}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = resp.Body.Close() }()
		name := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			if rest, ok := strings.CutPrefix(lines.Text(), "event:"); ok {
				name = strings.TrimSpace(rest)
			}
			if rest, ok := strings.CutPrefix(lines.Text(), "data:"); ok {
				e := event{name: name}
				if json.Unmarshal([]byte(rest), &e) == nil {
					s.mu.Lock()
					s.past = append(s.past, e)
					s.mu.Unlock()
				}
			}
		}
	}()
	c.t.Cleanup(func() { cancel(); <-done })
	return s
}

// wait waits for an event of a node and forgets it and those before.
func (s *stream) wait(t testing.TB, name, node string) (found event) {
	t.Helper()
	s.c.eventually(name+" of "+node, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, e := range s.past {
			if e.name == name && e.Node == node {
				found, s.past = e, s.past[i+1:]
				return true
			}
		}
		return false
	})
	return found
}
