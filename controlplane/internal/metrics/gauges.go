package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// gauges is a collector that asks for the state at each scrape.
type gauges func() State

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	leaderDesc      = describe("leader", "1 while this controller leads, 0 while it only stands by.")
	epochDesc       = describe("epoch", "Number of the leader's term; it grows with each.")
	revisionDesc    = describe("config_revision", "Newest published revision of the configuration.")
	pendingDesc     = describe("config_pending_nodes", "Live nodes that do not run the newest revision.")
	nodesDesc       = describe("nodes", "Nodes by state; those that have left are gone after a goodbye or by an operator's word.", "state")
	breakerDesc     = describe("breaker_state", "1 for the state that the cluster's circuit breaker is in, 0 for the others.", "provider", "state")
	utilisationDesc = describe("limit_utilisation", "Requests admitted per second as a part of the limit's rate, 0 to 1.", "limit")
	overshootDesc   = describe("limit_overshoot_bound", "Requests beyond rate x T + burst that could pass at most; above 0 while a lowered limit is not handed back, and while a node is cut off beyond hold from a limit with on_disconnect: open.", "limit")
)

var (
	nodeStates    = [...]string{"live", "suspect", "draining", "gone", NodeLeft}
	breakerStates = [...]string{"closed", "open", "half_open"}
)

// Describe is prometheus.Collector.
func (gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{leaderDesc, epochDesc, revisionDesc, pendingDesc, nodesDesc, breakerDesc, utilisationDesc, overshootDesc} {
		ch <- d
	}
}

// Collect is prometheus.Collector.
func (g gauges) Collect(ch chan<- prometheus.Metric) {
	s := g()
	send := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	send(leaderDesc, oneIf(s.Leader))
	send(epochDesc, float64(s.Epoch))
	send(revisionDesc, float64(s.Revision))
	send(pendingDesc, float64(s.PendingNodes))
	for _, state := range nodeStates {
		send(nodesDesc, float64(s.Nodes[state]), state)
	}
	for provider, current := range s.Breakers {
		for _, state := range breakerStates {
			send(breakerDesc, oneIf(state == current), provider, state)
		}
	}
	for name, l := range s.Limits {
		send(utilisationDesc, l.Utilisation, name)
		send(overshootDesc, l.Overshoot, name)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func statusText(code int) string { return strconv.Itoa(code) }
