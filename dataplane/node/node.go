package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/logfile"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/proxy"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/status"
)

// Node is one data-plane process. New wires it, Start opens its ports, Stop
// drains it.
type Node struct {
	options     Options
	id          string
	incarnation string
	started     time.Time

	log       *slog.Logger
	accessLog *logfile.Writer
	errorLog  *logfile.Writer

	metrics *metrics.Node
	state   *snapshot.State // outlives a configuration
	current atomic.Pointer[published]
	proxy   *proxy.Proxy

	server, admin *fasthttp.Server
	listener, ops net.Listener
	draining      atomic.Bool
	stopLoop      context.CancelFunc
	serving       sync.WaitGroup
	stopOnce      sync.Once
	stopErr       error
	serveErr      chan error
}

// published is a snapshot and where it came from.
type published struct {
	*snapshot.Snapshot
	at     time.Time
	author string
}

// New wires a node and compiles its configuration, but opens no port. On an
// error nothing is left behind.
func New(o Options) (*Node, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	id, err := identify(o.NodeID, o.DataDir)
	if err != nil {
		return nil, err
	}
	n := &Node{options: o, id: id, incarnation: randomHex(8), started: time.Now(), serveErr: make(chan error, 2)}
	if err := n.openLogs(); err != nil {
		return nil, err
	}
	n.metrics = metrics.New(metrics.Info{Version: o.Version, NodeID: id})
	n.state = snapshot.NewState(n.metrics, o.Dial, o.Lookup, n.clock)
	n.proxy = proxy.New(proxy.Options{
		NodeID:         id,
		Snapshot:       n.snapshot,
		Clock:          n.clock,
		Epoch:          n.started.UnixNano(),
		Metrics:        n.metrics,
		AccessLog:      func(line []byte) { _, _ = n.accessLog.Write(line) },
		BreakerChanged: n.breakerChanged,
		Panicked:       n.panicked,
		Draining:       n.draining.Load,
		AdmittedAt:     o.DebugAdmittedAt,
	})
	n.metrics.Gauges(n.gauges)
	if err := n.Reload(); err != nil {
		n.closeLogs()
		return nil, err
	}
	return n, nil
}

func (n *Node) clock() int64 { return int64(time.Since(n.started)) }

func (n *Node) snapshot() *snapshot.Snapshot {
	if p := n.current.Load(); p != nil {
		return p.Snapshot
	}
	return nil
}

// ID is the node's id.
func (n *Node) ID() string { return n.id }

// Addr is the address of proxied requests; nil before Start.
func (n *Node) Addr() net.Addr { return addrOf(n.listener) }

// AdminAddr is the address of the operator's endpoints; nil before Start or if
// they share Addr.
func (n *Node) AdminAddr() net.Addr { return addrOf(n.ops) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Start opens the ports and serves until Stop. A second Start is an error.
func (n *Node) Start() error {
	if n.listener != nil {
		return errors.New("the node was started before")
	}
	var err error
	if n.listener, err = net.Listen("tcp", n.options.Listen); err != nil {
		return fmt.Errorf("cannot listen: %w; choose another --listen address", err)
	}
	n.server = n.newServer(n.handle)
	n.serve(n.server, n.listener)
	if n.options.AdminListen != "" {
		if n.ops, err = net.Listen("tcp", n.options.AdminListen); err != nil {
			n.kill()
			return fmt.Errorf("cannot listen: %w; choose another --admin-listen address", err)
		}
		n.admin = n.newServer(n.handleAdmin)
		n.serve(n.admin, n.ops)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stopLoop = cancel
	n.serving.Go(func() { n.housekeep(ctx) })
	n.log.Info("node started", "address", n.Addr().String(), "version", n.options.Version)
	return nil
}

// newServer sets what fasthttp leaves open by default. The caps and timeouts
// are those of the configuration at the start; they need a restart to change.
func (n *Node) newServer(h fasthttp.RequestHandler) *fasthttp.Server {
	limits := n.snapshot().Document.Server
	s := &fasthttp.Server{
		Handler:       h,
		ReadTimeout:   time.Duration(limits.HeaderTimeout),
		IdleTimeout:   time.Duration(limits.IdleTimeout),
		Concurrency:   limits.MaxConnections,
		MaxConnsPerIP: limits.MaxConnectionsPerIP,
		Logger:        serverLog{n.log},
	}
	n.proxy.Equip(s)
	return s
}

func (n *Node) serve(s *fasthttp.Server, l net.Listener) {
	l = &downstream.Listener{Listener: l, WriteTimeout: func() time.Duration {
		return time.Duration(n.snapshot().Document.Server.WriteTimeout)
	}}
	n.serving.Go(func() {
		if err := s.Serve(l); err != nil && !n.draining.Load() {
			n.serveErr <- err
		}
	})
}

// housekeep keeps the sliding windows moving and drops stale connections.
func (n *Node) housekeep(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	n.metrics.Tick(n.clock())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			n.metrics.Tick(n.clock())
			n.state.Sweep(now)
		}
	}
}

// Failed delivers the error of a listener that broke.
func (n *Node) Failed() <-chan error { return n.serveErr }

// Stop drains the node: it is not ready any more, waits DrainDelay for the
// balancer to notice, closes the listener, lets requests in flight finish for at
// most DrainTimeout, and closes everything. Idempotent; the error says that
// requests were cut off.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() { n.stopErr = n.stop(ctx) })
	return n.stopErr
}

func (n *Node) stop(ctx context.Context) error {
	n.draining.Store(true)
	n.log.Info("draining", "in_flight", n.proxy.InFlight())
	if n.server != nil {
		wait(ctx, n.options.DrainDelay)
	}
	ctx, cancel := context.WithTimeout(ctx, n.options.DrainTimeout)
	defer cancel()
	var err error
	for _, s := range []*fasthttp.Server{n.server, n.admin} {
		if s != nil {
			err = errors.Join(err, s.ShutdownWithContext(ctx))
		}
	}
	// A server that has not got going yet ignores its shutdown.
	for _, l := range []net.Listener{n.listener, n.ops} {
		if l != nil {
			_ = l.Close()
		}
	}
	if err != nil {
		err = fmt.Errorf("%d requests did not finish within --drain-timeout: %w", n.proxy.InFlight(), err)
	}
	if n.stopLoop != nil {
		n.stopLoop()
	}
	n.serving.Wait()
	n.state.Close()
	n.log.Info("stopped")
	n.closeLogs()
	return err
}

// kill undoes a half-done Start.
func (n *Node) kill() {
	n.draining.Store(true)
	_ = n.server.Shutdown()
	_ = n.listener.Close()
	n.serving.Wait()
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (n *Node) openLogs() (err error) {
	path := func(name string) string {
		if n.options.LogDir == "-" {
			return "-"
		}
		return filepath.Join(n.options.LogDir, name)
	}
	if n.accessLog, err = logfile.Open(path("access.log"), logfile.Options{}); err != nil {
		return err
	}
	if n.errorLog, err = logfile.Open(path("error.log"), logfile.Options{}); err != nil {
		_ = n.accessLog.Close()
		return err
	}
	handler := slog.Handler(slog.NewJSONHandler(n.errorLog, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if n.options.Log != nil {
		handler = slog.NewMultiHandler(handler, n.options.Log)
	}
	n.log = slog.New(handler).With("node", n.id)
	return nil
}

// ReopenLogs is for log rotation: both files are opened anew.
func (n *Node) ReopenLogs() error {
	return errors.Join(n.accessLog.Reopen(), n.errorLog.Reopen())
}

func (n *Node) closeLogs() {
	_ = n.accessLog.Close()
	_ = n.errorLog.Close()
}

func (n *Node) breakerChanged(provider string, t breaker.Transition) {
	n.log.Warn("circuit breaker changed", "provider", provider, "from", t.From.String(), "to", t.To.String(), "failures", t.Failures)
}

func (n *Node) panicked(requestID string, value any, stack []byte) {
	n.log.Error("request failed by a bug of the proxy; please report it with this line",
		"request_id", requestID, "panic", fmt.Sprint(value), "stack", string(stack))
}

func (n *Node) gauges() metrics.NodeGauges {
	snap := n.snapshot()
	g := metrics.NodeGauges{
		ConfigRevision: snap.Document.Revision,
		Mode:           status.Standalone,
		LogDropped:     n.accessLog.Dropped() + n.errorLog.Dropped(),
		InFlight:       n.proxy.InFlight(),
	}
	if snap.PerIP != nil {
		g.AddrEvicted = snap.PerIP.Evicted()
	}
	now := n.clock()
	if snap.Global != nil {
		g.Limits = append(g.Limits, metrics.LimitGauge{
			Limit: "global", Share: perSecond(snap.Document.RateLimit.Global.Rate), Tokens: float64(snap.Global.Peek(now).Remaining)})
	}
	for _, p := range snap.Plans {
		if p.Limit != nil {
			g.Limits = append(g.Limits, metrics.LimitGauge{Limit: "per_provider", Provider: p.Name,
				Share: perSecond(snap.Document.RateLimit.PerProvider[p.Name].Rate), Tokens: float64(p.Limit.Peek(now).Remaining)})
		}
	}
	return g
}

// serverLog takes what fasthttp prints; it prints what went wrong with single
// connections, which is of interest only when looking for it.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Printf(format string, args ...any) {
	l.log.Debug("connection", "detail", fmt.Sprintf(format, args...))
}
