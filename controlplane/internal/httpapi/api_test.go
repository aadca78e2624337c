package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"apiproxy.internal/shared/config"
)

const oneProvider = `{"providers":{"zerion":{"upstream":"https://api.example.com"}},"rate_limit":{"global":{"rate":5,"burst":7},"per_ip":{"rate":1},"per_provider":{"zerion":{"rate":2}}}}`

// TestCalls has one row for each call and what it may answer; each row begins
// with revision 1, the presets.
func TestCalls(t *testing.T) {
	put := []string{`If-Match: "1"`}
	rows := []struct {
		method, path, body string
		head               []string
		status             int
		want               string // part of the body
		writes             int
	}{
		{"GET", "/api/v1/config", "", nil, 200, `{"revision":1,"rate_limit":{"global":{"rate":1000,`, 0},
		{"GET", "/api/v1/config", "", []string{`If-None-Match: "1"`}, 304, "", 0},
		{"GET", "/api/v1/config", "", []string{`If-None-Match: W/"1"`}, 304, "", 0},
		{"GET", "/api/v1/config", "", []string{`If-None-Match: "2", "7"`}, 200, `"revision":1`, 0},
		{"GET", "/api/v1/config", "", []string{"Authorization:"}, 200, `"revision":1`, 0},

		{"PUT", "/api/v1/config", oneProvider, put, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: *`}, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: "9", "1"`}, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: 1`}, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", oneProvider, nil, 428, "If-Match", 0},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: "2"`}, 412, `"revision":1`, 0},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: "abc"`}, 412, `"revision":1`, 0},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: W/"1"`}, 412, `weak`, 0},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: "1`}, 400, "malformed", 0},
		{"PUT", "/api/v1/config", oneProvider, []string{`If-Match: one`}, 400, "malformed", 0},
		{"PUT", "/api/v1/config?dry_run=true", oneProvider, put, 200, `{"revision":1,"dry_run":true,"changes":[{"path":"rate_limit.global"`, 0},
		{"PUT", "/api/v1/config?dry_run=false", oneProvider, put, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config?dry_run=yes", oneProvider, put, 400, `query.dry_run`, 0},
		{"PUT", "/api/v1/config?dry_run", oneProvider, put, 400, `query.dry_run`, 0},
		{"PUT", "/api/v1/config?dryrun=true", oneProvider, put, 400, `unknown parameter`, 0},
		{"PUT", "/api/v1/config?dry_run=true&dry_run=false", oneProvider, put, 400, `more than once`, 0},
		{"PUT", "/api/v1/config?wait=5s", oneProvider, put, 200, `{"revision":2,"nodes":3,"applied":3}`, 1},
		{"PUT", "/api/v1/config?wait=0s", oneProvider, put, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config?wait=5", oneProvider, put, 400, "query.wait", 0},
		{"PUT", "/api/v1/config?wait=-1s", oneProvider, put, 400, "query.wait", 0},
		{"PUT", "/api/v1/config?wait=61s", oneProvider, put, 400, "query.wait", 0},
		{"PUT", "/api/v1/config?wait=", oneProvider, put, 400, "query.wait", 0},
		{"PUT", "/api/v1/config?wait=NaNs", oneProvider, put, 400, "query.wait", 0},
		{"PUT", "/api/v1/config?%zz", oneProvider, put, 400, "malformed", 0},
		{"PUT", "/api/v1/config", `{"server":{"max_in_flight":5}}`, append(put, "Content-Type: text/plain"), 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", "server:\n  max_in_flight: 5\n", append(put, "Content-Type: application/yaml"), 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", "server:\n  max_in_flight: 5\n", append(put, "Content-Type: Application/YAML; charset=utf-8"), 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", "server:\n  max_in_flight: 5\n", put, 400, "application/yaml", 0},
		{"PUT", "/api/v1/config", "", put, 400, "is empty", 0},
		{"PUT", "/api/v1/config", "[]", put, 400, "not a JSON object", 0},
		{"PUT", "/api/v1/config", "null", put, 400, "not a JSON object", 0},
		{"PUT", "/api/v1/config", `{"revision":77}`, append(put, "X-Change-Author: "+strings.Repeat("a", 65)), 400, "X-Change-Author", 0},
		{"PUT", "/api/v1/config", `{"revision":77}`, append(put, "X-Change-Reason: "+strings.Repeat("a", 257)), 400, "X-Change-Reason", 0},
		{"PUT", "/api/v1/config", `{"revision":77}`, put, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/config", `{"providers":{},"rate_limit":{"global":{"rate":1},"per_ip":{"rate":1}}}`, put, 200, `"warnings":[{"path":"providers"`, 1},

		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`, nil, 200, `{"revision":2}`, 1},
		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`, []string{"Content-Type: application/merge-patch+json"}, 200, `{"revision":2}`, 1},
		{"PATCH", "/api/v1/config", "rate_limit:\n  global:\n    rate: 5\n", []string{"Content-Type: application/yaml"}, 200, `{"revision":2}`, 1},
		{"PATCH", "/api/v1/config", "- 5\n", []string{"Content-Type: application/yaml"}, 400, "expected an object", 0},
		{"PATCH", "/api/v1/config", `{"server":{"max_in_flight":5,"max_in_flight":6}}`, nil, 400, `"path":"server.max_in_flight"`, 0},
		{"PATCH", "/api/v1/config", `{"server":{"max_in_flight":5}} {}`, nil, 400, `JSON`, 0},
		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`, put, 200, `{"revision":2}`, 1},
		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":5}}}`, []string{`If-Match: "8"`}, 412, `"revision":1`, 0},
		{"PATCH", "/api/v1/config", `{}`, nil, 200, `{"revision":1,"unchanged":true}`, 0},
		{"PATCH", "/api/v1/config?wait=1s", `{}`, nil, 200, `{"revision":1,"unchanged":true,"nodes":3,"applied":3}`, 0},
		{"PATCH", "/api/v1/config?dry_run=true", `{}`, nil, 200, `{"revision":1,"unchanged":true,"dry_run":true,"changes":[]}`, 0},
		{"PATCH", "/api/v1/config", `{}`, []string{`If-Match: *`}, 200, `{"revision":1,"unchanged":true}`, 0},
		{"PATCH", "/api/v1/config", `{"rate_limit":{"global":{"rate":-5}}}`, nil, 400, `nothing was changed: rate_limit.global.rate`, 0},

		{"GET", "/api/v1/config/revisions", "", nil, 200, `{"revisions":[{"revision":1,"time":"2026-11-01T12:00:00Z","author":"controller","reason":"first start"}]}`, 0},
		{"GET", "/api/v1/config/revisions/1", "", nil, 200, `{"revision":1,"time":"2026-11-01T12:00:00Z","author":"controller","reason":"first start","config":{"revision":1,`, 0},
		{"GET", "/api/v1/config/revisions/2", "", nil, 404, "revision 2", 0},
		{"GET", "/api/v1/config/revisions/abc", "", nil, 404, "whole number", 0},
		{"POST", "/api/v1/config/revisions/1/restore", "", put, 200, `{"revision":2}`, 1},
		{"POST", "/api/v1/config/revisions/1/restore?wait=1s", "", put, 200, `{"revision":2,"nodes":3,"applied":3}`, 1},
		{"POST", "/api/v1/config/revisions/1/restore?dry_run=true", "", put, 200, `"dry_run":true`, 0},
		{"POST", "/api/v1/config/revisions/1/restore", "", nil, 428, "If-Match", 0},
		{"POST", "/api/v1/config/revisions/1/restore", "", []string{`If-Match: "5"`}, 412, `"revision":1`, 0},
		{"POST", "/api/v1/config/revisions/9/restore", "", put, 404, "revision 9", 0},

		{"GET", "/api/v1/limits", "", nil, 200, `{"global":{"rate":1000,"burst":2000,`, 0},
		{"PUT", "/api/v1/limits/global", `{"rate":5,"burst":6}`, nil, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/limits/per_ip", `{"rate":5,"burst":6}`, nil, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/limits/per_ip?wait=2s", `{"rate":5,"burst":5}`, nil, 200, `{"revision":2,"nodes":3,"applied":3}`, 1},
		{"PUT", "/api/v1/limits/per_ip?dry_run=true", `{"rate":5,"burst":5}`, nil, 200, `"changes":[{"path":"rate_limit.per_ip","old":{"rate":100,"burst":200,`, 0},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":"5/m","burst":6}`, nil, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/limits/per_provider/zerion", "rate: 5/m\nburst: 6\n", []string{"Content-Type: application/yaml"}, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":300,"burst":500}`, nil, 200, `{"revision":1,"unchanged":true}`, 0},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":300,"burst":500}`, put, 200, `{"revision":2}`, 1},
		{"PUT", "/api/v1/limits/per_provider/nobody", `{"rate":5}`, nil, 404, "no provider", 0},
		{"PUT", "/api/v1/limits/global", `{"burst":6}`, nil, 400, "rate_limit.global.rate", 0},
		{"PUT", "/api/v1/limits/global", `{}`, nil, 400, "rate_limit.global.rate", 0},
		{"PUT", "/api/v1/limits/global", `{"rate":5,"ipv6_prefix":64}`, nil, 400, "rate_limit.global.ipv6_prefix", 0},
		{"PUT", "/api/v1/limits/global", `{"rate":5}}, "proxy": {"cache_ttl":"1s"`, nil, 400, "JSON", 0},
		{"PUT", "/api/v1/limits/global", `{"rate":5}`, []string{`If-Match: "4"`}, 412, `"revision":1`, 0},
		{"PUT", "/api/v1/limits/zerion", `{"rate":5}`, nil, 404, "/openapi.json", 0},

		{"GET", "/api/v1/nodes", "", nil, 200, `{"nodes":[{"id":"n1","incarnation":"a","state":"live",`, 0},
		{"GET", "/api/v1/nodes", "", nil, 200, `"shares":{}},{"id":"n2"`, 0},
		{"DELETE", "/api/v1/nodes/n2", "", nil, 200, `{"id":"n2","state":"gone"}`, 1},
		{"DELETE", "/api/v1/nodes/n1", "", nil, 409, "stop it first", 0},
		{"DELETE", "/api/v1/nodes/n9", "", nil, 404, "no node", 0},
		{"DELETE", "/api/v1/nodes/n2?force=true", "", nil, 400, "takes none", 0},

		{"GET", "/api/v1/breakers", "", nil, 200, `"zerion":{"state":"closed","failures":0,"opened_at":null,"retry_at":null,"forced":null}`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `{"reason":"bills","ttl":"10m"}`, nil, 200, `"forced":{"state":"open","reason":"bills","author":"admin","until":"2030-01-01T00:10:00Z"}`, 1},
		{"POST", "/api/v1/breakers/zerion/trip", ``, []string{"X-Change-Author: eve", "X-Change-Reason: héader"}, 200, `"forced":{"state":"open","reason":"héader","author":"eve","until":null}`, 1},
		{"POST", "/api/v1/breakers/zerion/trip", "reason: bills\nttl: 10m\n", []string{"Content-Type: application/yaml"}, 200, `"reason":"bills"`, 1},
		{"POST", "/api/v1/breakers/zerion/trip", `{"ttl":"0s"}`, nil, 400, `"path":"ttl"`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `{"ttl":600}`, nil, 400, `"path":"ttl"`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `{"ttl":"10m","ttl":"20m"}`, nil, 400, `"path":"ttl"`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `{"why":"x"}`, nil, 400, `"path":"why"`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `{"reason":"a\nb"}`, nil, 400, `"path":"reason"`, 0},
		{"POST", "/api/v1/breakers/zerion/trip", `trip it`, nil, 400, `not a JSON object`, 0},
		{"POST", "/api/v1/breakers/zerion/reset", `{"reason":"fixed","ttl":"1m"}`, nil, 200, `{"state":"closed","failures":0,`, 1},
		{"POST", "/api/v1/breakers/zerion/auto", `{"reason":"fixed"}`, nil, 200, `{"state":"half_open",`, 1},
		{"POST", "/api/v1/breakers/nobody/trip", `{}`, nil, 404, "no provider", 0},
		{"POST", "/api/v1/breakers/nobody/reset", `{}`, nil, 404, "no provider", 0},
		{"POST", "/api/v1/breakers/nobody/auto", `{}`, nil, 404, "no provider", 0},
		{"POST", "/api/v1/breakers/zerion/open", `{}`, nil, 404, "/openapi.json", 0},

		{"POST", "/api/v1/cache/purge", `{"provider":"zerion"}`, nil, 200, `{"id":"K3","nodes":2,"acknowledged":2,"entries":42,"done":[{"id":"n1","entries":40},{"id":"n2","entries":2}]}`, 1},
		{"POST", "/api/v1/cache/purge", `{"prefix":"/"}`, nil, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge", `{"prefix":"/zer"}`, nil, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge", `{"provider":"zerion","prefix":"/zerion"}`, nil, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge?wait=1s", `{"exact":"/zerion/v1/chains?page=2&x=%20é"}`, nil, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge", `{"exact":"/zerion?page=2"}`, nil, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge", "prefix: /alchemy\n", []string{"Content-Type: application/yaml"}, 200, `"acknowledged":2`, 1},
		{"POST", "/api/v1/cache/purge", ``, nil, 400, "is empty", 0},
		{"POST", "/api/v1/cache/purge", `{}`, nil, 400, "does not say what to purge", 0},
		{"POST", "/api/v1/cache/purge", `{"provider":"","prefix":""}`, nil, 400, "does not say what to purge", 0},
		{"POST", "/api/v1/cache/purge", `{"provider":"nobody"}`, nil, 400, `"path":"provider"`, 0},
		{"POST", "/api/v1/cache/purge", `{"prefix":"/zerion/a","exact":"/zerion/a"}`, nil, 400, `"path":"exact"`, 0},
		{"POST", "/api/v1/cache/purge", `{"prefix":"/v1/wallets"}`, nil, 400, "leads to no provider", 0},
		{"POST", "/api/v1/cache/purge", `{"prefix":"zerion/"}`, nil, 400, "leads to no provider", 0},
		{"POST", "/api/v1/cache/purge", `{"prefix":"/zerionx"}`, nil, 400, "leads to no provider", 0},
		{"POST", "/api/v1/cache/purge", `{"exact":"/zer"}`, nil, 400, "leads to no provider", 0},
		{"POST", "/api/v1/cache/purge", `{"provider":"alchemy","prefix":"/zerion/"}`, nil, 400, "begin as clients do, with /alchemy/", 0},
		{"POST", "/api/v1/cache/purge", `{"exact":"/zerion/a b"}`, nil, 400, `"path":"exact"`, 0},
		{"POST", "/api/v1/cache/purge", `{"exact":"/zerion/a#b"}`, nil, 400, `"path":"exact"`, 0},
		{"POST", "/api/v1/cache/purge", `{"exact":"/zerion/` + strings.Repeat("a", 2048) + `"}`, nil, 400, "2048 bytes", 0},
		{"POST", "/api/v1/cache/purge", `{"exact":["/zerion/"]}`, nil, 400, `"path":"exact"`, 0},
		{"POST", "/api/v1/cache/purge", `{"key":"/zerion/"}`, nil, 400, `"path":"key"`, 0},
		{"POST", "/api/v1/cache/purge?dry_run=true", `{"provider":"zerion"}`, nil, 400, `unknown parameter`, 0},
		{"POST", "/api/v1/cache/purge?wait=5", `{"provider":"zerion"}`, nil, 400, "query.wait", 0},
		{"GET", "/api/v1/cache/purge", "", nil, 405, "POST", 0},

		{"GET", "/status", "", nil, 200, `"providers":{"alchemy":`, 0},
		{"GET", "/status", "", []string{"Accept: */*"}, 200, `{"generated_at":`, 0},
		{"GET", "/status", "", []string{"Accept: text/html,application/xhtml+xml,*/*;q=0.8"}, 200, "<!doctype html><title>revision 1", 0},
		{"GET", "/status", "", []string{"Accept: application/json"}, 200, `{"generated_at":`, 0},
		{"GET", "/status", "", []string{"Accept: application/json, text/html;q=0.5"}, 200, `{"generated_at":`, 0},
		{"GET", "/status?format=html", "", nil, 200, "<!doctype html><title>revision 1", 0},
		{"GET", "/status?format=json", "", []string{"Accept: text/html"}, 200, `{"generated_at":`, 0},
		{"GET", "/status/assets/status.js", "", nil, 200, `status.js`, 0},
		{"GET", "/", "", nil, 302, "", 0},
		{"GET", "/health", "", nil, 200, `{"status":"ok","version":"test"}`, 0},
		{"GET", "/ready", "", nil, 200, `{"status":"ready","version":"test"}`, 0},
		{"GET", "/metrics", "", nil, 200, "api_proxy_control_up 1", 0},
		{"GET", "/openapi.json", "", nil, 200, `"openapi":"3.1.0"`, 0},

		{"GET", "/circuit-breaker-stats", "", nil, 404, "/openapi.json", 0},
		{"GET", "/api/v1/config/", "", nil, 404, "/openapi.json", 0},
		{"GET", "/api//v1/config", "", nil, 404, "/openapi.json", 0},
		{"PUT", "/api/v1/../v1/config", "{}", nil, 404, "/openapi.json", 0},
		{"POST", "/api/v1/config", "{}", nil, 405, "This path takes GET, HEAD, PATCH, PUT.", 0},
		{"DELETE", "/status", "", nil, 405, "GET, HEAD", 0},
		{"GET", "/api/v1/breakers/zerion/trip", "", nil, 405, "POST", 0},
		{"OPTIONS", "/api/v1/config", "", nil, 405, "GET, HEAD, PATCH, PUT", 0},
		{"BREW", "/api/v1/config", "", nil, 405, "GET, HEAD, PATCH, PUT", 0},
	}
	s := start(t, nil)
	for _, row := range rows {
		name := fmt.Sprintf("%s %s %q %v", row.method, row.path, row.body, row.head)
		t.Run(name, func(t *testing.T) {
			s.fake = newFake()
			got := s.do(t, row.method, row.path, row.body, row.head...)
			if got.status != row.status || !strings.Contains(got.body, row.want) {
				t.Errorf("got  %d %s\twant %d %s", got.status, got.body, row.status, row.want)
			}
			if s.writes != row.writes {
				t.Errorf("%d writes, want %d", s.writes, row.writes)
			}
			checkHeader(t, name, got)
		})
	}
}

func checkHeader(t *testing.T, name string, got answer) {
	t.Helper()
	h := got.header
	if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" || h.Get("Content-Security-Policy") == "" {
		t.Errorf("%s: fields for security are missing: %v", name, h)
	}
	if got.status >= 400 && (h.Get("Content-Type") != "application/problem+json" || got.json(t)["detail"] == "" || got.json(t)["status"] != float64(got.status)) {
		t.Errorf("%s: not a problem document: %s %s", name, h.Get("Content-Type"), got.body)
	}
	if got.status == http.StatusMethodNotAllowed && h.Get("Allow") == "" {
		t.Errorf("%s: 405 without Allow", name)
	}
	if got.status == http.StatusPreconditionFailed && h.Get("ETag") != `"1"` {
		t.Errorf("%s: 412 without the ETag in force", name)
	}
}

func TestETag(t *testing.T) {
	s := start(t, nil)
	if got := s.do(t, "GET", "/api/v1/config", "").header.Get("ETag"); got != `"1"` {
		t.Errorf("ETag %s of the first revision", got)
	}
	if got := s.do(t, "PUT", "/api/v1/config", oneProvider, `If-Match: "1"`).header.Get("ETag"); got != `"2"` {
		t.Errorf("ETag %s of what was put", got)
	}
	if got := s.do(t, "GET", "/api/v1/limits", "").header.Get("ETag"); got != `"2"` {
		t.Errorf("ETag %s of the limits", got)
	}
	if got := s.do(t, "GET", "/api/v1/config", "", `If-None-Match: "2"`); got.status != 304 || got.body != "" || got.header.Get("ETag") != `"2"` {
		t.Errorf("not modified: %+v", got)
	}
}

// A document that was read can be put back as it is.
func TestConfigRoundTrip(t *testing.T) {
	s := start(t, nil)
	doc := s.do(t, "GET", "/api/v1/config", "").body
	got := s.do(t, "PUT", "/api/v1/config?dry_run=true", doc, `If-Match: "1"`)
	if got.status != 200 || got.json(t)["unchanged"] != true {
		t.Errorf("what was read is something else: %d %s", got.status, got.body)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	s := start(t, nil)
	for _, row := range []struct{ method, path, body, want string }{
		{"PUT", "/api/v1/config", `{"a":1,"rate_limit":{"global":{"rate":-1}},"server":{"max_in_flight":0}}`, "[a rate_limit.global.rate server.max_in_flight]"},
		{"PUT", "/api/v1/config", `{"rate_limit":{"global":{"rate":1},"global":{"rate":2}}}`, "[rate_limit.global]"},
		{"PUT", "/api/v1/config", `{"rate_limit":{"global":{"rate":1e308}}}`, "[rate_limit.global.rate]"},
		{"PUT", "/api/v1/config", `{"rate_limit":{"global":{"rate":NaN}}}`, "[]"},
		{"PUT", "/api/v1/limits/global", `{"rate":-1,"burst":0,"x":1}`, "[rate_limit.global.burst rate_limit.global.rate rate_limit.global.x]"},
		{"PUT", "/api/v1/limits/global", `{"rate":1,"rate":2}`, "[rate_limit.global.rate]"},
		{"PUT", "/api/v1/limits/global", `{"rate":1e308}`, "[rate_limit.global.rate]"},
		{"PUT", "/api/v1/limits/global", `{"rate":"NaN"}`, "[rate_limit.global.rate]"},
		{"PUT", "/api/v1/limits/global", `{"rate":5,"burst":1.5}`, "[rate_limit.global.burst]"},
		{"PUT", "/api/v1/limits/per_ip", `{"rate":"x","ipv6_prefix":0}`, "[rate_limit.per_ip.ipv6_prefix rate_limit.per_ip.rate]"},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":null}`, "[rate_limit.per_provider.zerion.rate]"},
	} {
		got := s.do(t, row.method, row.path, row.body, `If-Match: "1"`)
		if have := fmt.Sprint(paths(t, got)); got.status != 400 || have != row.want && row.want != "[]" {
			t.Errorf("%s %s: %d %s, want %s", row.path, row.body, got.status, have, row.want)
		}
	}
	if s.revision() != 1 {
		t.Error("something was published")
	}
}

// What a limit does not name stays, but for the burst.
func TestLimitKeeps(t *testing.T) {
	s := start(t, nil)
	s.do(t, "PATCH", "/api/v1/config", `{"rate_limit":{"per_ip":{"hold":"1m","on_disconnect":"open","ipv6_prefix":48},"per_provider":{"zerion":null}}}`)
	before := s.revisions[len(s.revisions)-1].Config
	s.do(t, "PUT", "/api/v1/limits/per_ip", `{"rate":5}`)
	s.do(t, "PUT", "/api/v1/limits/per_provider/zerion", `{"rate":"90/m"}`)
	doc := s.revisions[len(s.revisions)-1].Config
	got := *doc.RateLimit.PerIP
	if got.Rate.String() != "5" || got.Burst != 5 || got.Hold.String() != "1m" || got.OnDisconnect != config.DisconnectOpen || got.IPv6Prefix != 48 {
		t.Errorf("per_ip is %+v", got)
	}
	if got := doc.RateLimit.PerProvider["zerion"]; got == nil || got.Burst != 2 || got.OnDisconnect != config.DisconnectShare || got.Hold.String() != "10m" {
		t.Errorf("zerion is %+v", got)
	}
	if doc.RateLimit.PerProvider["coingecko"] == nil || before.RateLimit.PerProvider["zerion"] != nil || before.RateLimit.PerIP.Rate.String() != "100" {
		t.Error("another limit, or an older document, was changed")
	}
	// What the API has written, the parser takes.
	if _, _, err := config.Parse(doc.JSON()); err != nil {
		t.Errorf("the document is not valid any more: %v", err)
	}
}

func TestHistory(t *testing.T) {
	s := start(t, nil)
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`, "X-Change-Author: Zoë", "X-Change-Reason: slow down")
	s.do(t, "POST", "/api/v1/config/revisions/1/restore", "", `If-Match: "2"`)
	var got []string
	for _, r := range s.do(t, "GET", "/api/v1/config/revisions", "").json(t)["revisions"].([]any) {
		line := r.(map[string]any)
		got = append(got, fmt.Sprint(line["revision"], " ", line["author"], " ", line["reason"]))
	}
	want := []string{"3 admin restored revision 1", "2 Zoë slow down", "1 controller first start"}
	if !slices.Equal(got, want) {
		t.Errorf("history %q, want %q", got, want)
	}
	if !s.revisions[2].Config.Equal(s.revisions[0].Config) {
		t.Error("the restored document is another one")
	}
	if doc := s.do(t, "GET", "/api/v1/config/revisions/2", "").json(t)["config"].(map[string]any); doc["revision"] != 2.0 {
		t.Errorf("the document of revision 2 says revision %v", doc["revision"])
	}
}
