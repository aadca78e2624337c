package statusview

import (
	"bytes"
	"encoding/json"
	"flag"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
)

var update = flag.Bool("update", false, "write the golden files anew")

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func limit(rate float64, burst, available int64, admitted, rejected float64) *status.Limit {
	return &status.Limit{Rate: rate, Burst: burst, Available: available, AdmittedPerSecond: admitted,
		RejectedPerSecond: rejected, Utilisation: admitted / rate, OvershootBound: 3}
}

// calm is a cluster without worries, troubled one with all of them.
func calm() Page {
	provider := func(rps float64) status.Provider {
		return status.Provider{State: "closed", Breaker: status.Breaker{State: "closed"}, Limit: limit(300, 500, 480, rps, 0),
			RequestsPerSecond: rps, SuccessRatio: 0.9987, LatencyMS: status.Latency{Avg: 15.2, P50: 12, P95: 48, P99: 1210},
			Cache: status.Cache{HitRatio: 0.42, Entries: 1234, Bytes: 3565158, Evictions: 5678}, RetriesPerSecond: 0.25, Credential: "ok"}
	}
	node := func(id string) status.Node {
		return status.Node{ID: id, Incarnation: "c0ffee", State: status.Live, Address: "192.0.2.1:8080", Version: "v1.2.0", Revision: 7,
			Mode: status.Leased, RequestsPerSecond: 1234.5, InFlight: 12, Cache: status.Cache{HitRatio: 0.4, Entries: 1234, Bytes: 3565158, Evictions: 5}, LastSeenMS: 210}
	}
	return Page{
		Status: status.Document{
			GeneratedAt: at,
			Config:      status.Config{Revision: 7, UpdatedAt: at.Add(-5 * time.Minute), Author: "admin"},
			Nodes:       []status.Node{node("node-1"), node("node-2"), node("node-3")},
			Limits:      status.Limits{Global: limit(1000, 2000, 1990, 424, 0)},
			Providers:   map[string]status.Provider{"zerion": provider(212), "coingecko": provider(0.25), "alchemy": provider(250)},
		},
		Events: []Event{
			{ID: "2", Name: "node_joined", Data: json.RawMessage(`{"time":"2026-01-02T03:03:00Z","node":"node-3","address":"192.0.2.1:8080"}`)},
			{ID: "1", Name: "config_published", Data: json.RawMessage(`{"time":"2026-01-02T02:59:05Z","revision":7,"author":"admin","reason":"busier"}`)},
		},
		History: map[string][]Sample{"zerion": {{at.Add(-8 * time.Second), 200, 0}, {at.Add(-4 * time.Second), 220, 5}, {at, 212, 0}}},
	}
}

func troubled() Page {
	p := calm()
	doc := &p.Status
	opened, retry := at.Add(-12*time.Second), at.Add(18*time.Second)
	z := doc.Providers["zerion"]
	z.State, z.Failures, z.SuccessRatio = "open", 5, 0
	z.Breaker = status.Breaker{State: "open", Failures: 5, OpenedAt: &opened, RetryAt: &retry,
		Forced: &status.Forced{State: "open", Reason: "maintenance", Author: "kim", Until: at.Add(9 * time.Minute)}}
	doc.Providers["zerion"] = z
	c := doc.Providers["coingecko"]
	c.State, c.Breaker = "half_open", status.Breaker{State: "half_open", OpenedAt: &opened, RetryAt: &at}
	c.Limit, c.LatencyMS, c.Cache = nil, status.Latency{}, status.Cache{HitRatio: 1, Entries: 1, Bytes: 812}
	doc.Providers["coingecko"] = c
	a := doc.Providers["alchemy"]
	a.Credential, a.Failures, a.Limit = "missing", 2, limit(0.0833333, 5, 0, 0.08333, 12)
	doc.Providers["alchemy"] = a
	doc.Nodes[0].Revision, doc.Nodes[0].Mode = 6, status.Holding
	doc.Nodes[1].State, doc.Nodes[1].LastSeenMS = status.Gone, 95_000
	doc.Nodes[2].State, doc.Nodes[2].Mode = status.Suspect, status.ClosedMode
	doc.Nodes = append(doc.Nodes, status.Node{ID: "node-4", State: status.Draining, Revision: 7, Mode: status.Leased})
	p.Events = append([]Event{
		{ID: "4", Name: "limit_exhausted", Data: json.RawMessage(`{"time":"2026-01-02T03:04:01Z","limit":"alchemy"}`)},
		{ID: "3", Name: "breaker", Data: json.RawMessage(`{"time":"2026-01-02T03:03:53Z","provider":"zerion","from":"closed","to":"open","failures":5}`)},
	}, p.Events...)
	return p
}

func render(t testing.TB, p Page) string {
	t.Helper()
	var b bytes.Buffer
	if err := Render(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var version = regexp.MustCompile(`\?v=[0-9a-f]{16}`)

func TestFirstPaint(t *testing.T) {
	for name, page := range map[string]Page{"calm": calm(), "troubled": troubled(), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			got := version.ReplaceAllString(render(t, page), "?v=VERSION")
			file := "testdata/" + name + ".html"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("the page differs from %s; look at it and run go test -update:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got:  " + g[i] + "\nwant: " + w[i]
		}
	}
	return "one is longer"
}

// Everything that a stranger can choose is text on the page, never markup.
func TestEscaping(t *testing.T) {
	const evil = `"'><img src=x onerror=alert(1)><script>alert(2)</script>{{.}}<!--`
	p := Page{Status: status.Document{
		GeneratedAt: at, Config: status.Config{Revision: 1, Author: evil},
		Nodes: []status.Node{{ID: evil, State: evil, Mode: evil, Address: evil, Version: evil, Incarnation: evil}},
		Providers: map[string]status.Provider{evil: {State: "open", Credential: evil, Limit: limit(1, 1, 1, 1, 1),
			Breaker: status.Breaker{Forced: &status.Forced{State: evil, Reason: evil, Author: evil}}}},
	}, Events: []Event{{ID: evil, Name: evil, Data: json.RawMessage(`{"provider":` + quote(evil) + `,` + quote(evil) + `:` + quote(evil) + `}`)}},
		History: map[string][]Sample{evil: {{At: at, Requests: 1}}}}
	html := render(t, p)
	for _, markup := range []string{"<img", "<script>", "<!--", "{{"} {
		if strings.Contains(html, markup) && markup != "{{" {
			t.Errorf("the page has %s", markup)
		}
	}
	if n := strings.Count(html, "&lt;script&gt;"); n < 12 {
		t.Errorf("the text is shown %d times, want it wherever it was given", n)
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// The policy allows nothing inline, so the page must have nothing inline.
func TestNothingInline(t *testing.T) {
	html := render(t, troubled())
	for _, inline := range []string{` style=`, `<style`, ` onclick=`, ` onload=`, `javascript:`, `http://`, `https://`} {
		if strings.Contains(html, inline) {
			t.Errorf("the page has %q", inline)
		}
	}
	if scripts := strings.Count(html, "<script"); scripts != 1 {
		t.Errorf("%d scripts, want the one that is an asset", scripts)
	}
	for _, word := range []string{"unsafe", "*", "data:"} {
		if strings.Contains(CSP, word) {
			t.Errorf("the policy allows %s", word)
		}
	}
}

func TestWeight(t *testing.T) {
	weight := len(render(t, troubled()))
	for name := range assetTypes {
		content, _ := files.ReadFile("assets/" + name)
		weight += len(content)
	}
	t.Logf("the page weighs %d bytes, without compression", weight)
	if weight > 60_000 {
		t.Errorf("the page weighs %d bytes, want at most 60000", weight)
	}
}

func TestOddDocuments(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, x := range []float64{nan, inf, -inf, -1, 1e308, 5e-324} {
		p := troubled()
		for name, pr := range p.Status.Providers {
			pr.RequestsPerSecond, pr.SuccessRatio, pr.LatencyMS = x, x, status.Latency{Avg: x, P50: x, P95: x, P99: x}
			pr.Limit = &status.Limit{Rate: x, Utilisation: x, AdmittedPerSecond: x, RejectedPerSecond: x, OvershootBound: x, Burst: math.MinInt64}
			pr.Cache = status.Cache{HitRatio: x, Entries: math.MaxInt64, Bytes: math.MaxInt64, Evictions: math.MaxUint64}
			p.Status.Providers[name] = pr
			p.History[name] = []Sample{{at, x, x}}
		}
		if html := render(t, p); strings.Contains(html, "NaN") || strings.Contains(html, "Inf") {
			t.Errorf("%v is shown as it is", x)
		}
	}
}

func TestManyEvents(t *testing.T) {
	p := calm()
	for range 200 {
		p.Events = append(p.Events, p.Events[0])
	}
	if n := strings.Count(render(t, p), `<span class="kind">`); n != MaxEvents+1 { // and the empty one
		t.Errorf("%d events are shown, want %d", n-1, MaxEvents)
	}
}

func TestAssets(t *testing.T) {
	get := func(target string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		if len(header) == 2 {
			r.Header.Set(header[0], header[1])
		}
		w := httptest.NewRecorder()
		Assets().ServeHTTP(w, r)
		return w
	}
	for name, kind := range assetTypes {
		w := get("/" + assetURL(name))
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != kind || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if old := get(AssetsPath + name + "?v=0"); old.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s of another version may be kept: %v", name, old.Header())
		}
		if again := get(AssetsPath+name, "If-None-Match", w.Header().Get("ETag")); again.Code != http.StatusNotModified {
			t.Errorf("%s again: %d", name, again.Code)
		}
		if !strings.Contains(render(t, calm()), inPage(name)) {
			t.Errorf("the page does not refer to %s", name)
		}
	}
	for _, path := range []string{AssetsPath, AssetsPath + "page.html", AssetsPath + "../page.html", "/status.css", AssetsPath + "status.css/"} {
		if w := get(path); w.Code != http.StatusNotFound {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
}

// inPage is the address as it stands in the page.
func inPage(name string) string { return `="` + assetURL(name) + `"` }

func FuzzRender(f *testing.F) {
	seed, _ := json.Marshal(troubled().Status)
	f.Add(seed, "breaker", []byte(`{"time":"2026-01-02T03:04:05Z","from":"closed","to":null,"x":[1,{"y":true}]}`))
	f.Add([]byte(`{}`), "", []byte(`null`))
	f.Add([]byte(`{"providers":{"":{"breaker":{"forced":{}},"limit":{}}},"nodes":[{}]}`), "é_", []byte(`[`))
	f.Fuzz(func(t *testing.T, doc []byte, name string, data []byte) {
		p := Page{Events: []Event{{Name: name, Data: data}}}
		_ = json.Unmarshal(doc, &p.Status)
		html := render(t, p)
		if !strings.HasSuffix(html, "</html>\n") || strings.Count(html, "<script") != 1 {
			t.Errorf("not the page:\n%s", html)
		}
	})
}

func BenchmarkRender(b *testing.B) {
	p := calm()
	for len(p.Status.Nodes) < 100 {
		p.Status.Nodes = append(p.Status.Nodes, p.Status.Nodes[0])
	}
	for i := range 27 {
		p.Status.Providers[strings.Repeat("p", i+1)] = p.Status.Providers["zerion"]
	}
	var out bytes.Buffer
	for b.Loop() {
		out.Reset()
		if err := Render(&out, p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(out.Len()), "bytes/page")
}
