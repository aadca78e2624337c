package accuracy

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"apiproxy.internal/dataplane/lab"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// The fleet are many nodes without a proxy: their leases are real, and so are
// their reports, the controller and NATS between them.
const (
	fleetNodes  = 100
	fleetLimits = 20 // global and those of the providers
)

// fleetDemands are an ordinary day, and a shortage of everything everywhere.
var fleetDemands = []float64{0.9, 2}

var fleetLimit = Limit{1000, 2000}

// fleetConfig names the limits; nobody is asked there.
func fleetConfig() string {
	var b strings.Builder
	fmt.Fprintf(&b, "rate_limit:\n  global: %s\n  per_provider:\n", fleetLimit.yaml())
	for i := 1; i < fleetLimits; i++ {
		fmt.Fprintf(&b, "    p%d: %s\n", i, fleetLimit.yaml())
	}
	fmt.Fprint(&b, "providers:\n")
	for i := 1; i < fleetLimits; i++ {
		fmt.Fprintf(&b, "  p%d: {prefix: /p%[1]d/, upstream: \"http://127.0.0.1:9\", auth: {type: none}}\n", i)
	}
	return b.String()
}

// fleetNode is one of them.
type fleetNode struct {
	id, incarnation string
	conn            *nats.Conn
	begin           time.Time
	leases          map[string]*lab.Lease
	names           []string
	bell            chan struct{}
	soon            chan struct{} // an answer wants a report

	mu       sync.Mutex
	epoch    uint64
	revision uint64
	taken    [][]int64 // moments of admission, unix nanoseconds, by limit
	offered  int
}

func (n *fleetNode) time() lab.Time {
	t := int64(time.Since(n.begin)) + 1
	return lab.Time{Mono: t, Boot: t}
}

func newFleetNode(i int, at string) (n *fleetNode, err error) {
	n = &fleetNode{id: "fleet-" + strconv.Itoa(i), incarnation: rand.Text(), begin: time.Now(),
		leases: make(map[string]*lab.Lease), bell: make(chan struct{}, 1), soon: make(chan struct{}, 1), taken: make([][]int64, fleetLimits)}
	n.names = []string{wire.GlobalLimit}
	for i := 1; i < fleetLimits; i++ {
		n.names = append(n.names, wire.ProviderLimit("p"+strconv.Itoa(i)))
	}
	for _, name := range n.names {
		n.leases[name] = lab.NewLease(n.time(), n.bell)
	}
	n.conn, err = nats.Connect("nats://"+at, nats.UserInfo(n.id, natsSecret), nats.CustomInboxPrefix(wire.InboxPrefix(n.id)),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err == nil {
		_, err = n.conn.Subscribe(wire.AnswerSubject(n.id), n.answer)
	}
	return n, err
}

func (n *fleetNode) answer(m *nats.Msg) {
	a, err := wire.Decode[wire.Answer](m.Data)
	if err != nil || a.Incarnation != n.incarnation {
		return
	}
	n.mu.Lock()
	if a.Epoch < n.epoch {
		n.mu.Unlock()
		return
	}
	n.epoch, n.revision = a.Epoch, a.Revision
	n.mu.Unlock()
	report := false
	for name, x := range a.Limits {
		if l := n.leases[name]; l != nil {
			report = l.Apply(n.time(), x) || report
		}
	}
	if report {
		select {
		case n.soon <- struct{}{}:
		default:
		}
	}
}

func (n *fleetNode) report(urgent bool, state string, stats bool) {
	t := n.time()
	n.mu.Lock()
	r := wire.Report{Head: wire.Now(), Node: n.id, Incarnation: n.incarnation, Nonce: t.Mono, Epoch: n.epoch, State: state,
		Revision: n.revision, Limits: make(map[string]quota.Report, len(n.leases))}
	n.mu.Unlock()
	for name, l := range n.leases {
		r.Limits[name] = l.Report(t, urgent)
	}
	if stats {
		r.Stats = &wire.Stats{Version: "fleet", Mode: status.Leased}
	}
	_ = n.conn.Publish(wire.ReportSubject(n.id), wire.Encode(r))
	time.Sleep(reportGap)
}

// reportGap is the least time between two reports, as a node has it.
const reportGap = 2 * time.Millisecond

// run reports every tick and when a lease runs low, and takes requests in between:
// in each 5 ms as many as came by then.
func (n *fleetNode) run(ctx context.Context, demand float64, load *sync.Map) {
	tick := time.NewTicker(time.Duration(quota.Tick))
	defer tick.Stop()
	requests := time.NewTicker(5 * time.Millisecond)
	defer requests.Stop()
	random := mathrand.New(mathrand.NewPCG(uint64(len(n.id)), uint64(n.begin.UnixNano())))
	due := make([]float64, fleetLimits)
	last := time.Now()
	for ticks := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n.report(false, status.Live, ticks%20 == 0)
			ticks++
		case <-n.soon:
			n.report(false, status.Live, false)
		case <-n.bell:
			if t := n.time(); slices.ContainsFunc(n.names, func(name string) bool { return n.leases[name].Urgent(t) }) {
				n.report(true, status.Live, false)
			}
		case <-requests.C:
			now := time.Now()
			_, measured := load.Load("measured")
			for i, name := range n.names {
				due[i] += demand * fleetLimit.Rate / fleetNodes * now.Sub(last).Seconds() * 2 * random.Float64()
				for ; due[i] >= 1; due[i]-- {
					n.take(i, n.leases[name].Bucket(), measured)
				}
			}
			last = now
		}
	}
}

func (n *fleetNode) take(i int, b *lab.Bucket, measured bool) {
	t := n.time()
	ok := b.Take(t.Mono).OK
	if !measured {
		return
	}
	n.offered++
	if ok {
		n.taken[i] = append(n.taken[i], n.begin.UnixNano()+t.Mono)
	}
}

// measureFleet runs a controller with the fleet.
func measureFleet(ctx context.Context, o Options, demand float64) (row Row, err error) {
	dir, err := os.MkdirTemp(o.Dir, "fleet-")
	if err != nil {
		return row, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	c := &cluster{settings: settings{bin: o.Bin}, provider: fakeprovider.New(fakeprovider.Options{})}
	c.dir, c.config = dir, filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(c.config, []byte(fleetConfig()), 0o600); err != nil {
		return row, err
	}
	defer c.stop()
	if err := c.startController(ctx); err != nil {
		return row, err
	}
	running, end := context.WithCancel(ctx)
	var nodes []*fleetNode
	var loops sync.WaitGroup
	var load sync.Map
	defer func() {
		end()
		loops.Wait()
		for _, n := range nodes {
			n.conn.Close()
		}
	}()
	for i := range fleetNodes {
		n, err := newFleetNode(i, c.control.nats)
		if err != nil {
			return row, err
		}
		nodes = append(nodes, n)
		loops.Go(func() { n.run(running, demand, &load) })
	}
	pause(ctx, 4*time.Second) // all have joined and used the burst up
	load.Store("measured", true)
	before := c.usage(ctx)
	pause(ctx, o.FleetTime)
	after := c.usage(ctx)
	end()
	loops.Wait()
	row = Row{Part: "fleet", Name: fmt.Sprintf("%d simulated nodes, %d limits, 50 ms", fleetNodes, fleetLimits), Mode: ModeLeases, Nodes: fleetNodes, Limit: fleetLimit,
		Demand: demand, Seconds: after.at.Sub(before.at).Seconds(), LoadMean: loadAverage()}
	row.Messages, row.ControlCPU = after.since(before)
	least := 100.0
	for i := range fleetLimits {
		var stamps []int64
		for _, n := range nodes {
			stamps = append(stamps, n.taken[i]...)
		}
		row.Admitted += len(stamps)
		row.Over = max(row.Over, excess(stamps, []limitAt{{fleetLimit, 0}}))
		least = min(least, 100*float64(len(stamps))/(min(demand, 1)*fleetLimit.Rate*row.Seconds))
	}
	for _, n := range nodes {
		row.Offered += n.offered
	}
	row.Ideal, row.Utilisation = int(min(demand, 1)*fleetLimit.Rate*row.Seconds)*fleetLimits, min(least, 100)
	row.Note = "utilisation is that of the worst limit"
	return row, nil
}
