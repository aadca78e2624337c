package statusview

import (
	"math"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
)

// plain makes the spaces that do not break visible as ordinary ones.
func plain(s string) string { return strings.NewReplacer(thin, " ", nbsp, " ").Replace(s) }

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{perSecond(0), "0/s"},
		{perSecond(0.001), "< 0.01/s"},
		{perSecond(0.25), "0.25/s"},
		{perSecond(9.994), "9.99/s"},
		{perSecond(9.995), "10.0/s"},
		{perSecond(212), "212.0/s"},
		{perSecond(1234.5), "1 234.5/s"},
		{perSecond(12345.6), "12 346/s"},
		{perSecond(1e12), "> 1 000 000 000 000/s"},
		{perSecond(math.NaN()), "–/s"},
		{perSecond(-1.5), "-1.50/s"},

		{limitRate(300), "300/s"},
		{limitRate(1.5), "1.5/s"},
		{limitRate(1e9), "1 000 000 000/s"},
		{limitRate(0), "0/s"},
		{limitRate(0.5), "30/min"},
		{limitRate(5.0 / 60), "5/min"},
		{limitRate(1.0 / 60), "1/min"},
		{limitRate(10.0 / 3600), "10/h"},
		{limitRate(5.0 / 86400), "5/day"},

		{percent(1), "100 %"},
		{percent(0.99999), "99.9 %"},
		{percent(0.71), "71.0 %"},
		{percent(0.285), "28.5 %"},
		{percent(0.0004), "< 0.1 %"},
		{percent(0), "0 %"},

		{millis(0), "–"},
		{millis(0.04), "0.0 ms"},
		{millis(3.25), "3.3 ms"},
		{millis(12), "12 ms"},
		{millis(999.5), "1.0 s"},
		{millis(12345), "12 s"},

		{size(0), "0 B"},
		{size(1023), "1 023 B"},
		{size(1024), "1.0 KiB"},
		{size(3565158), "3.4 MiB"},
		{size(1 << 30), "1.0 GiB"},
		{size(200 << 20), "200 MiB"},
		{size(math.MaxInt64), "8 192 PiB"},

		{span(210), "0.2 s"},
		{span(12_900), "12 s"},
		{span(60_000), "1 min"},
		{span(3_600_000), "1 h"},
		{span(47 * 3_600_000), "47 h"},
		{span(48 * 3_600_000), "2 d"},
		{span(-5), "0.0 s"},

		{ago(at, at.Add(-5*time.Minute)), "5 min ago"},
		{ago(at, at.Add(time.Second)), "0 s ago"},
		{in(at, at.Add(12*time.Second)), "in 12 s"},
		{in(at, at), "now"},
		{count(1234), "1 234"},
		{count(999), "999"},
		{plural(1, "node"), "1 node"},
		{plural(0, "node"), "0 nodes"},
		{clock(time.Time{}), "–"},
	} {
		if plain(c.got) != c.want {
			t.Errorf("got %q, want %q", plain(c.got), c.want)
		}
	}
}

func TestNotes(t *testing.T) {
	p := troubled()
	want := []string{
		"bad Breaker open: zerion", "bad Credential missing: alchemy", "bad Node gone: node-2",
		"bad Refusing limited traffic, no lease: node-3", "warn Over the limit: alchemy", "warn Breaker half open: coingecko",
		"warn Node silent: node-3", "warn Node draining: node-4",
		"warn Holding its last share, does not hear the leader: node-1", "warn Not on revision 7: node-1",
	}
	var got []string
	for _, n := range newView(p).Notes {
		got = append(got, n.Level+" "+n.What+": "+n.Who)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v := newView(calm()); v.Level != ok || len(v.Notes) != 0 {
		t.Errorf("a calm cluster: %s, %v", v.Level, v.Notes)
	}
	meant := calm()
	meant.Status.Nodes[0].State, meant.Status.Nodes[0].Left = status.Gone, true
	if v := newView(meant); v.Level != ok || len(v.Notes) != 0 {
		t.Errorf("a node that has left: %s, %v", v.Level, v.Notes)
	}
	many := calm()
	for i := range many.Status.Nodes {
		many.Status.Nodes[i].State = status.Gone
	}
	for len(many.Status.Nodes) < 9 {
		many.Status.Nodes = append(many.Status.Nodes, many.Status.Nodes[0])
	}
	if who := newView(many).Notes[0].Who; who != "node-1, node-2, node-3, node-1, node-1, node-1 and 3 more" {
		t.Errorf("nine nodes are named as %s", who)
	}
}

func TestEventText(t *testing.T) {
	for data, want := range map[string]string{
		`{"provider":"zerion","from":"closed","to":"half_open","failures":5}`:     "zerion, closed → half open, failures 5",
		`{"provider":"zerion","state":"open","reason":"tests","author":"kim"}`:    "zerion, open, author kim, reason tests",
		`{"revision":8,"nodes":["a","b"],"ok":true,"why":null,"more":{"x":1}}`:    "revision 8, more …, nodes a b, ok yes",
		`{"node":"node-1","to":"gone","big":12345678901234567,"time":"whenever"}`: "node-1, gone, big 12345678901234567",
		`[]`: "", `null`: "", `nonsense`: "", ``: "",
	} {
		if got := newEventView(Event{Name: "x", Data: []byte(data)}).Text; got != want {
			t.Errorf("%s: %q, want %q", data, got, want)
		}
	}
}
