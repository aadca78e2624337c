package controller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"apiproxy.internal/controlplane/internal/broker"
	"apiproxy.internal/controlplane/internal/configstore"
	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/httpapi"
	"apiproxy.internal/controlplane/internal/leader"
	"apiproxy.internal/controlplane/internal/metrics"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// Controller is one control-plane process. New wires it, Start opens its ports
// and begins to lead, Stop ends it. All methods are safe for simultaneous use.
type Controller struct {
	options     Options
	incarnation string
	log         *slog.Logger
	logFile     *logFile
	metrics     *metrics.Metrics
	hub         *events.Hub
	page        *page
	certificate certificate

	broker  *broker.Broker
	store   *configstore.Store
	effects *effects
	loop    atomic.Pointer[leader.Loop] // nil before Start
	inbox   *inbox
	api     *httpapi.Server
	main    net.Listener

	refusals refusals
	orders   sync.Mutex // operators' orders to breakers and caches, one at a time
	raising  atomic.Bool
	lock     *broker.Lock
	running  context.Context
	retire   context.CancelFunc
	tasks    sync.WaitGroup
	failed   chan error

	stopOnce sync.Once
	stopErr  error
}

// startTime bounds how long Start waits for NATS and its store.
const startTime = 60 * time.Second

// New checks the options and the configuration, but opens no port. On an error
// nothing is left behind.
func New(o Options) (*Controller, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if _, _, err := o.Source(); err != nil {
		return nil, err
	}
	c := &Controller{options: o, incarnation: rand.Text(), hub: events.New(uint64(time.Now().UnixMilli())), inbox: newInbox(), failed: make(chan error, 3)}
	if err := c.certificate.load(&o); err != nil {
		return nil, err
	}
	file, err := openLog(o.LogDir)
	if err != nil {
		return nil, err
	}
	c.logFile, c.log = file, newLogger(file, o.Log)
	c.running, c.retire = context.WithCancel(context.Background())
	c.metrics = metrics.New(o.Version, c.gauges)
	c.page = newPage()
	return c, nil
}

// Start opens NATS, the store and the API, in this order, and begins to lead. A
// controller starts once.
func (c *Controller) Start() error {
	ctx, cancel := context.WithTimeout(c.running, startTime)
	defer cancel()
	if err := c.openStore(ctx); err != nil {
		return err
	}
	main, err := net.Listen("tcp", c.options.Listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w; stop what uses the port or choose another address", c.options.Listen, err)
	}
	c.main = main
	if err := c.lead(ctx); err != nil {
		return err
	}
	c.api = httpapi.New(httpapi.Options{
		Backend: backend{c}, Page: c.page, Metrics: c.metrics.Handler(), Token: c.options.AdminToken,
		Version: c.options.Version, Log: c.log, Observe: c.metrics.Request,
	})
	c.tasks.Go(func() {
		if err := c.api.Serve(c.certificate.listener(main, c.options.TLSMin)); err != nil {
			c.failed <- err
		}
	})
	c.tasks.Go(func() { c.page.record(c.running, c.Status) })
	c.log.Info("controller started", "address", main.Addr().String(), "nats", c.natsName(), "version", c.options.Version)
	return nil
}

func (c *Controller) natsName() string {
	if c.options.NATSURL != "" {
		return "external"
	}
	return "embedded at " + c.broker.Addr()
}

// openStore connects to NATS and brings the store and its file copy together.
func (c *Controller) openStore(ctx context.Context) (err error) {
	o := &c.options
	c.broker, err = broker.Open(ctx, broker.Options{
		URL: o.NATSURL, User: "controller", Secret: o.NATSSecret,
		TLS:    broker.TLS{CA: o.NATSCA, Cert: o.NATSCert, Key: o.NATSKey},
		Listen: o.NATSListen, DataDir: o.DataDir,
		Log: c.log.Handler(), OnRefused: c.natsRefused, OnState: c.natsState,
	})
	if err != nil {
		return err
	}
	c.store, err = configstore.Open(ctx, configstore.Options{
		Bucket: c.broker.Bucket(wire.ConfigBucket), DataDir: filepath.Clean(o.DataDir), Now: time.Now, Log: c.log, OnDamage: c.damaged,
	})
	if err != nil {
		return err
	}
	return c.seed(ctx)
}

// seed publishes the configuration of the source if nothing has been published.
// Later a source that differs only gets a line in the log.
func (c *Controller) seed(ctx context.Context) error {
	doc, warnings, err := c.options.Source()
	if err != nil {
		return err
	}
	for _, p := range warnings {
		c.log.Warn("configuration", "path", p.Path, "problem", p.Message, "remedy", p.Remedy)
	}
	seeded, differs, err := c.store.Seed(ctx, doc, configstore.Change{Author: "controller", Reason: "first configuration"})
	switch {
	case err != nil:
		return err
	case seeded:
		c.log.Info("the first configuration is published")
	case len(differs) > 0:
		c.log.Warn("the configuration file differs from what is published and is ignored; SIGHUP publishes it", "differences", fmt.Sprint(differs))
	}
	return nil
}

// Reload publishes the configuration of the source if it differs from what is in
// force, and reads the certificates again. On an error, which is logged,
// everything stays as it was.
func (c *Controller) Reload() error {
	err := func() error {
		if err := c.certificate.load(&c.options); err != nil {
			return err
		}
		doc, _, err := c.options.Source()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(c.running, startTime)
		defer cancel()
		return c.publishFile(ctx, doc)
	}()
	if err != nil {
		c.log.Error("reload failed, everything stays as it was", "error", err.Error())
	}
	return err
}

// Addr is the address of the API; nil before Start.
func (c *Controller) Addr() net.Addr {
	if c.main == nil {
		return nil
	}
	return c.main.Addr()
}

// NATSAddr is the address of the embedded server, empty for an external one.
func (c *Controller) NATSAddr() string { return c.broker.Addr() }

// Status is the view of the whole cluster.
func (c *Controller) Status() (doc status.Document) {
	c.ask(func(l *leader.Leader, now time.Time) { doc = l.Status(now) })
	return doc
}

// Failed delivers the error of a listener that broke.
func (c *Controller) Failed() <-chan error { return c.failed }

// ReopenLog is for log rotation.
func (c *Controller) ReopenLog() error {
	err := c.logFile.reopen()
	if err != nil {
		c.log.Error("log file not reopened", "error", err.Error())
	}
	return err
}

// shutdownTime is what requests to the API get to finish.
const shutdownTime = 5 * time.Second

// Stop ends the API, the lead, and NATS. Nodes go on with what they have.
// Idempotent.
func (c *Controller) Stop(ctx context.Context) error {
	c.stopOnce.Do(func() { c.stopErr = c.end(ctx) })
	return c.stopErr
}

func (c *Controller) end(ctx context.Context) (err error) {
	if c.api != nil {
		bounded, cancel := context.WithTimeout(ctx, shutdownTime)
		defer cancel()
		err = c.api.Shutdown(bounded)
	} else if c.main != nil {
		_ = c.main.Close()
	}
	if loop := c.loop.Load(); loop != nil {
		loop.Stop()
	}
	c.hub.Close()
	c.retire()
	c.tasks.Wait()
	if c.broker != nil {
		if c.lock != nil {
			release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			_ = c.lock.Release(release)
			cancel()
		}
		c.broker.Close()
	}
	c.log.Info("controller stopped")
	c.logFile.close()
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // requests to the API were cut off, which is no failure of ours
	}
	return err
}

// damaged repairs a store in which something cannot be read.
func (c *Controller) damaged(error) {
	if c.loop.Load() != nil {
		c.tasks.Go(func() { c.mend(c.store.Reunite) })
	}
}

func (c *Controller) natsRefused(r broker.Refused) {
	reason := "permission"
	if r.Kind == broker.RefusedLogin {
		reason = "login"
	}
	c.metrics.NATSRefused.WithLabelValues(reason).Inc()
	if skipped, tell := c.refusals.tell(r.Kind+" "+r.Node, time.Now()); tell {
		c.log.Warn("NATS refused a client", "kind", r.Kind, "node", r.Node, "subject", r.Subject, "not_told_before", skipped)
	}
}

func (c *Controller) natsState(connected bool) {
	loop := c.loop.Load()
	if loop == nil {
		return // Start sees to everything
	}
	loop.Offer(func(l *leader.Leader, now time.Time) { l.Connected(now, connected) })
	if !connected {
		c.log.Error("connection to NATS lost; nodes go on with what they have")
		return
	}
	c.log.Info("connected to NATS again")
	c.tasks.Go(func() { c.mend(c.store.Reunite) })
}
