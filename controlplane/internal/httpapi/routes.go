package httpapi

import (
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// The refusals of what publishes a revision.
var publishing = []int{http.StatusPreconditionFailed, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage}

func with(codes []int, more ...int) []int { return append(more, codes...) }

// register adds every route. It is the table of contents of the API.
func (s *Server) register() {
	a := newAPI(s)
	s.registerConfig(a)
	s.registerLimits(a)
	s.registerCluster(a)
	s.registerProcess(a)
	a.finish()
}

func (s *Server) registerConfig(a *api) {
	document := a.schemaOf(reflect.TypeFor[config.Document]())
	get := a.operation("get-config", "GET /api/v1/config", "config", "The configuration in force", http.StatusServiceUnavailable)
	get.Responses["304"] = &huma.Response{Description: "The document that the client has is still in force."}
	handle(a, get, s.getConfig)

	put := a.operation("put-config", "PUT /api/v1/config", "config", "Replace the configuration", with(publishing, http.StatusPreconditionRequired)...)
	handle(a, put, s.putConfig)
	a.body(put, true, document)

	patch := a.operation("patch-config", "PATCH /api/v1/config", "config", "Change parts of the configuration (RFC 7396)", publishing...)
	handle(a, patch, s.patchConfig)
	a.body(patch, true, &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Description: "The parts of the document to change; null takes a part out.",
	}, "application/merge-patch+json")

	handle(a, a.operation("list-revisions", "GET /api/v1/config/revisions", "config", "The history: who, when, why", http.StatusServiceUnavailable), s.getRevisions)
	handle(a, a.operation("get-revision", "GET /api/v1/config/revisions/{n}", "config", "One revision with its configuration", http.StatusNotFound, http.StatusServiceUnavailable), s.getRevision)
	handle(a, a.operation("restore-revision", "POST /api/v1/config/revisions/{n}/restore", "config", "Publish an old configuration again, as a new revision",
		with(publishing, http.StatusNotFound, http.StatusPreconditionRequired)...), s.restore)
}

func (s *Server) registerLimits(a *api) {
	limit, ipLimit := a.schemaOf(reflect.TypeFor[config.Limit]()), a.schemaOf(reflect.TypeFor[config.IPLimit]())
	handle(a, a.operation("get-limits", "GET /api/v1/limits", "limits", "The limits in force", http.StatusServiceUnavailable), s.getLimits)

	global := a.operation("put-global-limit", "PUT /api/v1/limits/global", "limits", "Change the limit of the whole cluster", publishing...)
	handle(a, global, s.putGlobal)
	a.body(global, true, limit)

	perIP := a.operation("put-per-ip-limit", "PUT /api/v1/limits/per_ip", "limits", "Change the limit of each client address", publishing...)
	handle(a, perIP, s.putPerIP)
	a.body(perIP, true, ipLimit)

	perProvider := a.operation("put-provider-limit", "PUT /api/v1/limits/per_provider/{provider}", "limits", "Change the limit of a provider", with(publishing, http.StatusNotFound)...)
	handle(a, perProvider, s.putPerProvider)
	a.body(perProvider, true, limit)
}

func (s *Server) registerCluster(a *api) {
	changing := []int{http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage}
	handle(a, a.operation("list-nodes", "GET /api/v1/nodes", "nodes", "Nodes, their state, revision and shares", http.StatusServiceUnavailable), s.getNodes)
	handle(a, a.operation("confirm-death", "DELETE /api/v1/nodes/{id}", "nodes", "Confirm that a node is dead, so that its share is given away", changing...), s.deleteNode)
	handle(a, a.operation("list-breakers", "GET /api/v1/breakers", "breakers", "The breakers of all providers", http.StatusServiceUnavailable), s.getBreakers)

	body := a.schemaOf(reflect.TypeFor[order]())
	trip := a.operation("trip-breaker", "POST /api/v1/breakers/{provider}/trip", "breakers", "Hold a breaker open", changing...)
	handle(a, trip, s.trip)
	a.body(trip, false, body)
	reset := a.operation("reset-breaker", "POST /api/v1/breakers/{provider}/reset", "breakers", "Close a breaker now; automatic from then on", changing...)
	handle(a, reset, s.reset)
	a.body(reset, false, body)
	auto := a.operation("auto-breaker", "POST /api/v1/breakers/{provider}/auto", "breakers", "Drop the hold of a breaker; without one nothing changes", changing...)
	handle(a, auto, s.auto)
	a.body(auto, false, body)

	purge := a.operation("purge-cache", "POST /api/v1/cache/purge", "cache", "Make all nodes forget stored answers, and answer when they have", http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusInsufficientStorage)
	handle(a, purge, s.purge)
	a.body(purge, true, a.schemaOf(reflect.TypeFor[Purge]()))

	text := &huma.Schema{Type: huma.TypeString}
	events := a.operation("events", "GET /api/v1/events", "events", "What happens, as server-sent events: breaker, config_published, config_applied, node_joined, node_left, limit_exhausted, cache_purged", http.StatusServiceUnavailable)
	events.Description = "The data of an event is a JSON object with time. Last-Event-ID brings what is still kept of later events first. A reader that is too slow is disconnected."
	events.Parameters = []*huma.Param{{Name: "Last-Event-ID", In: "header", Schema: text, Description: "The id of the last event that was read."}}
	a.handleRaw(events, s.serveEvents, map[string]*huma.Schema{"text/event-stream": text})
}

func (s *Server) registerProcess(a *api) {
	text, object := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	statusDocument := a.schemaOf(reflect.TypeFor[status.Document]())
	show := a.operation("status", "GET /status", "process", "The whole cluster: a page for a browser, JSON for everybody else")
	show.Parameters = []*huma.Param{{Name: "format", In: "query", Schema: &huma.Schema{Type: huma.TypeString, Enum: []any{"json", "html"}}, Description: "Overrules Accept."}}
	a.handleRaw(show, s.serveStatus, map[string]*huma.Schema{"application/json": statusDocument, "text/html": text})

	handle(a, a.operation("health", "GET /health", "process", "Whether the process works"), s.getHealth)
	handle(a, a.operation("ready", "GET /ready", "process", "Whether the control plane can do its work", http.StatusServiceUnavailable), s.getReady)
	if s.options.Metrics != nil {
		a.handleRaw(a.operation("metrics", "GET /metrics", "process", "Metrics for Prometheus"), s.options.Metrics.ServeHTTP, map[string]*huma.Schema{"text/plain": text})
	}
	a.handleRaw(a.operation("openapi", "GET /openapi.json", "process", "This description"), s.serveSpec, map[string]*huma.Schema{"application/json": object})

	s.routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/status", http.StatusFound)
	})
	if s.options.Page != nil {
		s.routes.Handle("GET /status/assets/{asset}", s.options.Page.Assets())
	}
}

func (s *Server) serveSpec(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.spec) // the client has gone
}
