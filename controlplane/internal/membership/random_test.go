package membership

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"apiproxy.internal/shared/status"
)

// TestRandom runs arbitrary histories and checks what must hold in all of them.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Members{}
		now, nonce := int64(0), int64(0)
		bucket := map[string]string{} // what the caller has written
		var probes []Probe
		apply := func(out Outcome) {
			if out.Accepted && out.Rejected != "" {
				t.Fatal("accepted and rejected")
			}
			for _, w := range out.Writes {
				bucket[w.Node] = w.Incarnation + " " + w.State
			}
			for _, id := range out.Deletes {
				delete(bucket, id)
			}
			probes = append(probes, out.Probes...)
			if len(probes) > maxProbes {
				t.Fatalf("%d probes outstanding", len(probes))
			}
		}
		id := rapid.SampledFrom([]string{"a", "b", "c"})
		t.Repeat(map[string]func(*rapid.T){
			"report": func(t *rapid.T) {
				nonce++
				r := Report{
					Node: id.Draw(t, "node"), Incarnation: rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "incarnation"), Nonce: nonce,
					State:   rapid.SampledFrom([]string{status.Live, status.Live, status.Draining, status.Gone}).Draw(t, "state"),
					Address: rapid.SampledFrom([]string{"", "h", "i"}).Draw(t, "address"),
				}
				before, existed := m.Get(r.Node)
				out := m.Observe(r, now)
				after, _ := m.Get(r.Node)
				if out.Accepted && (after.Incarnation != r.Incarnation || after.Seen != now) {
					t.Fatalf("accepted, and the node is %+v", after)
				}
				alive := existed && before.State != status.Gone && time.Duration(now-before.Seen) < SuspectAfter
				if alive && before.Incarnation != r.Incarnation && after.Incarnation != before.Incarnation {
					t.Fatalf("a node that was heard just now lost its id without a probe: %+v, %+v", before, after)
				}
				apply(out)
			},
			"sweep": func(t *rapid.T) {
				now += rapid.Int64Range(0, int64(4*time.Second)).Draw(t, "pause")
				apply(m.Sweep(now))
				for _, n := range m.List() {
					silent := time.Duration(now - n.Seen)
					if n.State != status.Gone && silent >= GoneAfter+4*time.Second || (n.State == status.Live || n.State == status.Draining) && silent >= SuspectAfter {
						t.Fatalf("silent for %v: %+v", silent, n)
					}
				}
			},
			"probed": func(t *rapid.T) {
				if len(probes) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(probes)-1).Draw(t, "which")
				p := probes[i]
				probes = slices.Delete(probes, i, i+1)
				apply(m.Probed(p, Finding(rapid.IntRange(0, 2).Draw(t, "finding")), rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "who"), now))
			},
			"confirm": func(t *rapid.T) {
				node := id.Draw(t, "node")
				out, found := m.Confirm(node, now)
				if n, _ := m.Get(node); found && !n.Dead() {
					t.Fatalf("confirmed: %+v", n)
				}
				apply(out)
			},
			"": func(t *rapid.T) {
				// A leader that begins with what is in the bucket knows the same nodes.
				for _, n := range m.List() {
					want := n.Incarnation + " " + n.State
					if n.State == status.Suspect {
						want = n.Incarnation + " " + (&member{draining: m.nodes[n.ID].draining}).wanted()
					}
					if bucket[n.ID] != want {
						t.Fatalf("the bucket has %q of %+v", bucket[n.ID], n)
					}
				}
				if len(bucket) != len(m.nodes) {
					t.Fatal(fmt.Sprint(bucket))
				}
				if m.probes < 0 || m.probes > len(probes) {
					t.Fatalf("%d probes counted, %d outstanding", m.probes, len(probes))
				}
			},
		})
	})
}
