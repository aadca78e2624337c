package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// api builds the routes and their description together, so that neither can have
// what the other lacks. The library reads parameters and writes answers; bodies
// and errors are our own.
type api struct {
	*Server
	huma.API
	problem *huma.Schema
}

const bearerScheme = "admin"

func newAPI(s *Server) *api {
	schemas := huma.NewMapRegistry("#/components/schemas/", schemaName)
	aliasConfig(schemas)
	spec := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "API Proxy control plane",
			// The version of the paths, not of the program: a description that
			// changes with each build cannot be compared.
			Version:     "v1",
			Description: "Configuration, limits, nodes, breakers and caches of one API Proxy cluster. Every write needs the admin token; every refusal is a problem document (RFC 9457) that says what to do.",
		},
		Servers: []*huma.Server{{URL: "/", Description: "this control plane"}},
		Components: &huma.Components{
			Schemas: schemas,
			SecuritySchemes: map[string]*huma.SecurityScheme{
				bearerScheme: {Type: "http", Scheme: "bearer", Description: "The admin token. Without one configured, the control plane's own machine may write without it."},
			},
		},
	}
	format := huma.Format{
		Marshal:   func(w io.Writer, v any) error { return writeJSON(w, v) },
		Unmarshal: json.Unmarshal,
	}
	a := &api{Server: s}
	a.API = humago.New(s.routes, huma.Config{OpenAPI: spec, Formats: map[string]huma.Format{"application/json": format, "json": format}, DefaultFormat: "application/json"})
	a.problem = schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	return a
}

// finish writes the description down.
func (a *api) finish() {
	schemas := a.OpenAPI().Components.Schemas
	for name, schema := range schemas.Map() {
		if strings.HasPrefix(name, "Error") {
			delete(schemas.Map(), name) // the library's own errors, which never leave it
			continue
		}
		complete(schema, schemas.TypeFromRef("#/components/schemas/"+name))
	}
	spec, err := json.Marshal(a.OpenAPI())
	if err != nil {
		panic(fmt.Errorf("httpapi: the description of the API cannot be written: %w", err)) // every test sees it
	}
	a.spec = spec
}

// operation describes a route. failures are the status codes of its refusals.
func (a *api) operation(id, pattern, tag, summary string, failures ...int) huma.Operation {
	method, path, _ := strings.Cut(pattern, " ")
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{tag},
		SkipValidateParams: true, // we have read what matters, and say more about what is wrong
		Responses:          map[string]*huma.Response{},
	}
	failures = append(failures, http.StatusForbidden, http.StatusInternalServerError)
	if method != http.MethodGet {
		op.Security = []map[string][]string{{bearerScheme: {}}, {}}
		failures = append(failures, http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge)
	}
	for _, code := range failures {
		op.Responses[strconv.Itoa(code)] = &huma.Response{
			Description: http.StatusText(code),
			Content:     map[string]*huma.MediaType{"application/problem+json": {Schema: a.problem}},
		}
	}
	return op
}

// handle adds a route whose answer is JSON.
func handle[I, O any](a *api, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	huma.Register(a.API, op, handler)
	at := a.operationOf(op)
	for _, p := range at.Parameters {
		if p.In == "query" {
			a.queries[op.Method+" "+op.Path] = append(a.queries[op.Method+" "+op.Path], p.Name)
		}
	}
}

// handleRaw adds a route that writes its answer itself, of one of these types.
func (a *api) handleRaw(op huma.Operation, handler http.HandlerFunc, types map[string]*huma.Schema) {
	op.Responses["200"] = &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{}}
	for name, schema := range types {
		op.Responses["200"].Content[name] = &huma.MediaType{Schema: schema}
	}
	a.OpenAPI().AddOperation(&op)
	a.routes.HandleFunc(op.Method+" "+op.Path, handler)
}

func (a *api) operationOf(op huma.Operation) *huma.Operation {
	item := a.OpenAPI().Paths[op.Path]
	switch op.Method {
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	case http.MethodPost:
		return item.Post
	case http.MethodDelete:
		return item.Delete
	}
	return item.Get
}

// body describes the body that a route reads. The library is told afterwards,
// because it would read it too.
func (a *api) body(op huma.Operation, required bool, schema *huma.Schema, types ...string) {
	content := map[string]*huma.MediaType{}
	for _, name := range append(types, "application/json", "application/yaml") {
		content[name] = &huma.MediaType{Schema: schema}
	}
	a.operationOf(op).RequestBody = &huma.RequestBody{
		Description: "At most 1 MiB; JSON unless the Content-Type is application/yaml.",
		Required:    required, Content: content,
	}
}

func (a *api) schemaOf(t reflect.Type) *huma.Schema {
	return a.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
}

// schemaName tells the types of the packages apart, whose names overlap.
func schemaName(t reflect.Type, hint string) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	switch {
	case t == reflect.TypeFor[authText]():
		return "ConfigAuth"
	case t.PkgPath() == reflect.TypeFor[config.Document]().PkgPath():
		return "Config" + name
	case t.PkgPath() == reflect.TypeFor[status.Document]().PkgPath():
		return "Status" + name
	}
	return name
}
