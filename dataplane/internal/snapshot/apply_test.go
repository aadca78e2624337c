package snapshot

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/config"
)

const second = int64(time.Second)

// bench is a State whose environment and upstreams are the test's own.
type bench struct {
	*State
	t       *testing.T
	env     map[string]string
	metrics *metrics.Node
}

func newBench(t *testing.T) *bench {
	b := &bench{t: t, env: map[string]string{"KEY": "one"}, metrics: metrics.New(metrics.Info{})}
	lookup := func(name string) (string, bool) { v, ok := b.env[name]; return v, ok }
	b.State = NewState(b.metrics, dialPipe, lookup, func() int64 { return 0 })
	t.Cleanup(b.Close)
	return b
}

// dialPipe is an upstream that is always there and never answers.
func dialPipe(context.Context, string, string) (net.Conn, error) {
	here, _ := net.Pipe()
	return here, nil
}

// apply compiles YAML at a time in nanoseconds.
func (b *bench) apply(now int64, yaml string) *Snapshot {
	b.t.Helper()
	var snap *Snapshot
	if err := b.Apply(b.parse(yaml), now, func(s *Snapshot) { snap = s }); err != nil {
		b.t.Fatal(err)
	}
	return snap
}

func (b *bench) parse(yaml string) *config.Document {
	b.t.Helper()
	doc, _, err := config.Parse([]byte(yaml))
	if err != nil {
		b.t.Fatal(err)
	}
	return doc
}

func (s *Snapshot) plan(name string) *Plan {
	for _, p := range s.Plans {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// providers are two of them, the first with a key.
const providers = `
providers:
  a: {upstream: "http://127.0.0.1:1", auth: {type: header, header: x-key, value_env: KEY}}
  b: {upstream: "http://127.0.0.1:2/base"}
`

func limits(global, perIP, a string) string {
	return fmt.Sprintf("rate_limit: {global: %s, per_ip: %s, per_provider: {a: %s}}\n", global, perIP, a) + providers
}

func TestTables(t *testing.T) {
	b := newBench(t)
	snap := b.apply(0, limits("{rate: 5}", "{rate: 1, burst: 2}", "{rate: 3}")+`
proxy: {max_body_size: 1KiB, allowed_ips: [10.0.0.0/8], trusted_proxies: [127.0.0.1]}
server: {max_in_flight: 7}
`)
	plan, rest, ok := snap.Routes.Match([]byte("/b/x"))
	if !ok || plan != snap.plan("b") || string(rest) != "/x" {
		t.Errorf("/b/x: %v %q %t", plan, rest, ok)
	}
	if len(snap.Plans) != 2 || snap.Plans[0].Name != "a" || snap.Plans[1].Name != "b" {
		t.Errorf("plans are not in the order of their names: %v", snap.Plans)
	}
	if snap.MaxBody != 1024 || snap.MaxInFlight != 7 || len(snap.Trusted) != 1 {
		t.Errorf("caps: %d %d %v", snap.MaxBody, snap.MaxInFlight, snap.Trusted)
	}
	if plan.Limit != nil || plan.Credential == nil || plan.Pool.Target().BasePath != "/base" || plan.Timeouts.Connect != 5*time.Second {
		t.Errorf("plan b: %+v", plan)
	}
	for addr, want := range map[string]bool{"10.1.2.3": true, "11.1.2.3": false} {
		if got := snap.Allows(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Allows(%s) = %t", addr, got)
		}
	}
	if open := b.apply(0, providers); !open.Allows(netip.MustParseAddr("11.1.2.3")) {
		t.Error("an empty list lets nobody in")
	}
}

// A provider that goes away and comes back finds its breaker as it was.
func TestBreakersKeepTheirState(t *testing.T) {
	b := newBench(t)
	const tripsAtOnce = "circuit_breaker: {failure_threshold: 1, timeout: 30s}\n"
	a := b.apply(0, tripsAtOnce+providers).plan("a").Breaker
	permit, _, _, _ := a.Acquire(0)
	a.Done(0, permit, breaker.Failure)

	for _, row := range []struct {
		name, yaml string
		now        int64
		want       verdict.BreakerState
	}{
		{"the same document", tripsAtOnce + providers, second, verdict.Open},
		{"a higher threshold closes nothing", "circuit_breaker: {failure_threshold: 9, timeout: 30s}\n" + providers, second, verdict.Open},
		{"without the provider", `providers: {b: {upstream: "http://127.0.0.1:2"}}`, second, verdict.Open},
		{"with it again", tripsAtOnce + providers, second, verdict.Open},
		{"another upstream", strings.ReplaceAll(tripsAtOnce+providers, "127.0.0.1:1", "127.0.0.1:3"), second, verdict.Open},
		{"a shorter timeout counts from the opening", "circuit_breaker: {timeout: 1s}\n" + providers, second, verdict.HalfOpen},
	} {
		snap := b.apply(row.now, row.yaml)
		if p := snap.plan("a"); p != nil && p.Breaker != a {
			t.Errorf("%s: another breaker", row.name)
		}
		if got := a.State(row.now); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
}

// Counters, gauges and the retry budget belong to the name, not to a document.
func TestMetricsHandlesStay(t *testing.T) {
	b := newBench(t)
	first := b.apply(0, providers).plan("a")
	exposed := func() bool {
		var text strings.Builder
		b.metrics.WritePrometheus(&text)
		return strings.Contains(text.String(), `api_proxy_provider_health{provider="a"}`)
	}
	if !exposed() {
		t.Error("a provider without gauges")
	}
	b.apply(0, `providers: {b: {upstream: "http://127.0.0.1:2"}}`)
	if exposed() {
		t.Error("a removed provider still has gauges")
	}
	again := b.apply(0, providers).plan("a")
	if again.Metrics != first.Metrics || again.Budget != first.Budget {
		t.Error("a provider that came back counts anew")
	}
	if !exposed() {
		t.Error("a provider that came back has no gauges")
	}
}

var patient = upstream.Timeouts{Connect: time.Minute, Send: time.Minute, Read: time.Minute}

// reuses puts one connection into the pool, or finds one there.
func reuses(t *testing.T, p *upstream.Pool) bool {
	t.Helper()
	c, err := p.Get(patient, time.Time{}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release(true)
	return c.Reused()
}

func TestPools(t *testing.T) {
	b := newBench(t)
	pool := b.apply(0, providers).plan("a").Pool
	reuses(t, pool)

	if again := b.apply(0, "proxy: {max_body_size: 1KiB}\n"+providers).plan("a").Pool; again != pool || !reuses(t, pool) {
		t.Error("an unchanged upstream lost its idle connections")
	}

	// Until the new plan is published requests use the old pool.
	moved := b.parse(strings.ReplaceAll(providers, "127.0.0.1:1", "127.0.0.1:3"))
	var snap *Snapshot
	err := b.Apply(moved, 0, func(s *Snapshot) {
		snap = s
		if !reuses(t, pool) {
			t.Error("the old pool was closed before the new one was there")
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if first, second := reuses(t, pool), reuses(t, pool); first || second {
		t.Error("the old pool still keeps connections")
	}
	next := snap.plan("a").Pool
	if next == pool || next.Target().Addr != "127.0.0.1:3" {
		t.Errorf("the new plan connects to %v", next.Target())
	}

	// A provider that leaves takes its connections along.
	reuses(t, next)
	b.apply(0, `providers: {b: {upstream: "http://127.0.0.1:2"}}`)
	if reuses(t, next) {
		t.Error("the pool of a removed provider still keeps connections")
	}

	last := b.apply(0, providers).plan("a").Pool
	reuses(t, last)
	b.Sweep(time.Now().Add(time.Hour))
	if reuses(t, last) {
		t.Error("the sweep left a connection that was idle for an hour")
	}
	b.Close()
	if reuses(t, last) {
		t.Error("Close left an idle connection")
	}
}

// Apply does what can fail first.
func TestFailedApplyChangesNothing(t *testing.T) {
	b := newBench(t)
	before := b.apply(0, limits("{rate: 1, burst: 9}", "{rate: 1, burst: 9}", "{rate: 1, burst: 9}"))
	bad := b.parse(limits("{rate: 0}", "{rate: 0}", "{rate: 0}"))
	p := bad.Providers["b"]
	p.Upstream = "gopher://127.0.0.1"
	bad.Providers["b"] = p
	delete(b.env, "KEY")

	err := b.Apply(bad, second, func(*Snapshot) { t.Error("published") })
	if err == nil || !strings.Contains(err.Error(), "providers.b.upstream") {
		t.Errorf("the error does not say where: %v", err)
	}
	plan := before.plan("a")
	decision, _ := before.PerIP.Take(second, netip.Addr{})
	for name, d := range map[string]int64{
		"global": before.Global.Take(second).Remaining, "per_ip": decision.Remaining, "a": plan.Limit.Take(second).Remaining,
	} {
		if d != 8 {
			t.Errorf("%s: %d left of 9 after one, want 8", name, d)
		}
	}
	if b.providers["a"].pool != plan.Pool || plan.Credential == nil {
		t.Error("the pool or the credential in use changed")
	}
}

func TestCredentials(t *testing.T) {
	b := newBench(t)
	plan := b.apply(0, providers).plan("a")
	if plan.Credential == nil || string(plan.Credential.HeaderLine) != "x-key: one\r\n" {
		t.Fatalf("%v %v", plan.Credential, plan.CredentialError)
	}

	// Keys are rotated by a reload; requests under way keep theirs.
	b.env["KEY"] = "two"
	if next := b.apply(0, providers).plan("a"); string(next.Credential.HeaderLine) != "x-key: two\r\n" {
		t.Error("the key was not read again")
	}
	if string(plan.Credential.HeaderLine) != "x-key: one\r\n" {
		t.Error("the old snapshot changed")
	}

	// Without its key a provider has a plan all the same, to say what is missing.
	delete(b.env, "KEY")
	snap := b.apply(0, providers)
	plan = snap.plan("a")
	if plan.Credential != nil || plan.CredentialError == nil || !strings.Contains(plan.CredentialError.Error(), "KEY") {
		t.Errorf("%v %v", plan.Credential, plan.CredentialError)
	}
	if other := snap.plan("b"); other.Credential == nil || other.CredentialError != nil {
		t.Errorf("the other provider lost its own: %v", other.CredentialError)
	}
}
