package broker

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/wire"
)

func stageFor(b *testing.B) (*Broker, *nats.Conn) {
	br, err := Open(b.Context(), Options{DataDir: b.TempDir(), Listen: "127.0.0.1:0", Secret: secret})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(br.Close)
	n, err := dial("nats://"+br.Addr(), "node-1", secret)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(n.Close)
	return br, n.Conn
}

func percentiles(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e6, "p99-ms")
}

// BenchmarkReport is a report of a node that the controller hears and answers.
func BenchmarkReport(b *testing.B) {
	br, n := stageFor(b)
	if err := br.OnReport(func(node string, data []byte) { _ = br.Answer(node, data) }); err != nil {
		b.Fatal(err)
	}
	answers, err := n.SubscribeSync(wire.AnswerSubject("node-1"))
	if err != nil {
		b.Fatal(err)
	}
	_ = n.Flush()
	_ = br.Flush(b.Context())
	report := make([]byte, 400)
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		_ = n.Publish(wire.ReportSubject("node-1"), report)
		if _, err := answers.NextMsg(time.Minute); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(start))
	}
	percentiles(b, took)
}

// BenchmarkPut is a write that is acknowledged, and seen by a watch.
func BenchmarkPut(b *testing.B) {
	for _, name := range []string{wire.BreakerBucket, wire.ConfigBucket} {
		b.Run(name, func(b *testing.B) {
			br, _ := stageFor(b)
			seen := make(chan string, 1)
			br.Bucket(name).Watch(b.Context(), ">", func(e kv.Entry) { seen <- e.Key }, nil)
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				if _, err := br.Bucket(name).Put(context.Background(), "k", make([]byte, 2000)); err != nil {
					b.Fatal(err)
				}
				<-seen
				took = append(took, time.Since(start))
			}
			percentiles(b, took)
		})
	}
}
