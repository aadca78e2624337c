// Package cluster runs a controller, nodes and the fake providers in one process:
// for the allinone program and for tests. Everything in it is real but the
// providers, NATS included.
package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"

	"apiproxy.internal/controlplane/controller"
	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/config"
)

// Options describe a cluster.
type Options struct {
	Nodes  int              // how many; at least 1
	Listen string           // address of the first node; the next ones count up; port 0 is free choice
	Config *config.Document // nil = the presets; ConfigFile wins

	// ConfigFile is read by every node and read again by Reload.
	ConfigFile string

	// ControlListen is the address of a controller's API, which the nodes then
	// join; empty = no controller, and each node is on its own. Token is the admin
	// token of the API.
	ControlListen string
	Token         string
	// Relays put a Relay between each node and NATS, so that a test can cut it off.
	Relays bool
	// Control changes the controller's options before it is made; may be nil.
	Control func(o *controller.Options)

	// RealProviders leaves the upstreams and keys of the configuration alone.
	// Otherwise the three presets are served by fake providers.
	RealProviders  bool
	ProviderListen string // address of the fake providers

	Dir    string // each node keeps its data in Dir/<node id>
	LogDir string // and its logs in LogDir/<node id>; "-" = standard output

	// Node changes a node's options before it is made; may be nil.
	Node func(i int, o *node.Options)

	Version string
	Lookup  func(string) (string, bool) // environment of real providers
	Log     slog.Handler                // may be nil
}

// Cluster is a running set of nodes and their fake providers.
type Cluster struct {
	Nodes      []*node.Node
	Controller *controller.Controller // nil = standalone nodes
	Relays     []*Relay               // one for each node, if asked for
	Provider   *fakeprovider.Server   // nil with real providers

	options Options
	secret  string // of NATS
}

// Start starts everything, or nothing.
func Start(o Options) (*Cluster, error) {
	if o.Nodes < 1 {
		return nil, fmt.Errorf("--nodes %d: at least one node is needed", o.Nodes)
	}
	c := &Cluster{options: o, secret: rand.Text()}
	if !o.RealProviders {
		c.Provider = fakeprovider.New(fakeprovider.Options{})
		if err := c.Provider.Start(o.ProviderListen); err != nil {
			return nil, fmt.Errorf("--provider-listen %s: %w; choose another address", o.ProviderListen, err)
		}
	}
	if o.ControlListen != "" {
		if err := c.StartController(); err != nil {
			return nil, errors.Join(err, c.Stop(context.Background()))
		}
	}
	for range o.Nodes {
		if err := c.AddNode(); err != nil {
			return nil, errors.Join(err, c.Stop(context.Background()))
		}
	}
	return c, nil
}

// AddNode starts one more node.
func (c *Cluster) AddNode() error {
	n, err := c.startNode(len(c.Nodes))
	if err == nil {
		c.Nodes = append(c.Nodes, n)
	}
	return err
}

// RestartNode starts node i again, after its Stop, with the same id and data. Its
// address may be another.
func (c *Cluster) RestartNode(i int) error {
	n, err := c.startNode(i)
	if err == nil {
		c.Nodes[i] = n
	}
	return err
}

// startNode starts node i, whether there was one before or not.
func (c *Cluster) startNode(i int) (*node.Node, error) {
	o := &c.options
	listen, err := nth(o.Listen, i)
	if err != nil {
		return nil, err
	}
	id := "node-" + strconv.Itoa(i+1)
	no := node.DefaultOptions()
	no.NodeID, no.Listen = id, listen
	no.DataDir, no.LogDir = filepath.Join(o.Dir, id), o.LogDir
	if o.LogDir != "-" {
		no.LogDir = filepath.Join(o.LogDir, id)
	}
	no.Log = o.Log
	if o.ControlListen == "" {
		no.Source = o.source(c.Provider)
	} else if err := c.join(i, &no); err != nil {
		return nil, err
	}
	if o.Version != "" {
		no.Version = o.Version
	}
	if no.Lookup = o.Lookup; c.Provider != nil {
		no.Lookup = demoKeys
	}
	if o.Node != nil {
		o.Node(i, &no)
	}
	n, err := node.New(no)
	if err != nil {
		return nil, err
	}
	if err := n.Start(); err != nil {
		return nil, errors.Join(err, n.Stop(context.Background()))
	}
	return n, nil
}

// source reads the configuration and leads the presets to the fake providers.
func (o *Options) source(fake *fakeprovider.Server) node.Source {
	return func() (*config.Document, []config.Problem, string, error) {
		doc, warnings, author, err := o.read()
		if err != nil || fake == nil {
			return doc, warnings, author, err
		}
		return ToFake(doc, reachable(fake.Addr())), warnings, author, nil
	}
}

func (o *Options) read() (*config.Document, []config.Problem, string, error) {
	switch {
	case o.ConfigFile != "":
		return node.FileSource(o.ConfigFile)()
	case o.Config != nil:
		return o.Config, nil, "program", nil
	}
	return config.Default(), nil, "presets", nil
}

// ToFake returns a copy of doc whose presets go to the fake providers at addr.
func ToFake(doc *config.Document, addr string) *config.Document {
	fake := *doc
	fake.Providers = make(map[string]config.Provider, len(doc.Providers))
	for name, p := range doc.Providers {
		if _, err := fakeprovider.ParseProvider(name); err == nil {
			p.Upstream = "http://" + addr + "/" + name
		}
		fake.Providers[name] = p
	}
	return &fake
}

// demoKeys is the environment in which the fake providers know every key.
func demoKeys(name string) (string, bool) {
	key, ok := map[string]string{
		"ZERION_API_KEY":    fakeprovider.DemoZerionKey,
		"COINGECKO_API_KEY": fakeprovider.DemoCoinGeckoKey,
		"ALCHEMY_API_KEY":   fakeprovider.DemoAlchemyKey,
	}[name]
	return key, ok
}

// nth counts the port of addr up by i.
func nth(addr string, i int) (string, error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("--listen %q: %w", addr, err)
	}
	port, err := strconv.Atoi(text)
	if err != nil || port < 0 || port+i > 65535 {
		return "", fmt.Errorf("--listen %q: the port must be a number, and the last node's at most 65535", addr)
	}
	if port > 0 {
		port += i
	}
	return net.JoinHostPort(host, strconv.Itoa(port)), nil
}

// URL is the base URL of node i.
func (c *Cluster) URL(i int) string { return "http://" + reachable(c.Nodes[i].Addr().String()) }

// ProviderURL is the base URL of the fake providers.
func (c *Cluster) ProviderURL() string { return "http://" + reachable(c.Provider.Addr()) }

// reachable turns the address of a listener into one to connect to.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip, perr := netip.ParseAddr(host); err == nil && perr == nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// Reload reloads the controller and every node.
func (c *Cluster) Reload() error {
	var errs []error
	if c.Controller != nil {
		errs = append(errs, c.Controller.Reload())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.Reload())
	}
	return errors.Join(errs...)
}

// ReopenLogs reopens all logs.
func (c *Cluster) ReopenLogs() error {
	var errs []error
	if c.Controller != nil {
		errs = append(errs, c.Controller.ReopenLog())
	}
	for _, n := range c.Nodes {
		errs = append(errs, n.ReopenLogs())
	}
	return errors.Join(errs...)
}

// Stop drains all nodes at once, then stops the providers. Idempotent.
func (c *Cluster) Stop(ctx context.Context) error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.Nodes {
		wg.Go(func() { errs[i] = n.Stop(ctx) })
	}
	wg.Wait()
	if c.Controller != nil {
		errs = append(errs, c.Controller.Stop(ctx))
	}
	for _, r := range c.Relays {
		r.Close()
	}
	if c.Provider != nil {
		c.Provider.Close()
	}
	return errors.Join(errs...)
}

// Failed returns the first failure of a node's listener or of the controller, or
// ctx's end.
func (c *Cluster) Failed(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(c.Nodes)+1)
	if c.Controller != nil {
		go func() {
			select {
			case err := <-c.Controller.Failed():
				failed <- err
			case <-ctx.Done():
			}
		}()
	}
	for _, n := range c.Nodes {
		go func() {
			select {
			case err := <-n.Failed():
				failed <- err
			case <-ctx.Done():
			}
		}()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}
