package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/controlplane/statusview"
)

// balancer is a stand-in for the one in front of the nodes: it passes on the
// status page to the controller, and everything else to a node.
type balancer struct {
	*httptest.Server
	calls atomic.Int32 // of the API
}

func startBalancer(t *testing.T, control, node http.Handler) *balancer {
	t.Helper()
	b := &balancer{}
	mux := http.NewServeMux()
	mux.Handle(statusview.PagePath, control)
	mux.Handle(statusview.PagePath+"/", control)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			b.calls.Add(1)
		}
		node.ServeHTTP(w, r)
	})
	b.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		b.CloseClientConnections()
		b.Close()
	})
	return b
}

func proxyTo(t *testing.T, base string) http.Handler {
	t.Helper()
	u, err := url.Parse(base)
	must(t, err)
	return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
}

// openElsewhere opens the page where its API is not, and waits until it says so.
func openElsewhere(t *testing.T, b *balancer) *Page {
	t.Helper()
	p, err := browser(t).Open(b.URL+"/status", Screen{})
	must(t, err)
	t.Cleanup(p.Close)
	must(t, p.Wait("the line", `document.querySelector("#elsewhere").checkVisibility()`))
	return p
}

// Where the page is, but its API is not, it asks at most once for what fails, and
// shows the figures without forms and events.
func TestBehindBalancer(t *testing.T) {
	t.Parallel()
	const offered = `[...document.querySelectorAll("main [data-do], #stream, #events, #no-events")].filter((e) => e.checkVisibility()).length`
	for name, test := range map[string]struct {
		node http.HandlerFunc
		want int32
	}{
		"a node answers the rest": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/health" {
				refuse(w, http.StatusNotFound, `{"status":404}`)
				return
			}
			io.WriteString(w, `{"status":"ok","node":"node-1"}`)
		}, 0},
		"nobody answers the rest": {http.NotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := clusterOf(3, 3)
			page.Events = events()
			c := startController(t, page)
			b := startBalancer(t, c.Config.Handler, test.node)
			p := openElsewhere(t, b)
			if n := eval[int](t, p, offered); n != 0 {
				t.Errorf("%d things are offered that cannot work", n)
			}
			c.change(func(p *statusview.Page) { p.Status.Config.Author = "kim" })
			must(t, p.Wait("the page is live", `document.querySelector("#summary [data-f=author]").textContent === "kim"`))
			<-time.After(6 * time.Second) // the page would try again after 5
			if n := b.calls.Load(); n != test.want {
				t.Errorf("the page asked %d times for the API, want %d", n, test.want)
			}
			for _, text := range p.Complaints() {
				if test.want == 0 {
					t.Errorf("the browser complains: %s", text)
				}
			}

			own := open(t, c, Screen{})
			if shown := eval[bool](t, own, `document.querySelector("#elsewhere").checkVisibility() || !(`+offered+` > 3)`); shown {
				t.Error("at the controller's own address the page is not whole")
			}
		})
	}
}

// An outage is no answer: the page asks until it has one.
func TestLateAPI(t *testing.T) {
	t.Parallel()
	c := startController(t, clusterOf(1, 1))
	var late atomic.Bool
	b := startBalancer(t, c.Config.Handler, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !late.Load() {
			refuse(w, http.StatusServiceUnavailable, `{"status":503}`)
			return
		}
		c.Config.Handler.ServeHTTP(w, r)
	}))
	p, err := browser(t).Open(b.URL+"/status", Screen{}) // its console will complain, rightly
	must(t, err)
	defer p.Close()
	must(t, p.Wait("a first attempt", `performance.getEntriesByType("resource").some((e) => e.name.endsWith("/api/v1/limits"))`))
	late.Store(true)
	must(t, p.Wait("the stream", `document.querySelector("#stream").textContent === "live"`))
}
