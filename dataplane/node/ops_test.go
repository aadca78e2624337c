package node

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

const (
	jsonType    = "application/json"
	metricsType = "text/plain; version=0.0.4; charset=utf-8"
	problemType = "application/problem+json"
)

var endpoints = map[string]struct{ contentType, has string }{
	"/health":                {jsonType, `{"status":"ok","node":"n1"`},
	"/ready":                 {jsonType, `{"status":"ready","node":"n1"`},
	"/metrics":               {metricsType, "\napi_proxy_config_revision 0\n"},
	"/status":                {jsonType, `"mode":"standalone"`},
	"/circuit-breaker-stats": {jsonType, `{"up":{"state":"closed","failures":0,`},
}

func TestEndpoints(t *testing.T) {
	b := start(t, nil)
	for path, want := range endpoints {
		resp, body := b.get(path + "?verbose=1")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != want.contentType || !strings.Contains(body, want.has) {
			t.Errorf("GET %s: %d %q\n%.300s", path, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
		head, body := b.do("HEAD", b.url(path))
		if head.StatusCode != 200 || head.Header.Get("Content-Type") != want.contentType || head.ContentLength <= 0 || body != "" {
			t.Errorf("HEAD %s: %d %v %q", path, head.StatusCode, head.Header, body)
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "BREW"} {
			resp, body := b.do(method, b.url(path))
			if resp.StatusCode != 405 || resp.Header.Get("Allow") != "GET, HEAD" || resp.Header.Get("Content-Type") != problemType ||
				!strings.Contains(body, `"status":405`) {
				t.Errorf("%s %s: %d %v %s", method, path, resp.StatusCode, resp.Header, body)
			}
		}
	}
	// What does not look like an endpoint to a filter in front is none.
	for target, want := range map[string]string{
		"/%73tatus": "404", "//status": "404", "/status/": "404", "/STATUS": "404", "/up/../status": "400", "/status/.": "400",
	} {
		answer := b.raw(b.Addr(), "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("GET %s: %.80q, want %s", target, answer, want)
		}
	}
}

func TestAdminListen(t *testing.T) {
	b := start(t, func(o *Options) { o.AdminListen = "127.0.0.1:0" })
	admin := "http://" + b.AdminAddr().String()
	for path, want := range endpoints {
		resp, body := b.do("GET", admin+path)
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != want.contentType || !strings.Contains(body, want.has) {
			t.Errorf("admin %s: %d %v", path, resp.StatusCode, resp.Header)
		}
		onBoth := path == "/health" || path == "/ready"
		if resp, body := b.get(path); (resp.StatusCode == 200) != onBoth {
			t.Errorf("main %s: %d %.100s", path, resp.StatusCode, body)
		}
	}
	if resp, body := b.do("GET", admin+"/up/x"); resp.StatusCode != 404 || resp.Header.Get("Content-Type") != problemType {
		t.Errorf("the admin port proxies: %d %s", resp.StatusCode, body)
	}
	if resp, _ := b.get("/up/x"); resp.StatusCode != 200 {
		t.Errorf("the main port does not: %d", resp.StatusCode)
	}
}

// However much is announced to an endpoint, none of it is asked for.
func TestEndpointsTakeNoBody(t *testing.T) {
	b := start(t, func(o *Options) { o.AdminListen = "127.0.0.1:0" })
	for _, addr := range []net.Addr{b.Addr(), b.AdminAddr()} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			answer := b.raw(addr, "GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000000\r\n"+expect+"\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 200 ") || !strings.Contains(answer, "Connection: close") {
				t.Errorf("%s %q: %.200q", addr, expect, answer)
			}
		}
	}
}

// A request that waits for "100 Continue" is judged by whoever answers it: on
// the admin port nothing of the proxy is involved, least of all its limits.
func TestExpectContinue(t *testing.T) {
	b := start(t, func(o *Options) { o.AdminListen = "127.0.0.1:0" })
	request := func(method, path string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi"
	}
	for _, row := range []struct {
		admin        bool
		method, path string
		want         string // the last status line
	}{
		{false, "POST", "/up/x", "200"},
		{false, "GET", "/health", "200"},
		{false, "POST", "/health", "405"},
		{true, "POST", "/up/x", "405"},
		{true, "GET", "/up/x", "404"},
		{true, "GET", "/status", "200"},
	} {
		addr := b.Addr()
		if row.admin {
			addr = b.AdminAddr()
		}
		answer := b.raw(addr, request(row.method, row.path))
		if own := row.path != "/up/x" || row.admin; own == strings.Contains(answer, "100 Continue") {
			t.Errorf("admin %t, %s %s: an endpoint asks for a body, or a provider does not: %.200q", row.admin, row.method, row.path, answer)
		}
		last := answer[strings.LastIndex(answer, "HTTP/1.1 "):]
		if !strings.HasPrefix(last, "HTTP/1.1 "+row.want) {
			t.Errorf("admin %t, %s %s: %.200q, want %s", row.admin, row.method, row.path, answer, row.want)
		}
	}
	if n := b.Status().Nodes[0].InFlight; n != 0 {
		t.Errorf("%d requests in flight after all", n)
	}
}

// keys lists the paths of a JSON value; members of maps by provider or limit
// name are written out.
func keys(prefix string, v any, into map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			keys(prefix+"."+k, member, into)
		}
	case []any:
		for _, member := range v {
			keys(prefix+"[]", member, into)
		}
	default:
		into[prefix] = true
	}
}

// The keys that dashboards and scripts rely on, every one and no other.
func TestStatusShape(t *testing.T) {
	b := newBench(t, nil)
	b.yaml.set(`
rate_limit: {global: {rate: 10}, per_ip: {rate: 20, burst: 7}, per_provider: {up: {rate: 5/m, burst: 3}}}
circuit_breaker: {failure_threshold: 1}
` + b.upstream.provider())
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	b.get("/up/x")
	_, body := b.get("/status")
	var doc any
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	got := map[string]bool{}
	keys("", doc, got)

	want := map[string]bool{".generated_at": true, ".config.revision": true, ".config.updated_at": true, ".config.author": true}
	add := func(prefix string, names ...string) {
		for _, name := range names {
			want[prefix+name] = true
		}
	}
	limit := []string{"rate", "burst", "available", "admitted_per_second", "rejected_per_second", "utilisation", "overshoot_bound"}
	add(".nodes[].", "id", "incarnation", "state", "address", "version", "revision", "mode", "requests_per_second", "in_flight", "last_seen_ms")
	add(".limits.global.", limit...)
	add(".limits.per_ip.", limit...)
	add(".providers.up.limit.", limit...)
	add(".providers.up.", "state", "failures", "requests_per_second", "success_ratio", "retries_per_second", "credential")
	add(".providers.up.breaker.", "state", "failures", "opened_at", "retry_at", "forced")
	add(".providers.up.latency_ms.", "avg", "p50", "p95", "p99")
	for _, of := range []string{".providers.up.", ".nodes[]."} {
		add(of+"cache.", "hit_ratio", "entries", "bytes", "evictions")
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !got[key] {
			t.Errorf("missing: %s", key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if !want[key] {
			t.Errorf("not among the keys: %s", key)
		}
	}
}

func TestStatusValues(t *testing.T) {
	b := newBench(t, nil)
	b.yaml.set(`
rate_limit: {per_ip: {rate: 0}, per_provider: {up: {rate: 5/m, burst: 3}}}
` + b.upstream.provider())
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	s := b.Status()
	if s.Limits.Global != nil || s.Limits.PerIP.Rate != 0 || s.Limits.PerIP.Available != 0 {
		t.Errorf("limits: %+v %+v", s.Limits.Global, s.Limits.PerIP)
	}
	up := s.Providers["up"]
	if up.Limit.Rate != 5.0/60 || up.Limit.Available != 3 || up.SuccessRatio != 1 || up.Credential != "ok" || up.Breaker.OpenedAt != nil {
		t.Errorf("provider: %+v %+v", up, up.Limit)
	}
	n := s.Nodes[0]
	if n.ID != "n1" || n.State != "live" || n.Address != "" || len(n.Incarnation) != 16 {
		t.Errorf("node before Start: %+v", n)
	}
}

// A provider whose key is missing answers 503 and says so; the others work, and
// setting the key needs a reload only.
func TestMissingKey(t *testing.T) {
	env := map[string]string{}
	b := newBench(t, func(o *Options) {
		o.Lookup = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	})
	b.yaml.set(unlimited + `
providers:
  up: {upstream: "` + b.upstream.URL + `"}
  keyed: {upstream: "` + b.upstream.URL + `", auth: {type: header, header: x-key, value_env: MY_KEY}}
`)
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.stderr.get(), "providers.keyed.auth") || !strings.Contains(b.stderr.get(), "MY_KEY") {
		t.Errorf("no warning of the missing key:\n%s", b.stderr.get())
	}
	status := func(path string) (int, string) { resp, body := b.get(path); return resp.StatusCode, body }
	if code, body := status("/keyed/x"); code != http.StatusServiceUnavailable || !strings.Contains(body, "credential_missing") || strings.Contains(body, "MY_KEY") {
		t.Errorf("without the key: %d %s", code, body)
	}
	if code, _ := status("/up/x"); code != 200 {
		t.Errorf("the other provider: %d", code)
	}
	if got := b.Status().Providers["keyed"].Credential; got != "missing" {
		t.Errorf("status says the key is %s", got)
	}
	env["MY_KEY"] = "secret"
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if code, _ := status("/keyed/x"); code != 200 {
		t.Errorf("with the key: %d", code)
	}
}
