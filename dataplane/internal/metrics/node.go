// Package metrics counts what a node does and writes it in the Prometheus text
// format. Nothing is global: several nodes in one process count apart.
package metrics

import (
	"bytes"
	"cmp"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	vm "github.com/VictoriaMetrics/metrics"
)

// Info names the node in api_proxy_build_info.
type Info struct {
	Version string
	NodeID  string
}

// Node holds all metrics of one node. Safe for simultaneous use.
type Node struct {
	info   Info
	set    *vm.Set
	gauges atomic.Pointer[func() NodeGauges]

	mu        sync.Mutex // guards the fields below
	providers map[string]*Provider
	ticks     int
	lastTick  int64
}

// New makes the metrics of a node.
func New(info Info) *Node {
	n := &Node{info: info, set: vm.NewSet(), providers: make(map[string]*Provider)}
	n.set.RegisterMetricsWriter(n.writeOwn)
	return n
}

// Provider returns the handles of a provider; the same ones for the same name
// for ever, so that a reload loses no count. Names come from the configuration,
// never from traffic: a provider is never forgotten.
func (n *Node) Provider(name string) *Provider {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.providers[name]
	if !ok {
		p = newProvider(n.set, name, n.lastTick)
		n.providers[name] = p
	}
	return p
}

// Gauges sets the function that a scrape asks for the node's state; nil hides
// the state. It must be safe for simultaneous use.
func (n *Node) Gauges(state func() NodeGauges) { storeFunc(&n.gauges, state) }

// Tick takes the samples from which rates and sliding windows are computed.
// One goroutine calls it every second; now is in nanoseconds since the node
// started.
func (n *Node) Tick(now int64) {
	n.mu.Lock()
	n.ticks++
	n.lastTick = now
	withLatency := n.ticks%latencyEvery == 0
	n.mu.Unlock()
	for _, p := range n.sorted() {
		p.history.addCounts(now, p.counts())
		if withLatency {
			p.history.addLatency(p.latency.Snapshot())
		}
	}
}

// WritePrometheus writes all metrics of the node, of the Go runtime and of the
// process: families sorted by name, each with its HELP and TYPE.
func (n *Node) WritePrometheus(w io.Writer) {
	var samples bytes.Buffer
	n.set.WritePrometheus(&samples)
	vm.WriteProcessMetrics(&samples)
	vm.WriteFDMetrics(&samples)
	writeFamilies(w, samples.Bytes())
}

// sorted copies the list of providers, so that their callbacks and locks are
// used outside the node's own.
func (n *Node) sorted() []*Provider {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := make([]*Provider, 0, len(n.providers))
	for _, p := range n.providers {
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b *Provider) int { return cmp.Compare(a.name, b.name) })
	return list
}
