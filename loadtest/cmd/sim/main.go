// Command sim runs the limit machines of both planes through simulated time and
// prints what they keep and what they use: make sim.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"apiproxy.internal/loadtest/sim"
)

func main() {
	seeds := flag.Uint64("seeds", 3000, "random runs with faults")
	from := flag.Uint64("from", 1, "the first seed")
	tables := flag.Bool("tables", true, "print the tables")
	flag.Parse()

	if *tables {
		fmt.Println("1000/s, burst 2000, one way 1-5 ms, 20 s; the reference is one central bucket without delay")
		sim.WriteLoads(os.Stdout, 3, sim.Leases)
		sim.WriteLoads(os.Stdout, 10, sim.Leases, sim.Static, sim.Gossip)
		sim.WriteLoads(os.Stdout, 100, sim.Leases)
		sim.WriteScenarios(os.Stdout, sim.Leases, sim.Static, sim.Gossip)
		sim.WriteThin(os.Stdout)
	}
	if broken := random(*from, *seeds); broken > 0 {
		os.Exit(1)
	}
}

// random runs that many random Configs and counts those that break a limit.
func random(from, seeds uint64) (broken int64) {
	var next, bad atomic.Int64
	var workers sync.WaitGroup
	var printing sync.Mutex
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for {
				i := uint64(next.Add(1)) - 1
				if i >= seeds {
					return
				}
				if r := sim.Run(sim.Random(from + i)); r.First != "" {
					bad.Add(1)
					printing.Lock()
					fmt.Printf("seed %d: %s\n", from+i, r.First)
					printing.Unlock()
				}
			}
		})
	}
	workers.Wait()
	fmt.Printf("\n%d random runs with faults: %d broke a limit\n", seeds, bad.Load())
	return bad.Load()
}
