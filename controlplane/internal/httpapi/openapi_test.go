package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

func openAPI(t *testing.T, s *server) map[string]any {
	t.Helper()
	return s.do(t, "GET", "/openapi.json", "").json(t)
}

// spec is the description, loaded by another library than the one that wrote it.
func spec(t *testing.T, s *server) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData([]byte(s.do(t, "GET", "/openapi.json", "").body))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatalf("the description is not valid: %v", err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// Every answer is as the description says, and every request that we take is one
// that it allows.
func TestAnswersAreAsDescribed(t *testing.T) {
	s := start(t, nil)
	doc, router := spec(t, s)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	t.Cleanup(func() { openapi3filter.UnregisterBodyDecoder("text/html") })
	seen := map[string]map[int]bool{}
	for _, call := range []struct {
		method, path, body string
		head               []string
	}{
		{"GET", "/api/v1/config", "", nil},
		{"GET", "/api/v1/config", "", []string{`If-None-Match: "1"`}},
		{"PUT", "/api/v1/config", string(s.revisions[0].Config.JSON()), []string{`If-Match: "1"`}},
		{"PUT", "/api/v1/config?wait=1s", oneProvider, []string{`If-Match: "2"`}},
		{"PUT", "/api/v1/config?dry_run=true", `{}`, []string{`If-Match: *`}},
		{"PUT", "/api/v1/config", `{}`, []string{`If-Match: *`}},
		{"PUT", "/api/v1/config", `{}`, []string{`If-Match: "1"`}},
		{"PUT", "/api/v1/config", `{}`, nil},
		{"PUT", "/api/v1/config", `{"x":1,"server":{"max_in_flight":0}}`, []string{`If-Match: *`}},
		{"PATCH", "/api/v1/config", `{"server":{"max_in_flight":7}}`, nil},
		{"PATCH", "/api/v1/config", `{}`, nil},
		{"GET", "/api/v1/config/revisions", "", nil},
		{"GET", "/api/v1/config/revisions/1", "", nil},
		{"GET", "/api/v1/config/revisions/99", "", nil},
		{"POST", "/api/v1/config/revisions/1/restore?wait=1s", "", []string{`If-Match: *`}},
		{"POST", "/api/v1/config/revisions/1/restore", "", nil},
		{"GET", "/api/v1/limits", "", nil},
		{"PUT", "/api/v1/limits/global?wait=1s", `{"rate":5,"burst":5}`, nil},
		{"PUT", "/api/v1/limits/global", `{"rate":5}`, []string{"Authorization:"}},
		{"PUT", "/api/v1/limits/global", `{"rate":5}`, []string{"Origin: https://evil.example"}},
		{"PUT", "/api/v1/limits/per_ip?dry_run=true", `{"rate":"5/m","ipv6_prefix":48}`, nil},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":0.5}`, nil},
		{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":0.5}`, nil},
		{"PUT", "/api/v1/limits/per_provider/x", `{"rate":0.5}`, nil},
		{"GET", "/api/v1/nodes", "", nil},
		{"DELETE", "/api/v1/nodes/n2", "", nil},
		{"DELETE", "/api/v1/nodes/n1", "", nil},
		{"DELETE", "/api/v1/nodes/x", "", nil},
		{"POST", "/api/v1/breakers/zerion/trip", `{"reason":"r","ttl":"10m"}`, nil},
		{"POST", "/api/v1/breakers/alchemy/trip", `{}`, nil},
		{"GET", "/api/v1/breakers", "", nil},
		{"POST", "/api/v1/breakers/zerion/reset", `{}`, nil},
		{"POST", "/api/v1/breakers/zerion/auto", ``, nil},
		{"POST", "/api/v1/breakers/x/auto", ``, nil},
		{"POST", "/api/v1/cache/purge?wait=1s", `{"provider":"zerion","prefix":"/zerion/v1/"}`, nil},
		{"POST", "/api/v1/cache/purge", `{}`, nil},
		{"GET", "/status", "", nil},
		{"GET", "/status?format=html", "", nil},
		{"GET", "/health", "", nil},
		{"GET", "/ready", "", nil},
		{"GET", "/metrics", "", nil},
		{"GET", "/openapi.json", "", nil},
	} {
		got := s.do(t, call.method, call.path, call.body, call.head...)
		name := call.method + " " + call.path + " " + call.body
		request, _ := http.NewRequest(call.method, "http://localhost"+call.path, strings.NewReader(call.body))
		for _, line := range call.head {
			key, value, _ := strings.Cut(line, ":")
			request.Header.Set(key, strings.TrimSpace(value))
		}
		if call.body != "" {
			request.Header.Set("Content-Type", "application/json")
		}
		route, params, err := router.FindRoute(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		in := &openapi3filter.RequestValidationInput{
			Request: request, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
		}
		if got.status < 300 {
			if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
				t.Errorf("%s is taken, but not described: %v", name, err)
			}
		}
		err = openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: in, Status: got.status, Header: got.header, Body: io.NopCloser(strings.NewReader(got.body)), Options: in.Options,
		})
		if err != nil {
			t.Errorf("%s: the answer %d %s is not as described: %v", name, got.status, got.body, err)
		}
		id := route.Operation.OperationID
		if seen[id] == nil {
			seen[id] = map[int]bool{}
		}
		seen[id][got.status] = true
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !seen[op.OperationID][200] && op.OperationID != "events" { // a stream has no end to wait for
				t.Errorf("%s %s was not tried with success", method, path)
			}
		}
	}
}

// What the description refuses, the API does too: a client that was generated
// from it meets no surprise.
func TestDescriptionIsStrict(t *testing.T) {
	s := start(t, nil)
	doc, _ := spec(t, s)
	schemas := doc.Components.Schemas
	for _, row := range []struct{ schema, value string }{
		{"ConfigDocument", `{"x":1}`},
		{"ConfigDocument", `{"server":{"max_in_flight":0}}`},
		{"ConfigDocument", `{"circuit_breaker":{"timeout":30}}`},
		{"ConfigDocument", `{"providers":{"a":{"cache_mode":"always"}}}`},
		{"ConfigDocument", `{"providers":{"a":{"auth":{"type":"magic"}}}}`},
		{"ConfigLimit", `{"burst":1}`},
		{"ConfigLimit", `{"rate":-1}`},
		{"ConfigLimit", `{"rate":"5 per minute"}`},
		{"Order", `{"why":"x"}`},
		{"Purge", `{"key":"x"}`},
	} {
		if schemas[row.schema] == nil {
			t.Errorf("there is no schema %s", row.schema)
			continue
		}
		var value any
		_ = json.Unmarshal([]byte(row.value), &value)
		if err := schemas[row.schema].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err == nil {
			t.Errorf("%s takes %s", row.schema, row.value)
		}
	}
}

// The description is the same for every build and every start, so that it can be
// compared.
func TestDescriptionIsStable(t *testing.T) {
	first := s0(t, "1")
	for range 3 {
		if !bytes.Equal(first, s0(t, "2")) {
			t.Fatal("the description changes")
		}
	}
}

func s0(t *testing.T, version string) []byte {
	return start(t, func(o *Options) { o.Version = version }).api.spec
}
