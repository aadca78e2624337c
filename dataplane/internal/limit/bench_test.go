package limit

import (
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// Compare with -cpu 1,2. The clock is given: a nanosecond after a nanosecond.

func BenchmarkBucketTake(b *testing.B) {
	for name, p := range map[string]Params{
		"admitted": {MaxRate, 1, MaxBurst},
		"refused":  {1, 86400, 1},
	} {
		b.Run(name, func(b *testing.B) {
			bucket := NewBucket(0, p)
			bucket.Take(0)
			b.RunParallel(func(pb *testing.PB) {
				for now := int64(1); pb.Next(); now++ {
					bucket.Take(now)
				}
			})
		})
	}
}

// The same as a part of a limit of the cluster. Compare with the above: at most
// 1.2 times as much.
func BenchmarkShareTake(b *testing.B) {
	for name, share := range map[string]Share{
		"admitted": {Rate: MaxRate * second, Room: MaxBurst * finestUnit},
		"refused":  {Rate: 1, Room: finestUnit},
	} {
		b.Run(name, func(b *testing.B) {
			bucket := NewShare(0, make(chan struct{}, 1))
			bucket.Reshape(0, share, share.Room)
			bucket.End(Never)
			bucket.Take(0)
			b.RunParallel(func(pb *testing.PB) {
				for now := int64(1); pb.Next(); now++ {
					bucket.Take(now)
				}
			})
		})
	}
}

// What admission costs as a part of a limit of the cluster, over what it costs a
// node on its own, measured in turns so that both meet the same machine. The
// promise is 1.2 at most.
func BenchmarkShareOverBucket(b *testing.B) {
	const batch = 100_000
	bell := make(chan struct{}, 1)
	share := NewShare(0, bell)
	share.Reshape(0, Share{Rate: MaxRate * second, Room: MaxBurst * finestUnit, Low: finestUnit}, MaxBurst*finestUnit)
	share.End(Never)
	buckets := [2]*Bucket{NewBucket(0, Params{MaxRate, 1, MaxBurst}), share}
	best := [2]time.Duration{time.Hour, time.Hour}
	now := int64(1)
	for b.Loop() {
		for i, bucket := range buckets {
			start := time.Now()
			for k := range int64(batch) {
				bucket.Take(now + k)
			}
			best[i] = min(best[i], time.Since(start))
		}
		now += batch
	}
	b.ReportMetric(float64(best[0])/batch, "ns/standalone")
	b.ReportMetric(float64(best[1])/batch, "ns/cluster")
	b.ReportMetric(float64(best[1])/float64(best[0]), "ratio")
}

// addresses are 100 000 of IPv4 or IPv6 in random order.
func addresses(v6 bool) []netip.Addr {
	addrs := make([]netip.Addr, 100_000)
	for i := range addrs {
		addrs[i] = v4(i)
		if v6 {
			addrs[i] = netip.AddrFrom16([16]byte{0: 0x20, 1: 1, 5: byte(i >> 16), 6: byte(i >> 8), 7: byte(i)})
		}
	}
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	return addrs
}

func BenchmarkAddrTableTake(b *testing.B) {
	for name, v6 := range map[string]bool{"IPv4": false, "IPv6": true} {
		b.Run(name, func(b *testing.B) {
			addrs := addresses(v6)
			table := NewAddrTable(0, Params{1e6, 1, MaxBurst}, 64, DefaultSlots)
			var worker atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				i := int(worker.Add(1)) * 31337
				for now := int64(1); pb.Next(); now++ {
					i++
					table.Take(now, addrs[i%len(addrs)])
				}
			})
		})
	}
}

// All limits of one request: the address, global and the provider.
func BenchmarkThreeLimits(b *testing.B) {
	addrs := addresses(false)
	perIP := NewAddrTable(0, Params{1e6, 1, MaxBurst}, 64, DefaultSlots)
	global := NewBucket(0, Params{MaxRate, 1, MaxBurst})
	provider := NewBucket(0, Params{MaxRate, 1, MaxBurst})
	var worker atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(worker.Add(1)) * 31337
		for now := int64(1); pb.Next(); now++ {
			i++
			perIP.Take(now, addrs[i%len(addrs)])
			global.Take(now)
			provider.Take(now)
		}
	})
}

func BenchmarkAddrTableConfigure(b *testing.B) {
	table := NewAddrTable(0, Params{100, 1, 200}, 64, DefaultSlots)
	for i := range 1_000_000 {
		table.Take(0, v4(i))
	}
	for i := 0; b.Loop(); i++ {
		table.Configure(int64(i), Params{100, 1, 200 + int64(i)%2}, 64)
	}
}
