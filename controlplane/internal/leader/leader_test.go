package leader

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/controlplane/internal/membership"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// stage is a leader in virtual time, and what it wants done.
type stage struct {
	*Leader
	t   *testing.T
	now time.Time

	answers  map[string][]wire.Answer
	breakers map[string]wire.BreakerEntry
	members  []wire.Member
	dropped  []string // holds and members
	probes   []membership.Probe
	events   []string
	refused  []string
	ahead    []uint64
	renewals int
	stores   bool // members are stored at once
}

func (s *stage) Answer(node string, a wire.Answer) { s.answers[node] = append(s.answers[node], a) }
func (s *stage) WriteBreaker(provider string, e wire.BreakerEntry) {
	s.breakers[provider] = e
}
func (s *stage) DropHold(provider string)  { s.dropped = append(s.dropped, "hold of "+provider) }
func (s *stage) WriteMember(m wire.Member) { s.members = append(s.members, m) }
func (s *stage) DropMember(node string)    { s.dropped = append(s.dropped, node) }
func (s *stage) Renew()                    { s.renewals++ }
func (s *stage) Probe(p membership.Probe)  { s.probes = append(s.probes, p) }
func (s *stage) Event(name string, data any) {
	s.events = append(s.events, fmt.Sprintf("%s %+v", name, data))
}
func (s *stage) Refused(reason string) { s.refused = append(s.refused, reason) }
func (s *stage) Ahead(revision uint64) { s.ahead = append(s.ahead, revision) }

const text = `
rate_limit: {global: {rate: 1000, burst: 2000}, per_provider: {up: {rate: 100, burst: 200}}}
circuit_breaker: {failure_threshold: 5, success_threshold: 2, timeout: 30s, half_open_requests: 3}
providers: {up: {upstream: "http://127.0.0.1:1"}}
`

func document(t *testing.T) *config.Document {
	t.Helper()
	doc, _, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// lead begins with what is restored and a configuration of revision 7.
func lead(t *testing.T, r Restored) *stage {
	t.Helper()
	s := &stage{t: t, now: time.Now(), answers: map[string][]wire.Answer{}, breakers: map[string]wire.BreakerEntry{}, stores: true}
	r.Epoch = max(r.Epoch, 1)
	s.Leader = New(s.now, r, s)
	s.Configure(s.now, document(t), status.Config{Revision: 7, Author: "kim"})
	s.Confirmed(s.now, s.now)
	return s
}

// pass lets time pass, tick by tick, with do at each.
func (s *stage) pass(d time.Duration, do func()) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(20 * time.Millisecond)
		if do != nil {
			do()
		}
		if s.Tick(s.now); s.ticks%ticksPerSecond == 0 {
			s.Confirmed(s.now, s.now)
		}
		s.settle()
	}
}

// settle does what the controller does with members and renewals.
func (s *stage) settle() {
	for _, m := range s.members {
		if s.stores {
			s.MemberStored(s.now, m)
		}
	}
	for ; s.renewals > 0; s.renewals-- {
		s.Confirmed(s.now, s.now)
	}
}

// report is what a node says; change may edit it.
func (s *stage) report(id, incarnation string, change func(r *wire.Report)) wire.Report {
	r := wire.Report{Head: wire.Now(), Node: id, Incarnation: incarnation, Nonce: int64(s.now.Sub(s.began)) + 1, Epoch: s.last(id).Epoch,
		State: status.Live, Revision: 7, Stats: &wire.Stats{Address: "127.0.0.1:1", Version: "v1"}}
	if change != nil {
		change(&r)
	}
	s.Report(s.now, id, r)
	s.settle()
	return r
}

// last is the newest answer that a node was sent.
func (s *stage) last(id string) wire.Answer {
	if a := s.answers[id]; len(a) > 0 {
		return a[len(a)-1]
	}
	return wire.Answer{}
}

func (s *stage) happened(what ...string) bool {
	return slices.ContainsFunc(s.events, func(e string) bool {
		return !slices.ContainsFunc(what, func(w string) bool { return !strings.Contains(e, w) })
	})
}

func (s *stage) state(id string) string {
	for _, n := range s.Status(s.now).Nodes {
		if n.ID == id {
			return n.State
		}
	}
	return ""
}

func TestReportsAreAnswered(t *testing.T) {
	s := lead(t, Restored{Epoch: 3})
	r := s.report("a", "1", nil)
	if a := s.last("a"); a.Incarnation != "1" || a.Nonce != r.Nonce || a.Epoch != 3 || a.Revision != 7 || a.Nodes != 1 {
		t.Errorf("%+v", a)
	}
	if !s.happened("node_joined", "Node:a") || !s.happened("config_applied", "Revision:7") || len(s.members) != 1 {
		t.Errorf("%v, %v", s.events, s.members)
	}
	// Who has nothing to learn hears of the leader now and then only.
	n := len(s.answers["a"])
	s.pass(time.Second, func() { s.report("a", "1", nil) })
	if more := len(s.answers["a"]) - n; more < 1 || more > 3 {
		t.Errorf("%d answers in a second without news", more)
	}
	// A report under another's name is not believed.
	s.Report(s.now, "b", wire.Report{Head: wire.Now(), Node: "a", Incarnation: "2", Nonce: 1})
	if !slices.Equal(s.refused, []string{"foreign"}) || len(s.Status(s.now).Nodes) != 1 {
		t.Errorf("%v", s.refused)
	}
	// A node that refuses a revision is behind, and its reason is known.
	s.Configure(s.now, document(t), status.Config{Revision: 8})
	s.pass(20*time.Millisecond, func() {
		s.report("a", "1", func(r *wire.Report) { r.Refused = &wire.Refusal{Revision: 8, Reason: "no such file"} })
	})
	nodes, pending := s.Progress(8)
	if nodes != 1 || len(pending) != 1 || !strings.Contains(pending[0].Reason, "no such file") || s.Behind() != 1 {
		t.Errorf("%d nodes, pending %v", nodes, pending)
	}
}

func TestDuplicateID(t *testing.T) {
	s := lead(t, Restored{})
	s.pass(time.Second, func() { s.report("a", "1", nil) })
	s.pass(2*time.Second, func() {
		s.report("a", "1", nil)
		s.report("a", "2", nil)
	})
	if got := s.last("a"); got.Rejected == "" || got.Incarnation != "2" {
		t.Errorf("%+v", got)
	}
	if !slices.Contains(s.refused, "duplicate_id") || !s.happened("node_refused") || s.Status(s.now).Nodes[0].Incarnation != "1" {
		t.Errorf("%v %v", s.refused, s.events)
	}
}

// Silence is no proof: its share stays with a silent node until its death is
// proven.
func TestSilenceAndDeath(t *testing.T) {
	s := lead(t, Restored{})
	granted := s.join("a")
	s.pass(12*time.Second, nil)
	if s.state("a") != status.Gone || !s.happened("node_left", "silent") {
		t.Fatalf("%s %v", s.state("a"), s.events)
	}
	if got := s.Shares(s.now)["a"][wire.GlobalLimit].Rate; got != granted {
		t.Errorf("a share of %v without proof, want %v", got, granted)
	}
	if len(s.probes) == 0 || s.probes[0].Address != "127.0.0.1:1" {
		t.Fatalf("probes %v", s.probes)
	}
	s.Probed(s.now, s.probes[len(s.probes)-1], membership.NobodyHome, "")
	s.settle() // stored, and then free
	s.now = s.now.Add(time.Millisecond)
	s.Confirmed(s.now, s.now)
	if !s.happened("node_left", "connection refused") {
		t.Error(s.events)
	}
	if got := s.Shares(s.now)["a"][wire.GlobalLimit].Rate; got != 0 {
		t.Errorf("a share of %v after the proof", got)
	}
	// It is forgotten in the end, when it holds nothing.
	s.pass(time.Hour+2*time.Second, nil)
	if !slices.Contains(s.dropped, "a") || s.state("a") != "" {
		t.Errorf("dropped %v, state %q", s.dropped, s.state("a"))
	}
}

// join lets a node report until it has a share of the global limit.
func (s *stage) join(id string) (rate float64) {
	s.t.Helper()
	n := quotaNode{}
	s.pass(2*time.Second, func() {
		s.report(id, "1", func(r *wire.Report) { r.Limits = n.report(s, r.Nonce) })
		n.hear(s.last(id))
	})
	rate = s.Shares(s.now)[id][wire.GlobalLimit].Rate
	if rate == 0 {
		s.t.Fatalf("%s has no share", id)
	}
	return rate
}

// quotaNode is the least of a node's side of the global limit: it takes what it is
// given.
type quotaNode struct {
	seq  uint64
	last quota.Answer
	got  quota.Sum
}

func (n *quotaNode) report(_ *stage, nonce int64) map[string]quota.Report {
	n.seq++
	return map[string]quota.Report{wire.GlobalLimit: {Term: n.last.Term, Seq: n.seq, Nonce: nonce, Got: n.got, Demand: 10 * quota.Token, Now: 10 * quota.Token}}
}

func (n *quotaNode) hear(a wire.Answer) {
	q, ok := a.Limits[wire.GlobalLimit]
	if !ok || q.Term < n.last.Term {
		return
	}
	if q.Term == n.last.Term && q.Seq > n.last.Seq {
		n.got = q.Gave
	}
	if q.Term > n.last.Term {
		n.got = quota.Sum{}
	}
	n.last = q
}

// A node has a share only after it stands in the durable list.
func TestNoShareBeforeTheMemberIsStored(t *testing.T) {
	s := lead(t, Restored{})
	s.stores = false
	n := quotaNode{}
	s.pass(3*time.Second, func() {
		s.report("a", "1", func(r *wire.Report) { r.Limits = n.report(s, r.Nonce) })
		n.hear(s.last("a"))
	})
	if got := s.Shares(s.now)["a"][wire.GlobalLimit]; got != (Share{}) || n.last.Term != 0 {
		t.Errorf("a share %v, an answer %+v", got, n.last)
	}
	if len(s.members) < 3 {
		t.Errorf("the member was written %d times, want again each second", len(s.members))
	}
	s.stores = true
	s.settle()
	s.join("a")
}

// A leader that did not run, or could not hear, takes nobody for silent.
func TestDeafLeader(t *testing.T) {
	s := lead(t, Restored{})
	s.pass(time.Second, func() { s.report("a", "1", nil) })
	s.now = s.now.Add(20 * time.Second) // frozen
	s.Tick(s.now)
	if got := s.state("a"); got != status.Live {
		t.Errorf("after a pause: %s", got)
	}
	s.Connected(s.now, false)
	s.pass(20*time.Second, nil)
	if got := s.state("a"); got != status.Live {
		t.Errorf("unheard: %s", got)
	}
	s.Connected(s.now, true)
	s.pass(time.Second, nil)
	if got := s.state("a"); got != status.Live {
		t.Errorf("heard again, a second later: %s", got)
	}
	s.pass(10*time.Second, nil)
	if got := s.state("a"); got != status.Gone {
		t.Errorf("silent: %s", got)
	}
}

func TestBreakers(t *testing.T) {
	s := lead(t, Restored{})
	failing := func(id string, n int) {
		s.report(id, "1", func(r *wire.Report) {
			r.Breakers = []wire.Evidence{{Provider: "up", Failures: n, Attempted: true}}
		})
	}
	s.pass(20*time.Millisecond, func() { failing("a", 2); failing("b", 2) })
	if got := s.Breakers(s.now)["up"]; got.State != wire.BreakerClosed || got.Failures != 4 {
		t.Errorf("%+v", got)
	}
	s.pass(20*time.Millisecond, func() { failing("b", 3) })
	if got := s.Breakers(s.now)["up"].State; got != wire.BreakerOpen || s.breakers["up"].State != wire.BreakerOpen {
		t.Errorf("%s, written %+v", got, s.breakers["up"])
	}
	if !s.happened("breaker", "To:open", "Provider:up") {
		t.Error(s.events)
	}
	// Whoever does not know is told in the next answer.
	s.pass(20*time.Millisecond, func() { s.report("a", "1", nil) })
	if a := s.last("a"); len(a.Breakers) != 1 || a.Breakers[0].State != wire.BreakerOpen {
		t.Errorf("%+v", a)
	}

	if s.Order(s.now, "nobody", Order{Do: Trip}) || s.HasProvider("nobody") {
		t.Error("there is no such provider")
	}
	s.Order(s.now, "up", Order{Do: Trip, TTL: time.Minute, Author: "kim", Reason: "test"})
	if got := s.Breakers(s.now)["up"]; got.Forced == nil || got.Forced.Author != "kim" {
		t.Errorf("%+v", got)
	}
	s.pass(time.Minute+time.Second, nil)
	if got := s.Breakers(s.now)["up"]; got.State != wire.BreakerHalfOpen || got.Forced != nil || !slices.Contains(s.dropped, "hold of up") {
		t.Errorf("after its time: %+v, dropped %v", got, s.dropped)
	}
	s.Order(s.now, "up", Order{Do: Reset})
	if got := s.Breakers(s.now)["up"].State; got != wire.BreakerClosed {
		t.Errorf("after the reset: %s", got)
	}
}

// A new leader goes on where the last one was: members, breakers and holds.
func TestRestored(t *testing.T) {
	since := time.Now()
	s := lead(t, Restored{
		Epoch:    9,
		Members:  []wire.Member{{Node: "a", Incarnation: "1", Address: "127.0.0.1:1", State: status.Live}},
		Breakers: map[string]wire.BreakerEntry{"up": {State: wire.BreakerOpen, RetryMS: 1000, Since: since, Generation: wire.Generation{Epoch: 8, Gen: 4}}},
		Holds:    map[string]wire.Hold{},
	})
	if got := s.Breakers(s.now)["up"].State; got != wire.BreakerOpen {
		t.Errorf("the breaker is %s", got)
	}
	if got := s.state("a"); got != status.Live {
		t.Errorf("the node is %s", got)
	}
	if len(s.events) != 0 {
		t.Errorf("nothing is news: %v", s.events)
	}
	s.report("a", "1", nil)
	if s.happened("node_joined") || s.last("a").Epoch != 9 {
		t.Errorf("%v %+v", s.events, s.last("a"))
	}

	held := lead(t, Restored{Epoch: 10, Holds: map[string]wire.Hold{"up": {State: wire.BreakerOpen, Author: "kim"}}})
	held.pass(time.Minute, nil)
	if got := held.Breakers(held.now)["up"]; got.State != wire.BreakerOpen || got.Forced == nil {
		t.Errorf("a hold without end: %+v", got)
	}
}

func TestExhaustion(t *testing.T) {
	s := lead(t, Restored{})
	n, refused := quotaNode{}, uint64(0)
	report := func() {
		s.report("a", "1", func(r *wire.Report) {
			r.Limits = n.report(s, r.Nonce)
			q := r.Limits[wire.GlobalLimit]
			q.Refused = refused
			r.Limits[wire.GlobalLimit] = q
		})
		n.hear(s.last("a"))
	}
	count := func() (n int) {
		for _, e := range s.events {
			if strings.HasPrefix(e, "limit_exhausted") {
				n++
			}
		}
		return n
	}
	s.pass(2*time.Second, report)
	s.pass(5*time.Second, func() { refused++; report() })
	if got := count(); got != 1 {
		t.Errorf("told %d times, want once", got)
	}
	s.pass(31*time.Second, report)
	s.pass(2*time.Second, func() { refused++; report() })
	if got := count(); got != 2 {
		t.Errorf("told %d times, want again after a quiet time", got)
	}

	// What was refused before a leader came is no news to it, when it is heard at last.
	old := s.members[0]
	s = lead(t, Restored{Epoch: 2, Members: []wire.Member{old}})
	s.pass(3*time.Second, nil)
	s.pass(3*time.Second, report)
	if got := count(); got != 0 {
		t.Errorf("a new leader told %d times of what is past", got)
	}
	s.pass(2*time.Second, func() { refused++; report() })
	if got := count(); got != 1 {
		t.Errorf("a new leader told %d times, want once", got)
	}
}

func TestConfirm(t *testing.T) {
	s := lead(t, Restored{})
	s.report("a", "1", nil)
	if err := s.Confirm(s.now, "a"); !errors.Is(err, ErrAlive) {
		t.Error(err)
	}
	if err := s.Confirm(s.now, "b"); !errors.Is(err, ErrUnknownNode) {
		t.Error(err)
	}
	s.pass(3*time.Second, nil)
	if s.Status(s.now).Nodes[0].Left {
		t.Error("a silent node has left")
	}
	if err := s.Confirm(s.now, "a"); err != nil || !s.Status(s.now).Nodes[0].Left || !s.happened("node_left", "confirmed") {
		t.Error(err, s.events)
	}
}

// A revision that only a node has is above ours: the store has lost something.
func TestAhead(t *testing.T) {
	s := lead(t, Restored{})
	s.pass(2*time.Second, func() { s.report("a", "1", nil) })
	if len(s.ahead) != 0 {
		t.Error(s.ahead)
	}
	s.pass(2*time.Second, func() { s.report("a", "1", func(r *wire.Report) { r.Revision = 50 }) })
	if len(s.ahead) == 0 || s.ahead[0] != 50 {
		t.Error(s.ahead)
	}
	n := len(s.ahead)
	s.Configure(s.now, document(t), status.Config{Revision: 51})
	s.pass(2*time.Second, nil)
	if len(s.ahead) != n {
		t.Error("told again of what is past")
	}
	s.Configure(s.now, document(t), status.Config{Revision: 50})
	if s.Revision() != 51 {
		t.Error("an old revision came into force")
	}
}
