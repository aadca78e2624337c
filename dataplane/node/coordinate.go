package node

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/bus"
	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

const (
	reportEvery = 50 * time.Millisecond // the heartbeat
	statsEvery  = time.Second
	// reportGap is the least time between two reports: what is urgent in it is
	// told together.
	reportGap = 2 * time.Millisecond
	// staleAnswer is the age at which an answer is not believed any more: the
	// report that it answers says nothing of today.
	staleAnswer = 2 * time.Second
	fetchTime   = 2 * time.Second
	// lookAgain is when a lease that has rung is looked at again, if it was too
	// early to report it.
	lookAgain = 10 * time.Millisecond
	// resumeAfter is how long a node that was started again waits for a leader before
	// it goes on with the leases of the process before.
	resumeAfter = 500 * time.Millisecond
)

// ErrRejected is in the error of a node that the controller does not want.
var ErrRejected = errors.New("the controller refused this node")

// coordination is a node's part in its cluster. It reports and hears answers;
// the request path knows nothing of it.
type coordination struct {
	*Node
	bus      *bus.Bus
	leases   snapshot.Leases
	urgent   chan struct{} // something cannot wait for the next heartbeat
	epoch    atomic.Uint64 // of the newest leader heard
	nodes    atomic.Int64  // how many there are, by the leader's last word
	heard    atomic.Int64  // the clock at the newest report that was answered; 0 = none
	fetches  atomic.Bool   // one is under way
	rejected atomic.Bool
	pressing atomic.Bool // urge was called since the last report
	purges   purges
	stop     context.CancelFunc
	tasks    sync.WaitGroup

	// Of the loop alone.
	lastStats int64 // the clock
	kept      keptLeases
	settled   bool // whether to go on with the leases of the process before
}

// coordinate joins the cluster. It does not wait for it.
func (n *Node) coordinate() error {
	c := &coordination{Node: n, leases: n.state.Leases(), urgent: make(chan struct{}, 1), purges: newPurges()}
	c.kept.saved = c.leases.Left()
	c.bus = bus.New(bus.Options{
		URL: n.options.NATSURL, Node: n.id, Secret: n.options.NATSSecret, TLS: n.options.NATSTLS,
		Answer:     c.answer,
		Config:     n.follow,
		Breaker:    c.impose,
		Connection: c.connection,
		Trouble:    n.troubled,
	})
	if err := c.bus.Connect(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	n.cluster.Store(c)
	c.tasks.Go(func() { c.run(ctx) })
	c.tasks.Go(func() { c.purge(ctx) })
	return nil
}

// urge asks for a report now rather than at the next heartbeat. It never blocks.
func (n *Node) urge() {
	if c := n.cluster.Load(); c != nil {
		c.pressing.Store(true)
		select {
		case c.urgent <- struct{}{}:
		default:
		}
	}
}

// leave says goodbye, gives back what is not spent, and ends the coordination.
func (c *coordination) leave() {
	c.stop()
	c.tasks.Wait()
	c.forgetLeases() // before the leader may give them away
	r := c.report(status.Gone)
	r.Limits = c.leases.Return()
	_ = c.bus.Report(r)
	c.bus.Close()
}

// run sends a report at each heartbeat, and in between when something is
// urgent.
func (c *coordination) run(ctx context.Context) {
	heartbeat := time.NewTicker(reportEvery)
	defer heartbeat.Stop()
	look := time.NewTimer(0) // at leases that have rung, and were not to be reported yet
	resume := time.NewTimer(resumeAfter)
	for {
		tick := false
		select {
		case <-ctx.Done():
			return
		case <-heartbeat.C:
			tick = true
		case <-c.urgent:
		case <-c.bell:
		case <-look.C:
		case <-resume.C:
			if !c.settle() {
				c.settled = true
				c.leases.Resume()
			}
		}
		switch low := c.leases.Urgent(); {
		case tick, low, c.said():
			c.send(tick, !tick && low)
			wait(ctx, reportGap)
		default:
			look.Reset(lookAgain)
		}
	}
}

// settle makes up its mind about the leases of the process before as soon as a
// leader is heard: they are of no use then.
func (c *coordination) settle() bool {
	if !c.settled && c.heard.Load() > 0 {
		c.settled = true
		c.leases.Forgo()
	}
	return c.settled
}

// said takes note of a call to urge.
func (c *coordination) said() bool { return c.pressing.Swap(false) }

// send reports, at a tick or in between; low says that a lease has run low, which
// makes it more than an early tick.
func (c *coordination) send(tick, low bool) {
	now := c.clock()
	c.followLeader(now)
	state := status.Live
	if c.draining.Load() {
		state = status.Draining
	}
	r := c.report(state)
	r.Limits = c.leases.Report(low)
	if tick {
		r.Suspects = c.state.ReportSuspects(c.inForce().Document.RateLimit, int(c.nodes.Load()))
	}
	if c.settle() { // until then the file says what this process may still need
		c.keepLeases()
	}
	if c.bus.Report(r) != nil { // one that is lost is followed by the next
		c.lastStats = 0 // which says at once where this node is
	}
}

func (c *coordination) report(state string) wire.Report {
	now := c.clock()
	r := wire.Report{
		Head:        wire.Now(),
		Node:        c.id,
		Incarnation: c.incarnation,
		Nonce:       now,
		Epoch:       c.epoch.Load(),
		State:       state,
		Revision:    c.revision(),
		Refused:     c.refused.Load(),
		Breakers:    c.state.Evidence(now),
		Purged:      c.purges.report(now),
	}
	if c.lastStats == 0 || now-c.lastStats >= int64(statsEvery) {
		c.lastStats = now
		r.Stats = c.stats()
	}
	return r
}

// followLeader tells the breakers whether anybody leads them.
func (c *coordination) followLeader(now int64) {
	c.state.Follow(c.led(now), int(c.nodes.Load()), func(provider string, t breaker.Transition) {
		if t.Changed() {
			c.breakerChanged(provider, t)
		}
	})
}

// led reports whether a leader has answered lately.
func (c *coordination) led(now int64) bool {
	heard := c.heard.Load()
	return heard > 0 && now-heard <= int64(staleAnswer)
}

func (c *coordination) connection(connected bool, reason string) {
	if connected {
		c.log.Info("connected to NATS")
		c.urge()
		return
	}
	if !c.draining.Load() {
		c.log.Warn("connection to NATS lost; serving from what this node knows", "reason", reason)
	}
}

// mode says how the node knows what it may spend: how the worst of its leases
// stands.
func (n *Node) mode() string {
	c := n.cluster.Load()
	if c == nil {
		return status.Standalone
	}
	mode := status.Holding
	if c.led(n.clock()) {
		mode = status.Leased
	}
	for _, l := range c.leases.Status() {
		switch l.Mode {
		case lease.None, lease.Closed:
			return status.ClosedMode
		case lease.Holding:
			mode = status.Holding
		}
	}
	return mode
}

// leasePatience is how long a node that has just started is not ready because it
// has no share of the limits yet: mostly the controller gives it one within a few
// reports. Without a controller the node serves what it can.
const leasePatience = 700 * time.Millisecond

// expectsLeases reports whether requests would be refused only because the node is
// so young.
func (n *Node) expectsLeases() bool {
	return n.clock() < int64(leasePatience) && !n.Settled()
}

// Settled reports whether the node has a part of every limit, or is on its own.
func (n *Node) Settled() bool {
	c := n.cluster.Load()
	return c == nil || c.leases.Settled()
}

// advertised is where the controller can ask for this node's health.
func (n *Node) advertised() string {
	if n.options.Advertise != "" {
		return n.options.Advertise
	}
	main, _ := n.ports()
	if main == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(main.addr().String())
	if err != nil {
		return main.addr().String()
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() {
		return main.addr().String()
	}
	if c := n.cluster.Load(); c != nil {
		if local := c.bus.LocalIP(); local != "" {
			return net.JoinHostPort(local, port)
		}
	}
	return main.addr().String()
}

// connected reports whether there is a connection to NATS.
func (n *Node) connected() bool {
	c := n.cluster.Load()
	return c != nil && c.bus.Connected()
}
