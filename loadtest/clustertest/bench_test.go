package clustertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"apiproxy.internal/loadtest/fakeprovider"
)

// The benchmarks below are run with make bench-cluster: 300 rounds each, on an
// otherwise idle machine.

// BenchmarkPutApplied is a changed limit, from the sending of the request to the
// answer that all ten nodes run it. Promised: p99 25 ms.
func BenchmarkPutApplied(b *testing.B) {
	c := start(b, 10, highLimits)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		o := c.change("PUT", "/api/v1/limits/per_ip?wait=30s", fmt.Sprintf(`{"rate":%d}`, 500_000+i))
		took = append(took, time.Since(begin))
		if o.Applied != 10 {
			b.Fatalf("%+v", o)
		}
	}
	percentiles(b, took)
}

// BenchmarkPurge is a purge of one answer, from the sending of the request to the
// answer that all nodes have purged.
func BenchmarkPurge(b *testing.B) {
	for _, nodes := range []int{3, 10} {
		b.Run(fmt.Sprint(nodes, " nodes"), func(b *testing.B) {
			c := start(b, nodes, unlimited, cached)
			var took []time.Duration
			for b.Loop() {
				c.copies("/zerion/test")
				begin := time.Now()
				o := c.purge(`{"exact":"/zerion/test"}`, "?wait=60s")
				took = append(took, time.Since(begin))
				if o.Acknowledged != nodes || o.Entries != nodes {
					b.Fatalf("%+v", o)
				}
			}
			percentiles(b, took)
		})
	}
}

// BenchmarkOpenEverywhere is the fifth of five failures on five nodes, from the
// sending of its request to the moment at which all ten nodes refuse. Promised:
// p99 15 ms.
func BenchmarkOpenEverywhere(b *testing.B) {
	c := start(b, 10, breakers("1h"))
	c.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1})
	var took []time.Duration
	for b.Loop() {
		for i := range 4 {
			c.get(c.URL(i) + "/zerion/test")
		}
		c.eventually("four failures are known", func() bool { return c.Controller.Status().Providers["zerion"].Failures == 4 })
		begin := time.Now()
		c.get(c.URL(4) + "/zerion/test")
		for i := range c.Nodes {
			for c.state(i, "zerion") != "open" {
				<-time.After(100 * time.Microsecond)
			}
		}
		took = append(took, time.Since(begin))
		c.api("POST", "/api/v1/breakers/zerion/reset", "")
		c.everywhere("zerion", closed)
	}
	percentiles(b, took)
}

func percentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[len(took)*p/100].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}
