// Package accuracy measures how exactly a cluster keeps its limits and how much of
// them it uses: a controller and nodes as processes of their own, real requests,
// and the fake provider as the oracle of what arrived and when it was admitted.
//
// What is compared with what: over-admission is the worst window of all, judged by
// the moments at which the nodes admitted (they say so in a header, and all clocks
// are one machine's). Utilisation is in per cent of what one central bucket
// without delay would have admitted of the same requests. The figures of a static
// split come from the same load on nodes without a controller, each of which has
// rate/N and burst/N; those of counter gossip from the simulation.
package accuracy

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"apiproxy.internal/loadtest/sim"
	"apiproxy.internal/shared/quota"
)

// Options choose what is measured.
type Options struct {
	Bin       string        // where the programs are
	Dir       string        // for data and logs, removed afterwards; "" = the system's
	Parts     []string      // of Parts
	Nodes     []int         // numbers of nodes under the loads
	Loads     []string      // of Loads
	Demands   []float64     // multiples of the rate
	Limit     Limit         // under the loads
	Length    time.Duration // at 2x and more; a third of it below, where nothing is short
	Static    time.Duration // length with a static split
	FleetTime time.Duration
	Short     bool   // a few loads, and of the faults the short ones, all with Nodes[0]
	Only      string // faults whose name contains it
	Progress  io.Writer
}

// Parts are what can be measured.
var Parts = []string{"loads", "static", "gossip", "faults", "fleet"}

// Full is everything: about eleven minutes.
func Full() Options {
	return Options{Bin: "bin", Parts: Parts, Nodes: []int{3, 10}, Loads: Loads, Demands: []float64{0.5, 1, 2, 10},
		Limit: Limit{300, 600}, Length: 15 * time.Second, Static: 3 * time.Second, FleetTime: 10 * time.Second, Progress: io.Discard}
}

// Shortest is a run of half a minute: three nodes, a few loads and faults.
func Shortest() Options {
	o := Full()
	o.Parts, o.Nodes, o.Short, o.Length = []string{"loads", "faults"}, []int{3}, true, 4*time.Second
	return o
}

// Run measures and returns a row for each run; those before an error too.
func Run(ctx context.Context, o Options) (rows []Row, err error) {
	add := func(r Row) {
		r.check()
		rows = append(rows, r)
		fmt.Fprintln(o.Progress, r.line())
	}
	has := func(part string) bool { return slices.Contains(o.Parts, part) }
	for _, nodes := range o.Nodes {
		if has("loads") {
			if err := o.loads(ctx, nodes, false, add); err != nil {
				return rows, err
			}
		}
		if has("static") {
			if err := o.loads(ctx, nodes, true, add); err != nil {
				return rows, err
			}
		}
		if has("gossip") {
			o.gossip(nodes, add)
		}
	}
	if has("faults") {
		if err := o.faults(ctx, add); err != nil {
			return rows, err
		}
	}
	if has("fleet") {
		for _, demand := range fleetDemands {
			r, err := measureFleet(ctx, o, demand)
			if err != nil {
				return rows, err
			}
			r.Targets = fmt.Sprintf("over 0, controller <= %g core", mostFleetCPU)
			add(r)
		}
	}
	return rows, nil
}

// loads runs all loads on one cluster.
func (o Options) loads(ctx context.Context, nodes int, static bool, add func(Row)) error {
	c, err := startCluster(ctx, settings{bin: o.Bin, dir: o.Dir, size: nodes, limit: o.Limit, static: static})
	if err != nil {
		return err
	}
	defer c.stop()
	c.settle(ctx)
	for _, load := range o.Loads {
		for _, demand := range o.Demands {
			if o.Short && !short(load, demand) {
				continue
			}
			row, err := c.newRun(load, demand, o.length(demand, static)).measure(ctx)
			if err != nil {
				return fmt.Errorf("%s, %gx: %w", load, demand, err)
			}
			row.Part = "loads"
			add(row)
		}
	}
	return nil
}

func (o Options) length(demand float64, static bool) time.Duration {
	switch {
	case static:
		return o.Static
	case demand < 2:
		return o.Length / 3
	}
	return o.Length
}

// short is whether a load is part of the short run.
func short(load string, demand float64) bool {
	switch load {
	case "uniform":
		return demand == 0.5
	case "zipf":
		return demand == 10
	case "flapping":
		return demand == 2
	}
	return false
}

// simLoads are the simulation's names of our loads.
var simLoads = map[string]string{"flapping": "flap", "bursty": "burst"}

func simName(load string) string {
	if s := simLoads[load]; s != "" {
		return s
	}
	return load
}

func (l Limit) params() quota.Params {
	return quota.Params{Num: uint64(l.Rate), Den: 1, Burst: int64(l.Burst)}
}

// gossip is what nodes that tell each other their counters would have done.
func (o Options) gossip(nodes int, add func(Row)) {
	for _, load := range o.Loads {
		for _, demand := range o.Demands {
			c := sim.Base()
			c.Kind, c.Nodes, c.Params, c.Load, c.Demand, c.Length = sim.Gossip, nodes, o.Limit.params(), simName(load), demand, int64(o.length(demand, false))
			add(simulated(c, Row{Part: "loads", Name: load, Limit: o.Limit}))
		}
	}
}

// simulated runs the simulation and puts its figures into a row.
func simulated(c sim.Config, row Row) Row {
	r := sim.Run(c)
	row.Mode, row.Nodes, row.Demand, row.Seconds = ModeGossipSim, c.Nodes, c.Demand, float64(c.Length)/1e9
	if c.Kind == sim.Static {
		row.Mode = ModeStaticSim
	}
	row.Offered, row.Ideal, row.Admitted = r.Offered, r.Ideal, r.Admitted
	row.Over, row.Utilisation, row.FalseRejects, row.Messages = r.Excess, r.Utilisation, r.FalseRejects, r.Messages
	if c.To > 0 {
		row.During, row.Back = r.During, r.Back
	}
	return row
}

// faults runs each fault on a cluster of its own.
func (o Options) faults(ctx context.Context, add func(Row)) error {
	for _, f := range Faults() {
		f = f.filled()
		if o.Short && !f.Short || !strings.Contains(f.Name, o.Only) {
			continue
		}
		if o.Short {
			f.Nodes, f.Limit = o.Nodes[0], Limit{400, 400}
			f = f.hastened()
		}
		row, err := o.fault(ctx, f)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		add(row)
		if f.Sim != "" && slices.Contains(o.Parts, "gossip") {
			for _, s := range sim.Scenarios() {
				if s.Name != f.Sim {
					continue
				}
				for _, kind := range []sim.Kind{sim.Static, sim.Gossip} {
					c := s.Config()
					c.Kind = kind
					add(simulated(c, Row{Part: "faults", Name: s.Name, Limit: faultLimit}))
				}
			}
		}
	}
	return nil
}

// hastened takes three fifths of the time.
func (f Fault) hastened() Fault {
	for _, t := range []*time.Duration{&f.Length, &f.From, &f.To} {
		*t = *t * 3 / 5
	}
	for i := range f.Steps {
		f.Steps[i].at = f.Steps[i].at * 3 / 5
	}
	return f
}

func (o Options) fault(ctx context.Context, f Fault) (row Row, err error) {
	c, err := startCluster(ctx, settings{bin: o.Bin, dir: o.Dir, size: f.Nodes, limit: f.Limit, global: f.Global, extra: f.Extra})
	if err != nil {
		return row, err
	}
	defer c.stop()
	c.settle(ctx)
	r := c.newRun(f.Load, f.Demand, f.Length)
	r.from, r.to, r.steps = f.From, f.To, f.Steps
	if f.Within >= 1000 {
		r.span = longSpan
	}
	if row, err = r.measure(ctx); err != nil {
		return row, err
	}
	row.Part, row.Name = "faults", f.Name
	row.promise(f)
	return row, nil
}

// loadAverage is the machine's over the last minute; 0 where it cannot be read.
func loadAverage() (x float64) {
	text, err := os.ReadFile("/proc/loadavg")
	if err == nil {
		_, _ = fmt.Sscan(string(text), &x)
	}
	return x
}
