package leader

import (
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// recorder keeps what the leader wants done.
type recorder struct {
	answers map[string]wire.Answer
	writes  []wire.Member
	probes  []membership.Probe
	renewed int
}

func (r *recorder) Answer(node string, a wire.Answer)    { r.answers[node] = a }
func (r *recorder) WriteMember(m wire.Member)            { r.writes = append(r.writes, m) }
func (r *recorder) Probe(p membership.Probe)             { r.probes = append(r.probes, p) }
func (*recorder) WriteBreaker(string, wire.BreakerEntry) {}
func (*recorder) DropHold(string)                        {}
func (*recorder) DropMember(string)                      {}
func (r *recorder) Renew()                               { r.renewed++ }
func (*recorder) Event(string, any)                      {}
func (*recorder) Refused(string)                         {}
func (*recorder) Ahead(uint64)                           {}

// bench is a leader of one limit, 100/s with a burst of 100, and one node of it.
type bench struct {
	*Leader
	*recorder
	t     *testing.T
	now   time.Time
	inc   string
	nonce int64
	said  quota.Report // the node's books
	obeys uint64       // the epoch that it has heard
}

func newBench(t *testing.T) *bench {
	doc, _, err := config.Parse([]byte("rate_limit: {global: {rate: 100, burst: 100}}"))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{recorder: &recorder{answers: map[string]wire.Answer{}}, t: t, now: time.Now()}
	b.Leader = New(b.now, Restored{Epoch: 1}, b.recorder)
	b.Configure(b.now, doc, status.Config{Revision: 1})
	b.begin("one")
	return b
}

func (b *bench) begin(incarnation string) { b.inc, b.said, b.obeys = incarnation, quota.Report{}, 0 }

// report lets the node report, obey and report until it hears nothing new, and
// returns what it holds.
func (b *bench) report(state string) quota.Sum {
	for range 5 {
		b.now = b.now.Add(50 * time.Millisecond)
		b.nonce++
		b.said.Seq++
		b.said.Nonce, b.said.Demand = b.nonce, 50*quota.Token
		r := wire.Report{Head: wire.Now(), Node: "n", Incarnation: b.inc, Nonce: b.nonce, Epoch: b.obeys, State: state,
			Limits: map[string]quota.Report{wire.GlobalLimit: b.said}, Stats: &wire.Stats{Address: "127.0.0.1:1"}}
		delete(b.answers, "n")
		b.Report(b.now, "n", r)
		b.Confirmed(b.now, b.now)
		b.obeys = max(b.obeys, b.answers["n"].Epoch)
		a, ok := b.answers["n"].Limits[wire.GlobalLimit]
		if !ok {
			continue
		}
		b.said.Term, b.said.Got = a.Term, a.Gave
	}
	return b.said.Got
}

// stored says that the writes so far have succeeded.
func (b *bench) stored() {
	for _, m := range b.writes {
		b.MemberStored(b.now, m)
	}
	b.writes = nil
}

func (b *bench) books() (held int64) {
	return b.limits[wire.GlobalLimit].Status(b.clock(b.now)).Held.Room
}

func (b *bench) kill() {
	for len(b.probes) == 0 {
		b.now = b.now.Add(100 * time.Millisecond)
		b.Tick(b.now)
	}
	b.Probed(b.now, b.probes[0], membership.NobodyHome, "")
	b.probes = nil
	b.Confirmed(b.now, b.now)
}

// Whoever leads next gives nothing away of what the listed nodes may hold. So
// nobody is given anything who is not listed, and nothing is taken from the dead
// who are.
func TestLimitsFollowTheListOfMembers(t *testing.T) {
	b := newBench(t)
	if got := b.report(status.Live); got != (quota.Sum{}) {
		t.Fatalf("before it was stored the node holds %+v", got)
	}
	b.stored()
	if got := b.report(status.Live); got.Rate == 0 || b.books() == 0 {
		t.Fatalf("once stored the node holds %+v", got)
	}
	b.kill()
	if b.books() == 0 {
		t.Error("its part was free before its death was stored")
	}
	old, renewed := b.writes, b.renewed
	b.stored()
	if b.renewed == renewed {
		t.Error("the lead is not confirmed at once, for which its part waits")
	}
	b.Confirmed(b.now, b.now)
	if held := b.books(); held != 0 {
		t.Errorf("its death is stored and its part still held: %d", held)
	}

	b.begin("two")
	if got := b.report(status.Live); got != (quota.Sum{}) {
		t.Errorf("the list calls the node dead, and it was given %+v", got)
	}
	for _, m := range old { // news of the one before come late
		b.MemberStored(b.now, m)
	}
	if got := b.report(status.Live); got != (quota.Sum{}) {
		t.Errorf("by what was stored of the one before it was given %+v", got)
	}
	b.stored()
	if got := b.report(status.Live); got.Rate == 0 {
		t.Error("stored again and given nothing")
	}
}

// A write that failed is made again, of a death too.
func TestMembersAreStoredAgain(t *testing.T) {
	b := newBench(t)
	b.report(status.Live)
	b.writes = nil // lost
	for range 2 * ticksPerSecond {
		b.Tick(b.now)
	}
	if len(b.writes) == 0 || b.writes[0].State != status.Live {
		t.Fatalf("written again: %+v", b.writes)
	}
	b.stored()
	b.report(status.Live)
	b.kill()
	b.writes = nil
	for range 2 * ticksPerSecond {
		b.Tick(b.now)
	}
	if len(b.writes) == 0 || b.writes[0].State != status.Gone || b.writes[0].Reason != membership.ReasonClosed {
		t.Fatalf("written again: %+v", b.writes)
	}
}

// A node that says goodbye hands everything back in the same report: it is free at
// once, tokens and all.
func TestGoodbyeGivesBackAtOnce(t *testing.T) {
	b := newBench(t)
	b.report(status.Live)
	b.stored()
	got := b.report(status.Live)
	before := b.limits[wire.GlobalLimit].Status(b.clock(b.now)).Level
	if got.Tokens == 0 {
		t.Fatal("the node holds no tokens")
	}
	b.said.Seq++
	b.said.Back, b.said.Last, b.said.Demand = got, true, 0
	b.nonce++
	b.Report(b.now, "n", wire.Report{Head: wire.Now(), Node: "n", Incarnation: b.inc, Nonce: b.nonce, Epoch: 1, State: status.Gone,
		Limits: map[string]quota.Report{wire.GlobalLimit: b.said}})
	after := b.limits[wire.GlobalLimit].Status(b.clock(b.now))
	if b.books() != 0 || after.Level != before+int64(got.Tokens) {
		t.Errorf("held %d, %d tokens in the pool, want 0 and %d", b.books(), after.Level, before+int64(got.Tokens))
	}
}
