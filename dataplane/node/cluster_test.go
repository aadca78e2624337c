package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// noNATS is an address where nobody listens.
const noNATS = "nats://127.0.0.1:1"

// entry is a published configuration with a global limit.
func entry(t *testing.T, revision uint64, u *upstreamServer, yaml string) wire.ConfigEntry {
	t.Helper()
	x := new(text)
	x.set(yaml + u.provider())
	doc, _, _, err := x.source()
	if err != nil {
		t.Fatal(err)
	}
	doc.Revision = revision
	return wire.ConfigEntry{Head: wire.Now(), Revision: revision, Time: time.Now(), Author: "kim", Config: doc.JSON()}
}

func put(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Without the controller a node runs what it ran last, else what it is given,
// else nothing; what cannot be used is told and left alone.
func TestLastKnownGood(t *testing.T) {
	up := newUpstream(t)
	good := string(wire.Encode(entry(t, 41, up, unlimited)))
	for _, row := range []struct {
		name, kept string
		source     bool
		revision   uint64
		ready      int
		log        string
	}{
		{"kept", good, true, 41, 200, ""},
		{"kept, nothing given", good, false, 41, 200, ""},
		{"nothing kept", "", true, 0, 200, ""},
		{"nothing at all", "", false, 0, 503, ""},
		{"damaged", good[:len(good)/2], true, 0, 200, "the last configuration cannot be used"},
		{"damaged, nothing given", "\x00", false, 0, 503, "the last configuration cannot be used"},
		{"of a newer program", strings.Replace(good, `"v":1`, `"v":9`, 1), false, 0, 503, "newer version"},
		{"with a setting that is unknown", strings.Replace(good, `"config":{`, `"config":{"proxi":{},`, 1), true, 0, 200, "proxi"},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, func(o *Options) {
				o.NATSURL = noNATS
				if row.kept != "" {
					put(t, o.DataDir, "config.json", row.kept)
				}
				if !row.source {
					o.Source = nil
				}
			})
			if got := b.Status().Config.Revision; got != row.revision {
				t.Errorf("revision %d, want %d", got, row.revision)
			}
			if resp, body := b.get("/ready"); resp.StatusCode != row.ready {
				t.Errorf("/ready: %d %s", resp.StatusCode, body)
			}
			if !strings.Contains(b.stderr.get(), row.log) {
				t.Errorf("want %q in the log:\n%s", row.log, b.stderr.get())
			}
			if row.ready == 503 {
				if resp, body := b.get("/up/x"); resp.StatusCode != 503 {
					t.Errorf("without a configuration: %d %s", resp.StatusCode, body)
				}
			}
		})
	}
}

// A published configuration comes into force and is kept; an old one and a bad
// one change nothing, and of the bad one the controller is told.
func TestFollow(t *testing.T) {
	b := start(t, func(o *Options) { o.NATSURL, o.DebugAdmittedAt = noNATS, true })
	b.follow(entry(t, 5, b.upstream, unlimited))
	b.follow(entry(t, 4, b.upstream, "rate_limit: {global: {rate: 1}}\n"))
	if doc := b.Status(); doc.Config.Revision != 5 || doc.Config.Author != "kim" || doc.Limits.Global != nil {
		t.Errorf("%+v", doc.Config)
	}
	kept := func() uint64 {
		data, err := os.ReadFile(b.lastPath())
		if err != nil {
			t.Fatal(err)
		}
		e, err := wire.Decode[wire.ConfigEntry](data)
		if err != nil {
			t.Fatal(err)
		}
		return e.Revision
	}
	if got := kept(); got != 5 {
		t.Errorf("revision %d is kept", got)
	}
	public := entry(t, 6, b.upstream, unlimited)
	public.Config = json.RawMessage(`{"rate_limit":{},"providers":{"up":{"upstream":"https://example.com"}}}`)
	garbage := public
	garbage.Revision, garbage.Config = 7, json.RawMessage(`[]`)
	for i, bad := range []wire.ConfigEntry{public, garbage} {
		b.follow(bad)
		if got := b.Status().Config.Revision; got != 5 {
			t.Errorf("revision %d is in force", got)
		}
		if r := b.refused.Load(); r == nil || r.Revision != bad.Revision || r.Reason == "" {
			t.Errorf("told %+v", r)
		}
		if want := fmt.Sprintf("api_proxy_config_refused_total %d\n", i+1); !b.metricsHave(want) {
			t.Errorf("no %q", want)
		}
	}
	if got := kept(); got != 5 {
		t.Errorf("revision %d is kept", got)
	}
	if resp, _ := b.get("/up/x"); resp.StatusCode != 200 {
		t.Errorf("the old one answers %d", resp.StatusCode)
	}
	b.follow(entry(t, 8, b.upstream, unlimited))
	if b.refused.Load() != nil || kept() != 8 {
		t.Error("the refusal outlives the next revision")
	}
	// Its own reload brings back neither the file nor the refused one.
	if err := b.Reload(); err != nil || b.Status().Config.Revision != 8 {
		t.Errorf("%v, revision %d", err, b.Status().Config.Revision)
	}
}

func (b *bench) metricsHave(line string) bool {
	_, body := b.get("/metrics")
	return strings.Contains(body, line)
}

// A node goes on with the leases of the process before, if they are of this life
// of the machine and can be read.
func TestSavedLeases(t *testing.T) {
	if bootID() == "" {
		t.Skip("SKIP: this system has no boot id; leases are not kept")
	}
	saved := func(boot string, until int64) string {
		data, err := json.Marshal(leaseFile{boot, map[string]quota.Saved{
			wire.GlobalLimit: {Holding: quota.Holding{Rate: 50 * quota.PerSecond, Room: quota.Token}, Until: until}}})
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	later := bootClock() + int64(time.Hour)
	for _, row := range []struct {
		name, file string
		mode       string
		log        string
	}{
		{"of this boot", saved(bootID(), later), status.Holding, ""},
		{"of another", saved("another", later), status.ClosedMode, ""},
		{"run out", saved(bootID(), 1), status.ClosedMode, ""},
		{"none", "", status.ClosedMode, ""},
		{"damaged", "{", status.ClosedMode, "the leases of the last run cannot be used"},
		{"absurd", `{"boot":"` + bootID() + `","leases":{"global":{"r":-5,"w":-1,"u":9000000000000000000},"per_provider/nobody":{"r":1}}}`, status.ClosedMode, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, func(o *Options) {
				o.NATSURL = noNATS
				if row.file != "" {
					put(t, o.DataDir, "leases.json", row.file)
				}
				x := new(text)
				x.set("rate_limit: {global: {rate: 100, burst: 100}}\nproviders: {up: {upstream: \"http://127.0.0.1:1\"}}\n")
				o.Source = x.source
			})
			if row.mode == status.Holding { // after it has looked for a leader
				eventually(t, "the lease is taken up", func() bool { return b.mode() == row.mode })
			} else if got := b.mode(); got != row.mode {
				t.Errorf("mode %s, want %s", got, row.mode)
			}
			if !strings.Contains(b.stderr.get(), row.log) {
				t.Errorf("want %q in the log:\n%s", row.log, b.stderr.get())
			}
			if row.mode == status.ClosedMode {
				if resp, body := b.get("/up/x"); resp.StatusCode != 429 {
					t.Errorf("without a lease: %d %s", resp.StatusCode, body)
				}
			} else {
				eventually(t, "a token is earned", func() bool { resp, _ := b.get("/up/x"); return resp.StatusCode != 429 })
			}
			if err := b.Stop(context.Background()); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(b.leasePath()); row.file != "" && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after a stop, which hands all back, the file is there: %v", err)
			}
		})
	}
}

// Which answers a node believes.
func TestAnswers(t *testing.T) {
	b := start(t, func(o *Options) { o.NATSURL = noNATS })
	c := b.cluster.Load()
	b.follow(entry(t, 5, b.upstream, unlimited))
	hear := func(change func(a *wire.Answer)) {
		a := wire.Answer{Head: wire.Now(), Incarnation: b.incarnation, Nonce: b.clock(), Epoch: 7, Nodes: 3, Revision: 5}
		change(&a)
		c.answer(a)
	}
	open := wire.NamedEntry{Provider: "up", BreakerEntry: wire.BreakerEntry{Head: wire.Now(), State: wire.BreakerOpen, Generation: wire.Generation{Epoch: 7, Gen: 1}}}
	for name, change := range map[string]func(a *wire.Answer){
		"another incarnation": func(a *wire.Answer) { a.Incarnation = "other"; a.Rejected = "no" },
		"too late":            func(a *wire.Answer) { a.Nonce -= int64(staleAnswer) + 1 },
	} {
		hear(func(a *wire.Answer) { a.Breakers = append(a.Breakers, open); change(a) })
		if b.Status().Providers["up"].State != "closed" || c.led(b.clock()) || c.epoch.Load() != 0 {
			t.Errorf("%s: believed", name)
		}
	}
	hear(func(*wire.Answer) {})
	if !c.led(b.clock()) || c.nodes.Load() != 3 || b.mode() != status.Leased {
		t.Errorf("not believed; mode %s", b.mode())
	}
	hear(func(a *wire.Answer) { a.Epoch, a.Breakers = 6, append(a.Breakers, open) })
	if b.Status().Providers["up"].State != "closed" {
		t.Error("a leader of an older epoch is believed")
	}
	hear(func(a *wire.Answer) { a.Breakers = append(a.Breakers, open) })
	if b.Status().Providers["up"].State != "open" {
		t.Error("the leader's breaker is not taken up")
	}
	if c.led(b.clock() + int64(staleAnswer) + 1) {
		t.Error("a leader that is silent still leads")
	}

	for range 2 { // once is told
		hear(func(a *wire.Answer) { a.Rejected = "another process uses the node id n1" })
	}
	select {
	case err := <-b.Failed():
		if !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "another process uses") {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("a rejected node goes on")
	}
	if n := strings.Count(b.stderr.get(), "the controller refused this node"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
