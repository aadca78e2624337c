package membership

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
	"apiproxy.internal/shared/wire"
)

// script runs a story, a line at a time, and compares what came of each line.
//
//	1.5s a/1 live @host  ->  joined a/1; write a live
//
// At that time node a in incarnation 1 reports live from an address. Other lines:
// "sweep", "probed a/1 answered 2", "probed a/1 nobody", "probed a/1 unclear",
// "confirm a", "excuse".
type script struct {
	t     *testing.T
	m     *Members
	nonce int64
}

func (s *script) run(lines string) {
	s.t.Helper()
	for line := range strings.SplitSeq(strings.TrimSpace(lines), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		did, want, _ := strings.Cut(line, "->")
		if got := s.step(strings.Fields(did)); got != strings.TrimSpace(want) {
			s.t.Errorf("%s\n  got %s", line, got)
		}
	}
}

func (s *script) step(f []string) string {
	at, err := time.ParseDuration(f[0])
	if err != nil {
		s.t.Fatal(err)
	}
	now := int64(at)
	split := func(id string) (string, string) { a, b, _ := strings.Cut(id, "/"); return a, b }
	switch f[1] {
	case "sweep":
		return show(s.m.Sweep(now))
	case "excuse":
		s.m.Excuse(now)
		return ""
	case "confirm":
		out, found := s.m.Confirm(f[2], now)
		if !found {
			return "not found"
		}
		return show(out)
	case "probed":
		node, incarnation := split(f[2])
		finding := map[string]Finding{"answered": Answered, "nobody": NobodyHome, "unclear": Unclear}[f[3]]
		who := ""
		if finding == Answered {
			who = f[4]
		}
		return show(s.m.Probed(Probe{Node: node, Incarnation: incarnation}, finding, who, now))
	}
	s.nonce++
	r := Report{Nonce: s.nonce, State: f[2]}
	r.Node, r.Incarnation = split(f[1])
	for _, more := range f[3:] {
		if more == "late" {
			r.Nonce = 0
		} else {
			r.Address = more[1:]
		}
	}
	return show(s.m.Observe(r, now))
}

func show(out Outcome) string {
	var parts []string
	if out.Accepted {
		parts = append(parts, "ok")
	}
	if out.Rejected != "" {
		parts = append(parts, "rejected")
	}
	for _, e := range out.Events {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s %s/%s %s", e.Kind, e.Node, e.Incarnation, e.Reason)))
	}
	for _, p := range out.Probes {
		parts = append(parts, fmt.Sprintf("probe %s/%s@%s", p.Node, p.Incarnation, p.Address))
	}
	for _, w := range out.Writes {
		parts = append(parts, fmt.Sprintf("write %s %s", w.Node, w.State))
	}
	for _, d := range out.Deletes {
		parts = append(parts, "delete "+d)
	}
	return strings.Join(parts, "; ")
}

func TestStories(t *testing.T) {
	for name, story := range map[string]string{
		"silence": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			50ms   a/1 live      -> ok
			1.549s sweep         ->
			1.55s  sweep         -> suspect a/1; probe a/1@h
			1.6s   probed a/1 unclear ->
			2.5s   sweep         ->
			2.55s  sweep         -> probe a/1@h
			2.6s   probed a/1 answered 1 ->
			3s     a/1 live      -> ok; back a/1
			4.5s   sweep         -> suspect a/1; probe a/1@h
			12.9s  sweep         ->
			13s    sweep         -> gone a/1 silent; write a gone
			13.1s  a/1 live      -> ok; joined a/1; write a live`,
		"proof of death": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1.5s   sweep         -> suspect a/1; probe a/1@h
			1.6s   probed a/1 nobody -> gone a/1 connection refused; write a gone
			2s     sweep         ->
			2s     probed a/1 nobody ->
			3s     a/2 live @h   -> ok; joined a/2 restarted; write a live
			4.5s   sweep         -> suspect a/2; probe a/2@h
			4.6s   probed a/2 answered 3 -> gone a/2 another process; write a gone`,
		"proof after silence": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			2s     sweep         -> suspect a/1; probe a/1@h
			2s     probed a/1 unclear ->
			10s    sweep         -> gone a/1 silent; write a gone
			11.9s  sweep         ->
			12s    sweep         -> probe a/1@h
			12s    probed a/1 nobody -> gone a/1 connection refused; write a gone
			60s    sweep         ->`,
		"back before the probe": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1.5s   sweep         -> suspect a/1; probe a/1@h
			1.6s   a/1 live      -> ok; back a/1
			1.7s   probed a/1 nobody ->`,
		"no address, no probe": `
			0s     a/1 live      -> ok; joined a/1; write a live
			1.5s   sweep         -> suspect a/1
			10s    sweep         -> gone a/1 silent; write a gone`,
		"draining and goodbye": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1s     a/1 draining  -> ok; draining a/1; write a draining
			2s     a/1 draining  -> ok
			3.6s   sweep         -> suspect a/1; probe a/1@h
			3.7s   a/1 draining  -> ok; back a/1
			4s     a/1 gone      -> ok; gone a/1 left; write a gone
			5s     sweep         ->
			5s     a/1 live late ->
			6s     a/2 live @h   -> ok; joined a/2 restarted; write a live`,
		"suspect, then draining": `
			0s     a/1 live      -> ok; joined a/1; write a live
			1.5s   sweep         -> suspect a/1
			1.6s   a/1 draining  -> ok; back a/1; draining a/1; write a draining`,
		"a stranger's goodbye": `
			0s     a/1 gone      ->`,
		"restart within the silence": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			100ms  a/2 live @h   -> probe a/1@h
			110ms  probed a/1 answered 2 -> gone a/1 another process; joined a/2 restarted; write a live
			150ms  a/2 live @h   -> ok
			200ms  a/1 live      -> rejected; refused a/1 duplicate id
			250ms  a/1 live      -> rejected`,
		"restart after silence needs no probe": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1.5s   a/2 live @h   -> ok; gone a/1 restarted; joined a/2 restarted; write a live`,
		"duplicate id, seen by the probe": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			100ms  a/2 live @i   -> probe a/1@h
			110ms  a/2 live @i   ->
			120ms  probed a/1 answered 1 -> rejected; refused a/2 duplicate id
			150ms  a/2 live @i   -> rejected
			1s     a/1 live      -> ok
			1.1s   a/2 live @i   -> rejected
			# the first one dies: the second may come in
			2.5s   a/2 live @i   -> ok; gone a/1 restarted; joined a/2 restarted; write a live`,
		"duplicate id, seen by ear": `
			0s     a/1 live      -> ok; joined a/1; write a live
			100ms  a/2 live @i   ->
			500ms  a/1 live      -> ok
			550ms  a/2 live @i   ->
			600ms  a/1 live      -> ok
			650ms  a/2 live @i   -> rejected; refused a/2 duplicate id`,
		"the probe is unclear until the first falls silent": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			100ms  a/2 live @i   -> probe a/1@h
			200ms  probed a/1 unclear ->
			300ms  a/2 live @i   ->
			1.2s   a/2 live @i   -> probe a/1@h
			1.5s   a/2 live @i   -> ok; gone a/1 restarted; joined a/2 restarted; write a live
			1.6s   probed a/1 nobody ->`,
		"three processes": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			100ms  a/2 live @i   -> probe a/1@h
			150ms  a/3 live @j   ->
			200ms  probed a/1 nobody -> gone a/1 connection refused; joined a/2 restarted; write a live
			250ms  a/3 live @j   -> probe a/2@i
			300ms  probed a/2 answered 2 -> rejected; refused a/3 duplicate id`,
		"who was taken for dead comes back when the other is gone": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			100ms  a/2 live @i   -> probe a/1@h
			200ms  probed a/1 nobody -> gone a/1 connection refused; joined a/2 restarted; write a live
			300ms  a/1 live @h   -> rejected; refused a/1 duplicate id
			400ms  a/2 gone      -> ok; gone a/2 left; write a gone
			500ms  a/1 live @h   -> ok; joined a/1 restarted; write a live`,
		"an operator": `
			0s     confirm a     -> not found
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1s     confirm a     -> gone a/1 confirmed by operator; write a gone
			1s     confirm a     ->
			2s     a/1 live      -> ok; joined a/1; write a live
			20s    sweep         -> suspect a/1; probe a/1@h
			20s    sweep         -> gone a/1 silent; write a gone
			20s    confirm a     -> gone a/1 confirmed by operator; write a gone`,
		"an operator sees to a death": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1.5s   sweep         -> suspect a/1; probe a/1@h
			1.6s   probed a/1 nobody -> gone a/1 connection refused; write a gone
			2s     confirm a     -> write a gone
			2s     confirm a     ->`,
		"late and doubled": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			1.4s   a/1 live late ->
			1.5s   sweep         -> suspect a/1; probe a/1@h`,
		"an address that changes": `
			0s     a/1 live      -> ok; joined a/1; write a live
			1s     a/1 live @h   -> ok; write a live
			2s     a/1 live @h   -> ok
			3s     a/1 live      -> ok
			4.5s   sweep         -> suspect a/1; probe a/1@h`,
		"the controller was deaf": `
			0s     a/1 live @h   -> ok; joined a/1; write a live
			20s    excuse        ->
			20s    sweep         ->
			21.5s  sweep         -> suspect a/1; probe a/1@h`,
		"forgotten": `
			0s     a/1 live      -> ok; joined a/1; write a live
			1s     a/1 gone      -> ok; gone a/1 left; write a gone
			3600s  sweep         ->
			3601s  sweep         -> delete a
			3602s  confirm a     -> not found`,
		"what is no node": `
			0s     a.b/1 live    ->
			0s     a/ live       ->
			0s     a/` + strings.Repeat("x", 65) + ` live ->`,
	} {
		t.Run(name, func(t *testing.T) { (&script{t: t, m: &Members{}}).run(story) })
	}
}

func TestSeed(t *testing.T) {
	m := &Members{}
	m.Seed([]wire.Member{
		{Node: "live", Incarnation: "1", Address: "h", State: status.Live},
		{Node: "draining", Incarnation: "1", State: status.Draining},
		{Node: "silent", Incarnation: "1", State: status.Gone, Reason: ReasonSilent},
		{Node: "left", Incarnation: "1", State: status.Gone, Reason: ReasonLeft},
		{Node: "not.one", Incarnation: "1"}, {Node: "none"},
	}, 0)
	got := ""
	for _, n := range m.List() {
		got += fmt.Sprintf("%s %s %v %v; ", n.ID, n.State, n.Dead(), n.Left())
	}
	if want := "draining draining false false; left gone true true; live live false false; silent gone false false; "; got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
	(&script{t: t, m: m}).run(`
		0.1s live/1 live     -> ok
		1.5s sweep           -> suspect draining/1
		1.6s sweep           -> suspect live/1; probe live/1@h
		2s   draining/2 live -> ok; gone draining/1 restarted; joined draining/2 restarted; write draining live
		2s   silent/1 live   -> ok; joined silent/1; write silent live`)
}

// TestFlood: a flood of ids takes bounded memory, and those who are here stay.
func TestFlood(t *testing.T) {
	m := &Members{}
	for i := range MaxNodes {
		m.Observe(Report{Node: fmt.Sprint("n", i), Incarnation: "1", Nonce: 1, State: status.Live}, 0)
	}
	out := m.Observe(Report{Node: "late", Incarnation: "1", Nonce: 1, State: status.Live}, 1)
	if out.Accepted || out.Rejected == "" || show(out) != "rejected; refused late/1 too many nodes" {
		t.Fatal(show(out))
	}
	m.Observe(Report{Node: "n7", Incarnation: "1", Nonce: 2, State: status.Gone}, 2)
	if out = m.Observe(Report{Node: "late", Incarnation: "1", Nonce: 2, State: status.Live}, 3); show(out) != "ok; joined late/1; write late live; delete n7" {
		t.Fatal(show(out))
	}
	if len(m.List()) != MaxNodes {
		t.Fatal(len(m.List()))
	}
}
