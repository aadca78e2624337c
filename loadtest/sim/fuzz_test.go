package sim

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

func TestRandom(t *testing.T) {
	from, n := uint64(1), 300
	if s := os.Getenv("SEEDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	if s := os.Getenv("FROM"); s != "" {
		from, _ = strconv.ParseUint(s, 10, 64)
	}
	bad := 0
	for i := range uint64(n) {
		c := Random(from + i)
		r := Run(c)
		if r.First != "" {
			bad++
			fmt.Printf("seed %d: %s excess %.3f rate +%.3f tokens +%.4f | N=%d R=%.1f B=%d hold=%.1f %s x%g loss=%.2f/%.2f/%.3f drift=%v delay=%.1fms faults=%d %s\n", from+i, r.First, r.Excess, r.OverRate, r.OverTokens,
				c.Nodes, float64(c.Params.Rate())/1e9, c.Params.Burst, float64(c.Params.Hold)/1e9, c.Load, c.Demand, c.Loss, c.Twice, c.Late, c.Drift, float64(c.DelayMax)/1e6, len(c.Faults), c.Params.OnDisconnect)
		}
	}
	fmt.Println("bad", bad, "of", n)
}
