package browser

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"apiproxy.internal/controlplane/statusview"
	"apiproxy.internal/shared/status"
)

const token = "let-me-in"

// controller is a stand-in for the controller: the page as the real one serves
// it, a document that the test changes, and an API that remembers what it got.
type controller struct {
	*httptest.Server
	mu      sync.Mutex
	page    statusview.Page
	calls   []call
	hold    chan struct{} // the JSON is not answered before this is closed; may be nil
	hearers map[chan statusview.Event]bool
	lastID  int
}

// call is one request of a form.
type call struct {
	line, body, author, reason string
}

func startController(t *testing.T, page statusview.Page) *controller {
	t.Helper()
	c := &controller{page: page, hearers: map[chan statusview.Event]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusview.PagePath, c.show)
	mux.Handle("GET "+statusview.AssetsPath, statusview.Assets())
	mux.HandleFunc("GET "+statusview.EventsPath, c.stream)
	mux.HandleFunc("GET /health", c.health)
	mux.HandleFunc("GET /api/v1/limits", c.limits)
	mux.HandleFunc("PUT /api/v1/limits/{limit...}", c.putLimit)
	mux.HandleFunc("POST /api/v1/breakers/{provider}/{action}", c.postBreaker)
	c.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
	return c
}

func (c *controller) show(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if r.URL.Query().Get("format") == "json" {
		c.wait(r)
		_ = json.NewEncoder(w).Encode(c.source().Status) // the page has gone
		return
	}
	w.Header().Set("Content-Security-Policy", statusview.CSP)
	_ = statusview.Render(w, c.source())
}

// source gives the document the time of now, as a live controller would.
func (c *controller) source() statusview.Page {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.page
	p.Status.Nodes = slices.Clone(p.Status.Nodes)
	p.Status.Providers = maps.Clone(p.Status.Providers)
	if p.Status.GeneratedAt.IsZero() {
		p.Status.GeneratedAt = time.Now()
	}
	return p
}

// change changes what the controller knows.
func (c *controller) change(f func(p *statusview.Page)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.page)
}

func (c *controller) wait(r *http.Request) {
	c.mu.Lock()
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	}
}

// holdJSON makes the controller silent for the page's script until release.
func (c *controller) holdJSON() (release func()) {
	hold := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold = hold
	return func() {
		c.mu.Lock()
		c.hold = nil
		c.mu.Unlock()
		close(hold)
	}
}

// tell sends an event to every page.
func (c *controller) tell(name, data string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastID++
	for hearer := range c.hearers {
		hearer <- statusview.Event{ID: fmt.Sprint("live-", c.lastID), Name: name, Data: json.RawMessage(data)}
	}
}

func (c *controller) stream(w http.ResponseWriter, r *http.Request) {
	hearer := make(chan statusview.Event, 1000)
	c.mu.Lock()
	c.hearers[hearer] = true
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.hearers, hearer)
		c.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case e := <-hearer:
			fmt.Fprintf(w, "id: %s\nevent: %s\ndata: %s\n\n", e.ID, e.Name, e.Data)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

func (c *controller) health(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `{"status":"ok","version":"v1.2.0"}`)
}

func (c *controller) limits(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `{"global":{"rate":1000,"burst":2000},"per_ip":null,"per_provider":{"alchemy":{"rate":"5/m","burst":5}}}`)
}

// allowed records a call and refuses it without the token.
func (c *controller) allowed(w http.ResponseWriter, r *http.Request) (body []byte, ok bool) {
	body, _ = io.ReadAll(r.Body)
	c.mu.Lock()
	c.calls = append(c.calls, call{r.Method + " " + r.URL.RequestURI(), string(body), r.Header.Get("X-Change-Author"), r.Header.Get("X-Change-Reason")})
	c.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+token {
		refuse(w, http.StatusUnauthorized, `{"title":"unauthorized"}`)
		return nil, false
	}
	return body, true
}

func refuse(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(code)
	io.WriteString(w, body)
}

func (c *controller) putLimit(w http.ResponseWriter, r *http.Request) {
	body, ok := c.allowed(w, r)
	if !ok {
		return
	}
	var in struct {
		Rate  any
		Burst int64
	}
	rate := 0.0
	if json.Unmarshal(body, &in) == nil {
		switch v := in.Rate.(type) {
		case float64:
			rate = v
		case string:
			if _, err := fmt.Sscanf(v, "%f/m", &rate); err == nil {
				rate /= 60
			}
		}
	}
	if rate == 0 {
		refuse(w, http.StatusBadRequest, `{"title":"the document is refused","problems":[{"path":"rate_limit.global.rate","message":"\"many\" is not a rate","remedy":"write a number per second"},{"path":"rate_limit.global.burst","message":"is too small","remedy":""}]}`)
		return
	}
	limit := &status.Limit{Rate: rate, Burst: in.Burst, Available: in.Burst}
	c.change(func(p *statusview.Page) {
		switch name, provider := strings.CutPrefix(r.PathValue("limit"), "per_provider/"); {
		case provider:
			pr := p.Status.Providers[name]
			pr.Limit = limit
			p.Status.Providers = maps.Clone(p.Status.Providers)
			p.Status.Providers[name] = pr
		case name == "global":
			p.Status.Limits.Global = limit
		default:
			p.Status.Limits.PerIP = limit
		}
		p.Status.Config.Revision++
		for i := range p.Status.Nodes {
			p.Status.Nodes[i].Revision++
		}
	})
	io.WriteString(w, `{"revision":8,"nodes":3,"applied":3}`)
}

func (c *controller) postBreaker(w http.ResponseWriter, r *http.Request) {
	body, ok := c.allowed(w, r)
	if !ok {
		return
	}
	var in struct{ Reason, TTL string }
	_ = json.Unmarshal(body, &in)
	name, action := r.PathValue("provider"), r.PathValue("action")
	c.change(func(p *statusview.Page) {
		pr := p.Status.Providers[name]
		p.Status.Providers = maps.Clone(p.Status.Providers)
		switch action {
		case "trip":
			now, ttl := time.Now(), time.Duration(0)
			ttl, _ = time.ParseDuration(in.TTL)
			pr.State, pr.Breaker = "open", status.Breaker{State: "open", OpenedAt: &now, Forced: &status.Forced{State: "open",
				Reason: in.Reason, Author: r.Header.Get("X-Change-Author"), Until: now.Add(ttl)}}
		case "reset":
			pr.State, pr.Breaker = "closed", status.Breaker{State: "closed"}
		case "auto":
			pr.State, pr.Breaker = "half_open", status.Breaker{State: "half_open"}
		}
		p.Status.Providers[name] = pr
	})
	io.WriteString(w, `{}`)
}

// lastCall is the newest request of a form.
func (c *controller) lastCall(t *testing.T) call {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.calls) == 0 {
		t.Fatal("no form was sent")
	}
	return c.calls[len(c.calls)-1]
}
