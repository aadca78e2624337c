package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"apiproxy.internal/controlplane/controller"
	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// StartController starts the controller, or starts it again after
// StopController: with the same data, and at the same addresses or, with relays,
// at new ones that the relays lead to.
func (c *Cluster) StartController() error {
	o := &c.options
	co := controller.DefaultOptions()
	co.Listen, co.NATSListen = o.ControlListen, "127.0.0.1:0"
	co.NATSSecret, co.AdminToken = c.secret, o.Token
	co.DataDir, co.LogDir = filepath.Join(o.Dir, "controller"), o.LogDir
	if o.LogDir != "-" {
		co.LogDir = filepath.Join(o.LogDir, "controller")
	}
	co.Log = o.Log
	if o.Version != "" {
		co.Version = o.Version
	}
	co.Source = func() (*config.Document, []config.Problem, error) {
		doc, warnings, _, err := o.source(c.Provider)()
		return doc, warnings, err
	}
	if o.Control != nil {
		o.Control(&co)
	}
	if old := c.Controller; old != nil && !o.Relays { // the nodes know it by its addresses
		co.Listen, co.NATSListen = old.Addr().String(), old.NATSAddr()
	}
	started, err := controller.New(co)
	if err != nil {
		return err
	}
	if err := started.Start(); err != nil {
		return errors.Join(err, started.Stop(context.Background()))
	}
	c.Controller = started
	for _, r := range c.Relays {
		r.Retarget(started.NATSAddr())
	}
	return nil
}

// StopController stops the controller and NATS with it; the nodes go on alone.
func (c *Cluster) StopController(ctx context.Context) error { return c.Controller.Stop(ctx) }

// join makes node i part of the cluster.
func (c *Cluster) join(i int, no *node.Options) error {
	at := c.Controller.NATSAddr()
	if c.options.Relays {
		if i == len(c.Relays) {
			r, err := NewRelay(at)
			if err != nil {
				return err
			}
			c.Relays = append(c.Relays, r)
		}
		at = c.Relays[i].Addr()
	}
	no.NATSURL, no.NATSSecret = "nats://"+at, c.secret
	return nil
}

// Secret is the password of NATS.
func (c *Cluster) Secret() string { return c.secret }

// Cut breaks the links of all nodes to NATS; it needs Relays, like the next three.
func (c *Cluster) Cut() { c.eachRelay((*Relay).Cut) }

// Hold lets no byte through on the links of all nodes to NATS.
func (c *Cluster) Hold() { c.eachRelay((*Relay).Hold) }

// Swallow breaks the links of all nodes to NATS and leaves attempts to connect
// without an answer.
func (c *Cluster) Swallow() { c.eachRelay((*Relay).Swallow) }

// Heal mends all links.
func (c *Cluster) Heal() { c.eachRelay((*Relay).Heal) }

func (c *Cluster) eachRelay(f func(*Relay)) {
	for _, r := range c.Relays {
		f(r)
	}
}

// ControlURL is the base URL of the controller's API.
func (c *Cluster) ControlURL() string { return "http://" + reachable(c.Controller.Addr().String()) }

// WaitConverged waits until the controller sees that many live nodes, all of them
// at the newest revision and following it. The error tells the last state.
func (c *Cluster) WaitConverged(ctx context.Context, nodes int) error {
	for {
		doc := c.Controller.Status()
		if n := c.converged(doc); n == nodes && n == len(doc.Nodes)-gone(doc) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not converged on %d nodes: config %+v, nodes %+v", nodes, doc.Config, doc.Nodes)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// converged counts the nodes that the controller sees as they are: in their
// present incarnation, at its revision, with their leases.
func (c *Cluster) converged(doc status.Document) (n int) {
	seen := make(map[string]status.Node, len(doc.Nodes))
	for _, node := range doc.Nodes {
		seen[node.ID] = node
	}
	for _, node := range c.Nodes {
		self := node.Status().Nodes[0]
		s := seen[self.ID]
		if s.State == status.Live && s.Incarnation == self.Incarnation && s.Revision == doc.Config.Revision &&
			self.Revision == s.Revision && self.Mode == status.Leased && node.Unready() == "" && node.Settled() {
			n++
		}
	}
	return n
}

func gone(doc status.Document) (n int) {
	for _, node := range doc.Nodes {
		if node.State == status.Gone {
			n++
		}
	}
	return n
}
