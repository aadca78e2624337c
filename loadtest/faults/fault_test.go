package faults

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// outcome is what a fault comes to for one method.
type outcome struct {
	status   int
	kinds    []string // error_type, any of these
	attempts int      // at most; exactly, unless the kinds are several
	counted  string   // outcome of api_proxy_upstream_attempts_total
	failed   bool     // each attempt is a failure of the breaker
	cut      bool     // the client sees that the body is not complete
	reused   bool     // the connection serves the next request
	body     string   // of a complete answer
}

const (
	// readTimeout is for rows in which nothing ever comes, soon for those in which
	// something has to come before: a busy machine must not be taken for a slow
	// upstream.
	readTimeout = 100 * time.Millisecond
	soon        = time.Second
	patient     = 10 * time.Second
)

var (
	broken    = outcome{status: 502, kinds: []string{"connection_broken"}, attempts: 3, counted: "connection_broken", failed: true}
	silent    = outcome{status: 504, kinds: []string{"timeout"}, attempts: 3, counted: "timeout", failed: true}
	refused   = outcome{status: 502, kinds: []string{"connection_refused"}, attempts: 3, counted: "connection_refused", failed: true}
	untrusted = outcome{status: 502, kinds: []string{"ssl_error"}, attempts: 1, counted: "ssl_error", failed: true}

	// What began well and broke while it was on its way to the client.
	cutShort = outcome{status: 200, kinds: []string{"connection_broken"}, attempts: 1, counted: "connection_broken", failed: true, cut: true}
	stalled  = outcome{status: 200, kinds: []string{"timeout"}, attempts: 1, counted: "timeout", failed: true, cut: true}
)

// good is an answer that passes.
func good(status int, body string, reused bool) outcome {
	o := outcome{status: status, kinds: []string{""}, attempts: 1, counted: "success", reused: reused, body: body}
	if status >= 400 {
		o.kinds = []string{"upstream_4xx"}
	}
	return o
}

// fault is one way in which an upstream fails.
type fault struct {
	name   string
	serve  func(*peer)
	read   time.Duration // the read timeout; 0 = patient
	dial   time.Duration // the connect timeout; 0 = patient
	get    outcome       // of GET, and of POST with one attempt only
	head   outcome       // the zero value: as get
	resend bool          // a POST may be sent again: no byte of it left
}

func (f *fault) expectation(method string) outcome {
	want := f.get
	switch {
	case method == "HEAD" && f.head.status != 0:
		want = f.head
	case method == "POST" && !f.resend:
		want.attempts = 1
	}
	if method == "HEAD" { // no body to see
		want.body, want.cut = "", false
	}
	return want
}

// try sends one request per canary, so that every method and every credential
// meets the fault, and compares all that can be seen of it. up is nil if there is
// nothing at url to ask.
func (f *fault) try(t *testing.T, up *upstream, url string, dial dialFunc) {
	t.Helper()
	b := start(t, canaryDocument(t, url, cmp.Or(f.dial, patient), cmp.Or(f.read, patient)), canaryKeys, dial)
	answers := make([]answer, len(canaries))
	var wg sync.WaitGroup
	for i, c := range canaries {
		wg.Go(func() { answers[i] = b.do(request(methodOf(i), c.name)) })
	}
	wg.Wait()
	lines := map[string]line{}
	for _, l := range b.accessLog(len(canaries)) {
		lines[l.Provider] = l
	}
	b.idle()
	series := b.series()
	for i, c := range canaries {
		where := methodOf(i) + " with " + c.name
		want := f.expectation(methodOf(i))
		want.check(t, where, answers[i], lines[c.name])
		want.checkSeries(t, where, c.name, lines[c.name].Attempts, series)
		cleanAnswer(t, where, answers[i])
	}
	var requests []string
	if up != nil {
		f.checkConnections(t, b, up)
		requests = up.seen()
	}
	b.sinks(requests)
}

func methodOf(i int) string { return []string{"GET", "POST", "HEAD"}[i%3] }

func request(method, provider string) string {
	body := ""
	if method == "POST" {
		body = "Content-Length: 4\r\n"
	}
	raw := method + " /" + provider + "/for-" + provider + "/ HTTP/1.1\r\nHost: proxy\r\n" + body + "\r\n"
	if body != "" {
		raw += "body"
	}
	return raw
}

func (want outcome) check(t *testing.T, where string, got answer, l line) {
	t.Helper()
	if got.failed != nil {
		t.Errorf("%s: no answer: %v", where, got.failed)
		return
	}
	if got.status != want.status || got.cut != want.cut {
		t.Errorf("%s: status %d, cut %v; want %d, %v; body %.100q", where, got.status, got.cut, want.status, want.cut, got.body)
	}
	if want.counted == "success" && !want.cut && got.body != want.body {
		t.Errorf("%s: body %.60q (%d bytes), want %.60q (%d)", where, got.body, len(got.body), want.body, len(want.body))
	}
	if l.Status != want.status || !slices.Contains(want.kinds, l.ErrorType) {
		t.Errorf("%s: log says %d %q, want %d %q", where, l.Status, l.ErrorType, want.status, want.kinds)
	}
	if len(want.kinds) == 1 && l.Attempts != want.attempts || l.Attempts > want.attempts || l.Attempts < 1 {
		t.Errorf("%s: %d attempts, want %d", where, l.Attempts, want.attempts)
	}
	if got.header.Get("Content-Type") == "application/problem+json" && !strings.HasPrefix(where, "HEAD") {
		var problem struct {
			ErrorType string `json:"error_type"`
			Provider  string `json:"provider"`
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(got.body), &problem); err != nil || problem.ErrorType != l.ErrorType ||
			problem.Provider != l.Provider || problem.RequestID != got.header.Get("X-Proxy-Request-Id") {
			t.Errorf("%s: problem document %q, log %+v: %v", where, got.body, l, err)
		}
	}
}

func (want outcome) checkSeries(t *testing.T, where, provider string, attempts int, series map[string]float64) {
	t.Helper()
	failures := 0
	if want.failed {
		failures = attempts
	}
	if got := series[fmt.Sprintf("api_proxy_circuit_breaker_failures{provider=%q}", provider)]; got != float64(failures) {
		t.Errorf("%s: the breaker counts %v failures, want %d", where, got, failures)
	}
	if got := series[fmt.Sprintf("api_proxy_requests_total{provider=%q,method=%q}", provider, strings.Fields(where)[0])]; got != 1 {
		t.Errorf("%s: counted as %v requests, want 1", where, got)
	}
	total := 0.0
	for name, value := range series {
		if strings.HasPrefix(name, fmt.Sprintf("api_proxy_upstream_attempts_total{provider=%q,", provider)) {
			total += value
		}
	}
	if total != float64(attempts) {
		t.Errorf("%s: %v attempts counted, the log says %d", where, total, attempts)
	}
	if counted := series[fmt.Sprintf("api_proxy_upstream_attempts_total{provider=%q,outcome=%q}", provider, want.counted)]; len(want.kinds) == 1 && counted != float64(attempts) {
		t.Errorf("%s: %v attempts with outcome %s, want %d", where, counted, want.counted, attempts)
	}
}

// checkConnections expects that a connection is closed if it may not be used
// again and kept if it may, and that the next request on it gets its own answer.
func (f *fault) checkConnections(t *testing.T, b *bench, up *upstream) {
	t.Helper()
	want := f.expectation("GET")
	if !want.reused {
		if !f.expectation("POST").reused && !f.expectation("HEAD").reused {
			eventually(t, "the node closes its connections", func() bool { _, open := up.counts(); return open == 0 })
		}
		return
	}
	before, _ := up.counts()
	if a := b.do(request("GET", canaries[0].name)); a.status != want.status || a.body != want.body {
		t.Errorf("the next answer: %d %.60q, want %d %.60q", a.status, a.body, want.status, want.body)
	}
	if after, _ := up.counts(); after != before {
		t.Errorf("the next request opened a connection, although the last one left a good one")
	}
}

// run tries rows side by side: most of their time is waiting.
func run(t *testing.T, faults []fault) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil, f.serve)
			f.try(t, up, up.url(), nil)
		})
	}
}
