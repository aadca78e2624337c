package ledger

import (
	"fmt"
	"testing"

	"apiproxy.internal/shared/quota"
)

// One report and its answer, with 20 limits, each of them in the books of all
// nodes: what a leader does 20 × nodes × 20 times a second.
func BenchmarkReport(b *testing.B) {
	for _, nodes := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("nodes=%d", nodes), func(b *testing.B) {
			const limits = 20
			p := quota.Params{Num: 1000, Den: 1, Burst: 4000}
			ids := make([]string, nodes)
			for i := range ids {
				ids[i] = fmt.Sprintf("node-%d", i)
			}
			var ledgers [limits]*Ledger
			reports := make([][limits]quota.Report, nodes)
			for i := range ledgers {
				ledgers[i] = New(0, p, Takeover{Epoch: 1, New: true})
				for _, id := range ids {
					ledgers[i].Join(Member{id, 1})
				}
			}
			step := quota.Tick / int64(nodes)
			now := int64(0)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n, k := i/limits%nodes, i%limits
				if k == 0 {
					now += step
				}
				ledgers[k].Confirm(now)
				r := &reports[n][k]
				r.Seq++
				r.Demand, r.Now = int64(2*1000*quota.Token/nodes+i%1000*100), int64(2*1000*quota.Token/nodes)
				r.Refused++
				a, ok := ledgers[k].Report(now, ids[n], 1, *r)
				if ok {
					r.Term, r.Got = a.Term, a.Gave
					h := r.Holding()
					r.Back = r.Back.Plus(quota.Part{Holding: quota.Holding{Rate: max(h.Rate-a.Hand, 0), Room: max(h.Room-a.Keep, 0)}})
				}
			}
		})
	}
}
