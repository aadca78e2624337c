package sim

import (
	"fmt"
	"io"

	"apiproxy.internal/shared/quota"
)

// Base is the run that the tables vary: 1000 a second with a burst of 2000, on
// ten nodes that are 1 to 5 ms away from the leader.
func Base() Config {
	return Config{
		Nodes: 10, Params: quota.Params{Num: 1000, Den: 1, Burst: 2000},
		Demand: 2, Load: "uniform", Length: 20 * second,
		DelayMin: ms, DelayMax: 5 * ms, Seed: 1, CheckEvery: 50 * ms,
	}
}

// Loads are the names of all loads without a fault.
var Loads = []string{"uniform", "zipf", "flap", "burst"}

// Scenario is a fault with its name and what is promised about it.
type Scenario struct {
	Name     string
	From, To int64
	// Least is the utilisation in From..To that is promised, in per cent, and
	// Within the time until it is back to normal, in milliseconds; 0 = not.
	Least, Within float64
	Load          string // "" = uniform
	Demand        float64
	Faults        []Fault
}

// Scenarios are the faults of the table, all at 10 s.
func Scenarios() []Scenario {
	at := 10 * second
	half := Base().Params
	half.Num, half.Burst = 500, 1000
	return []Scenario{
		{Name: "all load moves to the other nodes, 2x", Load: "shift", From: at + 2*second, To: at + 3*second, Least: 95, Within: 200},
		{Name: "all load moves to the other nodes, 0.9x", Load: "shift", Demand: 0.9, From: at + 2*second, To: at + 3*second, Least: 100, Within: 200},
		{Name: "leader away 5 s", From: at, To: at + 5*second, Least: 98, Faults: []Fault{{at, KillLeader}, {at + 5*second, NewLeader}}},
		{Name: "leader away 5 s, Zipf", Load: "zipf", From: at, To: at + 5*second, Least: 98, Faults: []Fault{{at, KillLeader}, {at + 5*second, NewLeader}}},
		{Name: "leader stopped 5 s, another takes over after 1 s", From: at, To: at + 5*second, Least: 98, Within: 200, Faults: []Fault{{at, StopLeader(5 * second)}, {at + second, NewLeader}}},
		{Name: "NATS down 10 s", From: at, To: at + 10*second, Least: 98, Faults: []Fault{{at, Cut(-1, true)}, {at + 10*second, Cut(-1, false)}}},
		{Name: "NATS down 10 s, 0.02x", Demand: 0.02, From: at, To: at + 10*second, Least: 99.5, Faults: []Fault{{at, Cut(-1, true)}, {at + 10*second, Cut(-1, false)}}},
		{Name: "NATS down 10 s, 0.5x, Zipf", Load: "zipf", Demand: 0.5, From: at, To: at + 10*second, Least: 99.5, Faults: []Fault{{at, Cut(-1, true)}, {at + 10*second, Cut(-1, false)}}},
		{Name: "one node cut off 10 s", From: at, To: at + 10*second, Least: 98, Within: 200, Faults: []Fault{{at, Cut(3, true)}, {at + 10*second, Cut(3, false)}}},
		{Name: "node killed, proof of death", From: at, To: at + 5*second, Least: 94, Within: 3000, Faults: []Fault{{at, KillNode(3, true)}}},
		{Name: "node killed and started again after 0.5 s", From: at, To: at + 5*second, Least: 97, Within: 1000, Faults: []Fault{{at, KillNode(3, false)}, {at + second/2, RestartNode(3)}}},
		{Name: "node stopped 5 s", From: at, To: at + 5*second, Least: 85, Within: 6000, Faults: []Fault{{at, StopNode(3, 5*second)}}},
		{Name: "limit halved", From: at, To: at + 5*second, Least: 95, Within: 500, Faults: []Fault{{at, Change(half)}}},
		{Name: "two nodes drain, then two join", From: at, To: at + 8*second, Least: 99, Faults: []Fault{
			{at, DrainNode(2)}, {at + second, DrainNode(5)}, {at + 3*second, Join}, {at + 4*second, Join},
		}},
	}
}

// Config is the scenario as a run.
func (s Scenario) Config() Config {
	c := Base()
	if s.Load != "" {
		c.Load = s.Load
	}
	if s.Demand > 0 {
		c.Demand = s.Demand
	}
	c.From, c.To, c.Faults = s.From, s.To, s.Faults
	return c
}

// WriteLoads prints the table of loads for that many nodes.
func WriteLoads(out io.Writer, nodes int, kinds ...Kind) {
	fmt.Fprintf(out, "\n| N=%d | demand | over, tokens | utilisation | false rejects | fairness | messages/s |\n|---|---|---|---|---|---|---|\n", nodes)
	for _, load := range Loads {
		for _, demand := range []float64{0.5, 1, 2, 10} {
			for _, kind := range kinds {
				c := Base()
				c.Kind, c.Nodes, c.Load, c.Demand = kind, nodes, load, demand
				r := Run(c)
				fmt.Fprintf(out, "| %s, %s | %gx | %.0f | %.2f %% | %.3f %% | %.3f | %.0f |%s\n",
					load, kind.name(), demand, r.Excess, r.Utilisation, r.FalseRejects, r.Jain, r.Messages, r.mark(kind))
			}
		}
	}
}

// WriteScenarios prints the table of faults.
func WriteScenarios(out io.Writer, kinds ...Kind) {
	fmt.Fprint(out, "\n| fault, N=10, 2x | | over, tokens | utilisation during it | last 200 ms below 95 % |\n|---|---|---|---|---|\n")
	for _, s := range Scenarios() {
		for _, kind := range kinds {
			c := s.Config()
			c.Kind = kind
			r := Run(c)
			fmt.Fprintf(out, "| %s | %s | %.0f | %.1f %% | %s |%s\n", s.Name, kind.name(), r.Excess, r.During, r.back(), r.mark(kind))
		}
	}
}

// WriteThin prints the table of limits that are too thin to be spread.
func WriteThin(out io.Writer) {
	fmt.Fprint(out, "\n| thin limit | nodes | demand | over | utilisation | the same without waiting | messages/s |\n|---|---|---|---|---|---|---|\n")
	for _, p := range []quota.Params{{Num: 5, Den: 60, Burst: 5}, {Num: 10, Den: 1, Burst: 10}, {Num: 1000, Den: 1, Burst: 100}} {
		for _, nodes := range []int{10, 100} {
			for _, demand := range []float64{0.5, 2} {
				c := Base()
				c.Params, c.Nodes, c.Demand, c.CheckEvery = p, nodes, demand, second
				if p.Den > 1 {
					c.Length = 600 * second
				}
				r := Run(c)
				c.NoPark = true
				fmt.Fprintf(out, "| %d per %d s, burst %d | %d | %gx | %.0f | %.2f %% | %.2f %% | %.0f |%s\n",
					p.Num, p.Den, p.Burst, nodes, demand, r.Excess, r.Utilisation, Run(c).Utilisation, r.Messages, r.mark(Leases))
			}
		}
	}
}

func (k Kind) name() string {
	if k == Leases {
		return "leases"
	}
	return string(k)
}

func (r Result) back() string {
	return fmt.Sprintf("%.0f ms", r.Back)
}

func (r Result) mark(k Kind) string {
	if k == Leases && r.First != "" {
		return " BROKEN: " + r.First
	}
	return ""
}
