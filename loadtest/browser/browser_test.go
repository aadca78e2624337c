package browser

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/controlplane/statusview"
	"apiproxy.internal/loadtest/process"
	"apiproxy.internal/shared/status"
)

// chromium is shared by the tests: a browser takes a second to start. It is nil
// where none is installed.
var chromium *Browser

func TestMain(m *testing.M) {
	var err error
	if chromium, err = Start(); err != nil && !errors.Is(err, ErrNotInstalled) {
		println("FAIL: " + err.Error())
		os.Exit(1)
	}
	code := m.Run()
	if chromium != nil {
		chromium.Stop()
	}
	process.Clean()
	os.Exit(code)
}

// browser is the shared one; without it the test is left out, but not in CI.
func browser(t *testing.T) *Browser {
	t.Helper()
	if chromium == nil && os.Getenv("CI") != "" {
		t.Fatal(ErrNotInstalled)
	}
	if chromium == nil {
		t.Skip("SKIP: ", ErrNotInstalled, "; the status page was not tried")
	}
	return chromium
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eval[T any](t *testing.T, p *Page, expression string) T {
	t.Helper()
	value, err := Eval[T](p, expression)
	must(t, err)
	return value
}

// open opens the page; at the end the browser must not have complained.
func open(t *testing.T, c *controller, s Screen) *Page {
	t.Helper()
	p, err := browser(t).OpenStatus(c.URL, s)
	must(t, err)
	t.Cleanup(func() {
		for _, complaint := range p.Complaints() {
			t.Errorf("the browser complains: %s", complaint)
		}
		p.Close()
	})
	return p
}

func TestOperator(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(3, 3))
	p := open(t, c, Screen{})
	by := Change{Token: token, Author: "kim", Reason: "busier today"}

	nodes, err := p.Nodes()
	must(t, err)
	if want := map[string]string{"node-1": "live", "node-2": "live", "node-3": "live"}; !maps.Equal(nodes, want) {
		t.Errorf("the page shows %v, want %v", nodes, want)
	}

	t.Run("a limit is changed", func(t *testing.T) {
		result, err := p.ChangeLimit("zerion", "5/m", "7", by)
		must(t, err)
		if result != "Applied on 3 of 3 nodes, revision 8." {
			t.Errorf("the form says %q", result)
		}
		want := call{"PUT /api/v1/limits/per_provider/zerion?wait=2s", `{"rate":"5/m","burst":7}`, "kim", "busier today"}
		if got := c.lastCall(t); got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
		must(t, p.WaitLimit("zerion", "of 5/min"))
		must(t, p.Wait("the new revision", `document.querySelector("#summary [data-f=revision]").textContent === "8"`))

		_, err = p.ChangeLimit("per_ip", "12.5", "", by)
		must(t, err)
		if got := c.lastCall(t); got.line != "PUT /api/v1/limits/per_ip?wait=2s" || got.body != `{"rate":12.5}` {
			t.Errorf("sent %q", got)
		}
		must(t, p.WaitLimit("per_ip", "of 12.5/s"))
	})

	t.Run("a breaker is tripped and freed", func(t *testing.T) {
		result, err := p.ChangeBreaker("coingecko", "trip", "10m", by)
		must(t, err)
		want := call{"POST /api/v1/breakers/coingecko/trip", `{"reason":"busier today","ttl":"10m"}`, "kim", ""}
		if got := c.lastCall(t); got != want || result != "Tripped: nothing is sent to it." {
			t.Errorf("sent %q, want %q; the form says %q", got, want, result)
		}
		must(t, p.WaitBreaker("coingecko", "open"))
		must(t, p.Wait("the hold is explained", card("coingecko")+`.querySelector("[data-f=hold]").textContent.includes("Held open by kim, ends in")`))
		must(t, p.Wait("the headline knows", `document.querySelector("#headline").textContent === "1 thing needs attention" && document.title.startsWith("1 thing")`))

		_, err = p.ChangeBreaker("coingecko", "auto", "", by)
		must(t, err)
		must(t, p.WaitBreaker("coingecko", "half open"))
		_, err = p.ChangeBreaker("coingecko", "reset", "1m", Change{Token: token})
		must(t, err)
		if got := c.lastCall(t); got.body != `{}` || got.author != "" {
			t.Errorf("sent %q", got)
		}
		must(t, p.WaitBreaker("coingecko", "closed"))
	})

	t.Run("a node is killed", func(t *testing.T) {
		c.change(func(p *statusview.Page) { p.Status.Nodes[1].State = status.Suspect })
		must(t, p.WaitNode("node-2", "suspect"))
		c.change(func(p *statusview.Page) { p.Status.Nodes[1].State = status.Gone })
		c.tell("node_left", `{"time":"2026-01-02T03:04:05Z","node":"node-2","reason":"silent"}`)
		must(t, p.WaitNode("node-2", "gone"))
		must(t, p.WaitEvent("node-2, reason silent"))
		c.change(func(p *statusview.Page) { p.Status.Nodes = slices.Delete(p.Status.Nodes, 1, 2) })
		must(t, p.Wait("two rows", `document.querySelectorAll("#nodes tr").length === 2`))
	})

	t.Run("a node and a provider come", func(t *testing.T) {
		c.change(func(p *statusview.Page) {
			p.Status.Nodes = append(p.Status.Nodes, status.Node{ID: "node-9", State: status.Live})
			p.Status.Providers = maps.Clone(p.Status.Providers)
			p.Status.Providers["another"] = p.Status.Providers["zerion"]
		})
		must(t, p.WaitNode("node-9", "live"))
		must(t, p.WaitBreaker("another", "closed"))
		must(t, p.Wait("in order", `[...document.querySelectorAll("#providers h3")].map((e) => e.textContent).join() === "alchemy,another,coingecko,zerion"`))
		_, err := p.ChangeLimit("another", "9", "", by)
		must(t, err)
		if got := c.lastCall(t); got.line != "PUT /api/v1/limits/per_provider/another?wait=2s" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(3, 3))
	p, err := browser(t).OpenStatus(c.URL, Screen{})
	must(t, err)
	defer p.Close()
	for _, test := range []struct {
		rate, burst string
		by          Change
		want        string
	}{
		{"5", "5", Change{Token: "wrong"}, "Refused: the admin token is missing or wrong"},
		{"many", "5", Change{Token: token}, "Refused: the document is refused\n\nrate_limit.global.rate: \"many\" is not a rate (write a number per second)\n\nrate_limit.global.burst: is too small"},
		{"", "5", Change{Token: token}, "Give a rate."},
		{"5", "-1", Change{Token: token}, "The burst is a whole number."},
		{"5", "", Change{Token: token, Author: "金"}, "Not sent: the name may hold plain ASCII only."},
	} {
		got, err := p.ChangeLimit("global", test.rate, test.burst, test.by)
		must(t, err)
		if strings.ReplaceAll(got, "\n\n", "\n") != strings.ReplaceAll(test.want, "\n\n", "\n") {
			t.Errorf("%q, %q as %v: the form says %q, want %q", test.rate, test.burst, test.by, got, test.want)
		}
	}
	stored := eval[string](t, p, `JSON.stringify(localStorage) + document.cookie + (sessionStorage.getItem("admin-token") || "")`)
	if stored != "{}"+token {
		t.Errorf("the token is kept in %q", stored)
	}
}

// The form shows a rate as it was written, and the token is asked once.
func TestFormRemembers(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(1, 3))
	p := open(t, c, Screen{})
	_, err := p.ChangeBreaker("zerion", "reset", "", Change{Token: token, Author: "kim"})
	must(t, err)
	must(t, p.Run(card("alchemy")+`.querySelector("[data-do=limit]").click()`))
	must(t, p.Wait("the rate as it was written", `document.querySelector("#limit-dialog [name=rate]").value === "5/m"`))
	must(t, p.Wait("token and name again", `document.querySelector("#limit-dialog [name=token]").value === "`+token+`" && document.querySelector("#limit-dialog [name=author]").value === "kim"`))
	must(t, p.Wait("the keyboard is in the form", `document.activeElement.name === "rate"`))
}

// What Go wrote at first paint and what the script writes from the JSON is the
// same text: nothing jumps, and no figure has two meanings.
func TestScriptAgreesWithFirstPaint(t *testing.T) {
	t.Parallel()
	const shown = `[...document.querySelectorAll("main [data-f]:not([data-f=spark], [data-f=limit], [data-f=measured], [data-f=peak]), #headline, #notes li, #updated, #node-count, #events li")].map((e) =>
		(e.closest("[data-key]")?.dataset.key || "") + " " + (e.dataset.f || e.id) + " = " + (e.closest("[hidden]") ? "" : e.textContent) +
		["data-state", "data-level", "title", "datetime", "width"].map((a) => e.closest("[hidden]") ? "" : " " + (e.getAttribute(a) || "")).join(""))`
	c := startController(t, statusview.Page{})
	p, err := browser(t).Open(c.URL+"/status", Screen{})
	must(t, err)
	defer p.Close()
	for _, page := range odd() {
		c.change(func(p *statusview.Page) { *p = page })
		release := c.holdJSON()
		must(t, p.Reload())
		before := eval[[]string](t, p, shown)
		must(t, p.Run(`document.querySelector("#updated").dateTime = "", 0`))
		release()
		must(t, p.Wait("the script wrote it", `document.querySelector("#updated").dateTime !== ""`))
		compare(t, before, eval[[]string](t, p, shown))
	}

	// And an event that was heard says what the same event says at first paint.
	page := clusterOf(1, 1)
	c.change(func(p *statusview.Page) { *p = page })
	must(t, p.Reload())
	must(t, p.Wait("the stream", `document.querySelector("#stream").textContent === "live"`))
	list := events()
	for i := len(list) - 1; i >= 0; i-- {
		c.tell(list[i].Name, string(list[i].Data))
	}
	must(t, p.Wait("all events", `document.querySelectorAll("#events li").length >= 7`))
	const lines = `[...document.querySelectorAll("#events li")].map((e) => e.dataset.level + " " + e.innerHTML)`
	heard := eval[[]string](t, p, lines)
	c.change(func(p *statusview.Page) { p.Events = events() })
	must(t, p.Reload())
	must(t, p.Wait("the events of the page", `document.querySelector("#events li")?.dataset.key === "9"`))
	compare(t, eval[[]string](t, p, lines), heard)
}

func compare(t *testing.T, before, after []string) {
	t.Helper()
	if len(before) != len(after) {
		t.Errorf("Go wrote %d texts, the script %d", len(before), len(after))
		return
	}
	for i := range before {
		if before[i] != after[i] {
			t.Errorf("Go wrote\n\t%q, the script\n\t%q", before[i], after[i])
		}
	}
}

// The browser itself enforces the policy, and Complaints would tell.
func TestPolicy(t *testing.T) {
	t.Parallel()
	p, err := browser(t).OpenStatus(startController(t, clusterOf(1, 1)).URL, Screen{})
	must(t, err)
	defer p.Close()
	must(t, p.Run(`document.body.setAttribute("style", "color: red")`))
	if err := p.Run(`document.body.innerHTML = "<b>markup</b>"`); err == nil {
		t.Error("the page may be built from text")
	}
	must(t, p.Wait("no effect", `getComputedStyle(document.body).color !== "rgb(255, 0, 0)" && document.querySelector("main")`))
	if len(p.Complaints()) == 0 {
		t.Error("the browser did not complain")
	}
}

// A controller of another version must not leave a page that looks alive.
func TestUnknownDocument(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(1, 1))
	p, err := browser(t).OpenStatus(c.URL, Screen{})
	must(t, err)
	defer p.Close()
	must(t, p.Run(`window.fetch = async () => new Response('{"nodes":[{}]}'), 0`))
	must(t, p.Wait("the banner", `document.querySelector("#trouble").textContent.includes("reload it") && document.querySelector("#pulse").textContent === "not live"`))
}

func TestStrangersNames(t *testing.T) {
	t.Parallel()
	const evil = `"'><img src=x onerror="document.title='owned'"><b>bold</b>`
	page := clusterOf(1, 1)
	page.Status.Nodes[0].ID, page.Status.Nodes[0].Address = evil, evil
	page.Status.Config.Author = evil
	p := page.Status.Providers["alchemy"]
	p.Breaker.Forced = &status.Forced{State: evil, Author: evil, Reason: evil}
	page.Status.Providers = map[string]status.Provider{evil: p, "__proto__": p, "a/b?c#d": p}
	c := startController(t, page)
	tab := open(t, c, Screen{})
	c.tell("breaker", `{"time":`+quote(evil)+`,"provider":`+quote(evil)+`,`+quote(evil)+`:`+quote(evil)+`}`)
	must(t, tab.WaitEvent("<img"))
	c.change(func(p *statusview.Page) { // rows that the script makes
		p.Status.Nodes = append(p.Status.Nodes, status.Node{ID: evil + "2", State: evil, Mode: evil})
	})
	must(t, tab.WaitNode(evil+"2", evil))
	must(t, tab.WaitBreaker(evil, "closed"))
	must(t, tab.WaitBreaker("__proto__", "closed"))
	markup := eval[int](t, tab, `document.querySelectorAll("img, main b:not(#notes b)").length`)
	if title, _ := tab.Text("title"); markup != 0 || strings.Contains(title, "owned") {
		t.Errorf("a name became %d elements", markup)
	}
	_, err := tab.ChangeLimit("a/b?c#d", "5", "", Change{Token: token})
	must(t, err)
	if got := c.lastCall(t).line; got != "PUT /api/v1/limits/per_provider/a%2Fb%3Fc%23d?wait=2s" {
		t.Errorf("sent %s", got)
	}
}

func TestPhone(t *testing.T) {
	t.Parallel()
	page := clusterOf(3, 3)
	long := strings.Repeat("long", 20)
	page.Status.Nodes[0].ID = long[:64]
	page.Status.Providers[long] = page.Status.Providers["zerion"]
	page.Events = events()
	p := open(t, startController(t, page), Screen{Width: 360, Height: 740})
	width := eval[int](t, p, `document.documentElement.scrollWidth`)
	if width != 360 {
		t.Errorf("the page is %d pixels wide on a screen of 360", width)
	}
	must(t, p.Run(card("zerion")+`.querySelector("[data-do=breaker]").click()`))
	width = eval[int](t, p, `Math.max(document.documentElement.scrollWidth, document.querySelector("#breaker-dialog").scrollWidth + 24)`)
	if width > 360 {
		t.Errorf("with the form it is %d pixels wide", width)
	}
}

func TestWithoutScript(t *testing.T) {
	t.Parallel()
	page := clusterOf(3, 3)
	page.Events = events()
	p := open(t, startController(t, page), Screen{NoScript: true})
	text, err := p.Text("body")
	must(t, err)
	for _, want := range []string{"Everything works", "node-3", "zerion", "400.0/s", "p95", "reloads every 5 seconds", "192.0.2.3:8080", "Node left"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not show %q", want)
		}
	}
	if strings.Contains(text, "Breaker…") {
		t.Error("the page offers forms that cannot work")
	}
}

func TestDisconnected(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(3, 3))
	p, err := browser(t).OpenStatus(c.URL, Screen{}) // its console will complain, rightly
	must(t, err)
	defer p.Close()
	release := c.holdJSON()
	must(t, p.Wait("the banner", `!document.querySelector("#banner").hidden && document.querySelector("#banner").textContent.trim().startsWith("The controller does not answer. What you see is from ")`))
	must(t, p.Wait("the word", `document.querySelector("#pulse").textContent === "not live"`))
	release()
	must(t, p.Wait("the banner goes", `document.querySelector("#banner").hidden && document.querySelector("#pulse").textContent === "live"`))

	c.change(func(p *statusview.Page) { p.Status.GeneratedAt = time.Now() }) // and no later
	must(t, p.Wait("old figures are told", `document.querySelector("#banner").textContent.startsWith("The controller answers with old figures")`))
}

// A second of a large cluster must cost the browser little, and it keeps its
// elements: rebuilding them would lose focus and selection.
func TestLargeCluster(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(100, 30))
	p := open(t, c, Screen{})
	must(t, p.Run(`window.first = document.querySelector("#nodes tr"), window.added = 0,
		new MutationObserver((all) => { for (const m of all) added += [...m.addedNodes].filter((n) => n.nodeType === 1).length; }).observe(document.body, { childList: true, subtree: true }), 0`))
	c.change(func(p *statusview.Page) {
		for i := range p.Status.Nodes {
			p.Status.Nodes[i].RequestsPerSecond += 1000
		}
	})
	must(t, p.Wait("new figures", `document.querySelector("#nodes [data-f=requests]").textContent.startsWith("1\u202f1")`))
	kept := eval[bool](t, p, `added === 0 && first === document.querySelector("#nodes tr")`)
	if !kept {
		t.Error("elements were made anew")
	}
}

// An event is shown once, however often it is sent, and only the newest stay.
func TestEvents(t *testing.T) {
	t.Parallel()
	page := clusterOf(1, 1)
	page.Events = events()
	c := startController(t, page)
	p := open(t, c, Screen{})
	for range 60 {
		c.tell("config_applied", `{"time":"2026-01-02T03:04:05Z","revision":8}`)
	}
	c.tell("breaker", `{"time":"2026-01-02T03:04:06Z","provider":"zerion","from":"closed","to":"open"}`)
	must(t, p.WaitEvent("zerion, closed → open"))
	n := eval[int](t, p, `document.querySelectorAll("#events li").length`)
	if n != statusview.MaxEvents {
		t.Errorf("%d events, want %d", n, statusview.MaxEvents)
	}
}
