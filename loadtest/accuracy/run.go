package accuracy

import (
	"context"
	"fmt"
	"time"

	"apiproxy.internal/loadtest/fakeprovider"
)

// Row is one run and what it showed. A figure that does not apply is absent.
type Row struct {
	Part     string  `json:"part"` // loads, faults, fleet
	Name     string  `json:"name"`
	Mode     string  `json:"mode"` // see the Mode constants
	Nodes    int     `json:"nodes"`
	Limit    Limit   `json:"limit"`
	Demand   float64 `json:"demand"` // multiple of the rate
	Seconds  float64 `json:"seconds"`
	LoadMean float64 `json:"load_average"` // of the machine, when the run ended

	Offered  int `json:"offered"`
	Ideal    int `json:"ideal"` // that one central bucket would admit
	Admitted int `json:"admitted"`
	Failed   int `json:"failed"` // requests without an answer, as of a killed node
	Unsent   int `json:"unsent"` // that the load generator could not send

	Over         float64 `json:"over_admission"`        // tokens beyond rate*T + burst in the worst window, by admission time
	OverArrival  float64 `json:"over_arrival"`          // the same by arrival time
	ArrivalBound float64 `json:"over_arrival_bound"`    // rate * longest transit: what the network alone can do to that
	Utilisation  float64 `json:"utilisation"`           // % of Ideal
	FalseRejects float64 `json:"false_rejects"`         // % of Offered
	During       float64 `json:"during,omitempty"`      // utilisation during the fault
	Back         float64 `json:"back_ms,omitempty"`     // until back over 95 % of the ideal for good
	Messages     float64 `json:"messages,omitempty"`    // reports and answers per second
	ControlCPU   float64 `json:"control_cpu,omitempty"` // cores
	Targets      string  `json:"targets,omitempty"`     // what is promised
	Missed       string  `json:"missed,omitempty"`      // what was not kept
	Note         string  `json:"note,omitempty"`
}

// How the limit was kept in a row.
const (
	ModeLeases = "leases"
	ModeStatic = "static split"
	// Simulated: nobody's product runs here, and the fault has no meaning for nodes
	// that do not talk.
	ModeStaticSim = "static split (simulated)"
	ModeGossipSim = "counter gossip (simulated)"
)

// step is something that happens in a run.
type step struct {
	at time.Duration
	do func(ctx context.Context, r *run) error
}

// run is one load on one limit of a cluster, with what happens meanwhile.
type run struct {
	*cluster
	balancer balancer
	provider fakeprovider.Provider
	limits   []limitAt

	load   string
	demand float64 // multiple of the rate
	length time.Duration
	from   time.Duration // the window of the fault; to = 0: none
	to     time.Duration
	span   int // of recovery
	steps  []step
	begin  time.Time
}

// newRun takes the next provider's limit: its bucket is full.
func (c *cluster) newRun(load string, demand float64, length time.Duration) *run {
	r := &run{cluster: c, provider: providers[c.runs%len(providers)], load: load, demand: demand, length: length, span: shortSpan}
	c.runs++
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.nodes {
		if p != nil {
			r.balancer.add(p)
		}
	}
	return r
}

// measure does it.
func (r *run) measure(ctx context.Context) (row Row, err error) {
	defer r.balancer.close()
	r.cluster.provider.Reset()
	r.begin = time.Now()
	r.limits = []limitAt{{r.limit, 0}}
	before := r.usage(ctx)
	happened := make(chan error, 1)
	go func() { happened <- r.happen(ctx) }()
	rate := r.demand * r.limit.Rate
	seen := drive(ctx, &r.balancer, newLoad(r.load, rate, r.length, uint64(r.runs)), "/"+r.provider.String()+"/test")
	if err := <-happened; err != nil {
		return row, err
	}
	if err := ctx.Err(); err != nil {
		return row, err
	}
	row = Row{Nodes: r.size, Limit: r.limit, Demand: r.demand, Name: r.load, Seconds: r.length.Seconds(), LoadMean: loadAverage(), Mode: ModeLeases}
	if r.static {
		row.Mode = ModeStatic
	}
	row.Messages, row.ControlCPU = r.usage(ctx).since(before)
	r.judge(&row, seen)
	return row, nil
}

// happen does the steps in time.
func (r *run) happen(ctx context.Context) error {
	for _, s := range r.steps {
		pause(ctx, s.at-time.Since(r.begin))
		if err := s.do(ctx, r); err != nil {
			return fmt.Errorf("at %v: %w", s.at, err)
		}
	}
	return nil
}

// judge compares what arrived with what was asked for.
func (r *run) judge(row *Row, seen trace) {
	var admitted, arrived []int64
	var transit int64
	for _, a := range r.cluster.provider.Arrivals(r.provider) {
		admitted, arrived = append(admitted, a.AdmittedNS), append(arrived, a.NS)
		transit = max(transit, a.NS-a.AdmittedNS)
	}
	best := ideal(seen.requests, r.limits)
	row.Offered, row.Unsent, row.Admitted, row.Ideal = len(seen.requests), seen.unsent, len(admitted), len(best)
	for _, q := range seen.requests {
		if q.status == 0 {
			row.Failed++
		}
	}
	widest := 0.0
	for _, l := range r.limits {
		widest = max(widest, l.Rate)
	}
	row.Over, row.OverArrival = excess(admitted, r.limits), excess(arrived, r.limits)
	row.ArrivalBound = widest * float64(transit) / 1e9
	row.Utilisation = 100
	if missed := float64(max(len(best)-len(admitted), 0)); missed > 0 {
		row.Utilisation = 100 - 100*missed/float64(len(best))
		row.FalseRejects = 100 * missed / float64(len(seen.requests))
	}
	if r.to > 0 {
		begin := r.begin.UnixNano()
		row.During, row.Back = recovery(admitted, best, begin+int64(r.from), begin+int64(r.to), r.span)
	}
}
