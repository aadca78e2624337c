package node

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/logfile"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/proxy"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/wire"
)

// Node is one data-plane process. New wires it, Start opens its ports, Stop
// drains it. All methods are safe for simultaneous use.
type Node struct {
	options     Options
	id          string
	incarnation string
	started     time.Time

	log       *slog.Logger
	accessLog *logfile.Writer
	errorLog  *logfile.Writer

	metrics   *metrics.Node
	proxy     *proxy.Proxy
	upstreams *conns // in use and idle
	failures  failures

	reloading   sync.Mutex      // one Reload at a time: the file read last is in force last
	state       *snapshot.State // outlives a configuration
	current     atomic.Pointer[published]
	certificate certificate
	cluster     atomic.Pointer[coordination] // nil: the node is on its own
	refused     atomic.Pointer[wire.Refusal] // of a published configuration; nil = none
	refusals    atomic.Uint64
	bell        chan struct{} // rung when a lease runs low

	mu          sync.Mutex // guards the two below
	main, admin *port      // nil before Start; admin is nil if main serves all
	draining    atomic.Bool
	cutOff      chan struct{} // closed when requests in flight must end
	housekeeper sync.WaitGroup
	retire      context.CancelFunc // ends the housekeeper
	serveErr    chan error

	stopOnce sync.Once
	stopErr  error
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
	n := &Node{
		options:     o,
		id:          id,
		incarnation: randomHex(8),
		started:     time.Now(),
		metrics:     metrics.New(metrics.Info{Version: o.Version, NodeID: id}),
		upstreams:   newConns(),
		bell:        make(chan struct{}, 1),
		cutOff:      make(chan struct{}),
		retire:      func() {},
		serveErr:    make(chan error, 3), // one for each port and one from the controller
	}
	if err := n.openLogs(); err != nil {
		return nil, err
	}
	n.state = snapshot.NewState(n.metrics, n.upstreams.dialer(o.Dial), o.Lookup, n.clock)
	if n.clustered() {
		saved, err := n.savedLeases()
		if err != nil {
			n.log.Warn("the leases of the last run cannot be used", "error", err.Error())
		}
		n.state.Join(snapshot.Membership{Notify: n.urge, Bell: n.bell, Time: n.leaseTime, Saved: saved, AddrKey: addrKey(o.NATSSecret)})
	}
	n.proxy = proxy.New(proxy.Options{
		NodeID:         id,
		Snapshot:       n.snapshot,
		Clock:          n.clock,
		Epoch:          n.started.UnixNano(),
		Metrics:        n.metrics,
		Cache:          n.state.Cache(),
		AccessLog:      func(line []byte) { _, _ = n.accessLog.Write(line) },
		BreakerChanged: n.breakerChanged,
		UpstreamFailed: n.upstreamFailed,
		Panicked:       n.panicked,
		Draining:       n.draining.Load,
		CutOff:         n.cutOff,
		AdmittedAt:     o.DebugAdmittedAt,
	})
	if err := n.loadFirst(); err != nil {
		_ = n.closeLogs(logPatience)
		return nil, err
	}
	n.metrics.Gauges(n.gauges)
	return n, nil
}

func (n *Node) clock() int64 { return int64(time.Since(n.started)) }

// snapshot is the configuration in force; nil while there is none.
func (n *Node) snapshot() *snapshot.Snapshot {
	if p := n.current.Load(); p != nil {
		return p.Snapshot
	}
	return nil
}

// ID is the node's id.
func (n *Node) ID() string { return n.id }

// Addr is the address of proxied requests; nil before Start.
func (n *Node) Addr() net.Addr {
	main, _ := n.ports()
	return main.addr()
}

// AdminAddr is the address of the operator's endpoints; nil before Start or if
// they share Addr.
func (n *Node) AdminAddr() net.Addr {
	_, admin := n.ports()
	return admin.addr()
}

func (n *Node) ports() (main, admin *port) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.main, n.admin
}

// housekeep keeps the sliding windows moving and drops stale connections.
func (n *Node) housekeep(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	n.metrics.Tick(n.clock())
	var lost lostLines
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			n.metrics.Tick(n.clock())
			n.state.Sweep(now)
			n.sweepClients()
			n.tellLost(lost.since(n.logDropped()))
		}
	}
}

// sweepClients spares providers the requests of clients that have left.
func (n *Node) sweepClients() {
	if main, _ := n.ports(); main != nil {
		main.clients.Sweep()
	}
}

func (n *Node) breakerChanged(provider string, t breaker.Transition) {
	n.log.Warn("circuit breaker changed", "provider", provider, "from", t.From.String(), "to", t.To.String(), "failures", t.Failures)
}

func (n *Node) panicked(requestID string, value any, stack []byte) {
	n.log.Error("request failed by a bug of the proxy; please report it with this line",
		"request_id", requestID, "panic", fmt.Sprint(value), "stack", string(stack))
}

func (n *Node) gauges() metrics.NodeGauges {
	snap := n.inForce()
	g := metrics.NodeGauges{
		ConfigRevision: snap.Document.Revision,
		Mode:           n.mode(),
		NATSConnected:  n.connected(),
		ConfigRefused:  n.refusals.Load(),
		LogDropped:     n.logDropped(),
		InFlight:       n.proxy.InFlight(),
	}
	cached := n.state.Cache().Total()
	g.CacheEvicted, g.CachePurged = cached.Evictions, cached.Purged
	if snap.PerIP != nil {
		g.AddrEvicted = snap.PerIP.Evicted()
	}
	if snap.Global != nil {
		g.Limits = append(g.Limits, n.limitGauge("global", "", snap.Global, snap.Document.RateLimit.Global.Rate))
	}
	for _, p := range snap.Plans {
		if p.Limit != nil {
			g.Limits = append(g.Limits, n.limitGauge("per_provider", p.Name, p.Limit, snap.Document.RateLimit.PerProvider[p.Name].Rate))
		}
	}
	return g
}

// limitGauge is what the node may spend of a limit: all of it when it is on its
// own, else its lease.
func (n *Node) limitGauge(name, provider string, l *snapshot.Limit, rate config.Rate) metrics.LimitGauge {
	g := metrics.LimitGauge{Limit: name, Provider: provider, Share: perSecond(rate), Tokens: float64(l.Peek(n.clock()).Remaining)}
	if l.Lease != nil {
		s := l.Lease.Status(n.leaseTime())
		g.Share, g.Tokens = float64(s.Have.Rate)/quota.PerSecond, float64(s.Level)/quota.Token
	}
	return g
}
