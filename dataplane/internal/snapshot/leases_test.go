package snapshot

import (
	"testing"

	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/shared/quota"
)

// What the process before has left is used only if no leader is found: one that
// leads may have found it dead and given its part away. Limits that the
// configuration names later are treated alike.
func TestSavedLeasesWaitForTheSearchForALeader(t *testing.T) {
	at := lease.Time{Mono: second, Boot: second}
	saved := quota.Saved{Holding: quota.Holding{Rate: 100 * quota.PerSecond, Room: quota.Token}, Until: 600 * second}
	for name, row := range map[string]struct {
		decide func(Leases)
		want   lease.Mode
	}{
		"undecided":            {func(Leases) {}, lease.None},
		"no leader":            {Leases.Resume, lease.Holding},
		"a leader":             {Leases.Forgo, lease.None},
		"a leader, then none":  {func(l Leases) { l.Forgo(); l.Resume() }, lease.None},
		"none, then a leader":  {func(l Leases) { l.Resume(); l.Forgo() }, lease.Holding},
		"no leader, said once": {func(l Leases) { l.Resume(); l.Resume() }, lease.Holding},
	} {
		b := newBench(t)
		b.Join(Membership{Notify: func() {}, Bell: make(chan struct{}, 1), Time: func() lease.Time { return at },
			Saved: map[string]quota.Saved{"global": saved, "per_provider/a": saved}})
		l := b.Leases()
		if len(l.Left()) != 2 {
			t.Errorf("%s: %v is left by the process before", name, l.Left())
		}
		b.apply(second, limits("{rate: 1000}", "", ""))
		row.decide(l)
		b.apply(second, limits("{rate: 1000}", "", "{rate: 1000}"))
		for limit, s := range l.Status() {
			if s.Mode != row.want {
				t.Errorf("%s: %s is %v, want %v", name, limit, s.Mode, row.want)
			}
		}
		if len(l.Status()) != 2 {
			t.Errorf("%s: leases of %d limits", name, len(l.Status()))
		}
	}
}
