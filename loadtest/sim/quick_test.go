package sim

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"apiproxy.internal/shared/quota"
)

func base() Config {
	return Config{Nodes: 10, Params: quota.Params{Num: 1000, Den: 1, Burst: 2000}, Demand: 2, Load: "uniform",
		Length: 20 * second, DelayMin: ms, DelayMax: 5 * ms, Seed: 1, CheckEvery: 50 * ms}
}

func TestQuick(t *testing.T) {
	ns := []int{3, 10}
	if s := os.Getenv("NS"); s != "" {
		ns = nil
		for _, x := range strings.Split(s, ",") {
			n, _ := strconv.Atoi(x)
			ns = append(ns, n)
		}
	}
	for _, n := range ns {
		for _, load := range []string{"uniform", "zipf", "flap", "burst"} {
			for _, x := range []float64{0.5, 1, 2, 10} {
				c := base()
				c.Nodes, c.Load, c.Demand = n, load, x
				if x == 10 {
					c.Length = 10 * second
				}
				r := Run(c)
				fmt.Printf("N=%-3d %-7s x%-4g over=%.4f rate+%.3f tok+%.4f util=%6.2f false=%.3f jain=%.3f msg/s=%.0f %s\n", n, load, x, r.Excess, r.OverRate, r.OverTokens, r.Utilisation, r.FalseRejects, r.Jain, r.Messages, r.First)
			}
		}
	}
}
