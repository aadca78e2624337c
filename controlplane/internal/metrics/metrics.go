// Package metrics counts what a controller does and shows it to Prometheus.
// Nothing is global: several controllers in one process count apart.
package metrics

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "api_proxy_control"

// Metrics are those of one controller. Safe for simultaneous use.
type Metrics struct {
	registry *prometheus.Registry

	Reports          prometheus.Counter     // that nodes have sent
	Answers          prometheus.Counter     // that nodes were sent
	ReportsOvertaken prometheus.Counter     // of the first, not read because a newer one was there
	ReportsRefused   *prometheus.CounterVec // by reason: unreadable, foreign, duplicate_id
	NATSRefused      *prometheus.CounterVec // by reason: login, permission
	Publications     *prometheus.CounterVec // of configurations, by result: published, refused, failed
	Transitions      *prometheus.CounterVec // of breakers, by provider and to
	Events           *prometheus.CounterVec // by event
	Purges           *prometheus.CounterVec // of caches, by result: acknowledged, incomplete, failed
	requests         *prometheus.CounterVec
	requestDuration  *prometheus.HistogramVec
}

// NodeLeft counts the nodes that are gone as was meant apart from those that are
// missing.
const NodeLeft = "left"

// State is what a scrape finds.
type State struct {
	Leader       bool
	Epoch        uint64
	Revision     uint64
	PendingNodes int            // live nodes that do not run the revision
	Nodes        map[string]int // by state, or NodeLeft
	Breakers     map[string]string
	Limits       map[string]Limit
}

// Limit is how much of a cluster-wide limit is used.
type Limit struct {
	Utilisation float64 // 0 to 1
	Overshoot   float64 // requests beyond rate × T + burst that could pass at most
}

// New makes the metrics of a controller of that version; state is asked at each
// scrape and must be safe for simultaneous use.
func New(version string, state func() State) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry()}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
		m.registry.MustRegister(c)
		return c
	}
	m.Reports = counter("reports_total", "Reports that nodes have sent.")
	m.Answers = counter("answers_total", "Answers that nodes were sent.")
	m.ReportsOvertaken = counter("reports_overtaken_total", "Reports that were not read because a newer one of the same node was there already; many of them: the controller is short of processor time.")
	m.ReportsRefused = vector("reports_refused_total", "Reports that were not believed, by reason.", "reason")
	m.NATSRefused = vector("nats_refused_total", "Log-ins and publications that NATS refused, by reason.", "reason")
	m.Publications = vector("config_publications_total", "Attempts to publish a configuration, by result.", "result")
	m.Transitions = vector("breaker_transitions_total", "Transitions of the cluster's circuit breakers, by the state entered.", "provider", "to")
	m.Events = vector("events_total", "Events that were announced.", "event")
	m.Purges = vector("cache_purges_total", "Purges of the nodes' caches that operators asked for, by result: acknowledged by all nodes, incomplete (a node did not answer in time) or failed (not stored, nothing purged).", "result")
	m.requests = vector("http_requests_total", "Requests to the control plane's API.", "method", "route", "code")
	m.requestDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace,
		Name: "http_request_duration_seconds", Help: "Time to answer a request to the control plane's API.",
		Buckets: []float64{0.001, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 30, 60}}, []string{"route"})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info",
		Help: "Always 1; the version is a label.", ConstLabels: prometheus.Labels{"version": version}})
	info.Set(1)
	m.registry.MustRegister(m.requestDuration, info, gauges(state),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	// An alert on a rate needs a zero to start from.
	for _, reason := range []string{"unreadable", "foreign", "duplicate_id"} {
		m.ReportsRefused.WithLabelValues(reason)
	}
	for _, reason := range []string{"login", "permission"} {
		m.NATSRefused.WithLabelValues(reason)
	}
	for _, result := range []string{"published", "refused", "failed"} {
		m.Publications.WithLabelValues(result)
	}
	for _, result := range []string{"acknowledged", "incomplete", "failed"} {
		m.Purges.WithLabelValues(result)
	}
	return m
}

// Request counts one request to the API; route is its pattern, never its path.
func (m *Metrics) Request(method, route string, code int, took time.Duration) {
	m.requests.WithLabelValues(method, route, statusText(code)).Inc()
	m.requestDuration.WithLabelValues(route).Observe(took.Seconds())
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
