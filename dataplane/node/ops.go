package node

import (
	"bytes"
	"encoding/json"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/proxy"
)

// handle serves the main port: the node's own endpoints, and everything else is
// proxied.
func (n *Node) handle(ctx *fasthttp.RequestCtx) {
	if serve := n.endpoint(ctx); serve != nil {
		n.answer(ctx, serve)
		return
	}
	n.proxy.Handle(ctx)
}

// handleAdmin serves the admin port, which proxies nothing.
func (n *Node) handleAdmin(ctx *fasthttp.RequestCtx) {
	serve := n.endpoint(ctx)
	if serve == nil {
		serve = n.operatorEndpoint(path(ctx))
	}
	if serve == nil {
		serve = serveNotFound
	}
	n.answer(ctx, serve)
}

// endpoint finds what the main port serves itself; nil is none of it.
func (n *Node) endpoint(ctx *fasthttp.RequestCtx) fasthttp.RequestHandler {
	path := path(ctx)
	switch string(path) {
	case "/health":
		return n.serveHealth
	case "/ready":
		return n.serveReady
	}
	if n.options.AdminListen != "" {
		return nil
	}
	return n.operatorEndpoint(path)
}

// operatorEndpoint finds what an admin port has for itself.
func (n *Node) operatorEndpoint(path []byte) fasthttp.RequestHandler {
	switch string(path) {
	case "/metrics":
		return n.serveMetrics
	case "/status":
		return n.serveStatus
	case "/circuit-breaker-stats":
		return n.serveBreakers
	}
	return nil
}

// path is that of the request as it was sent: nothing is decoded or cleaned, so
// that whoever filters paths in front of the node sees the same one.
func path(ctx *fasthttp.RequestCtx) []byte {
	path, _, _ := bytes.Cut(ctx.Request.Header.RequestURI(), []byte{'?'})
	return path
}

// strict is what a proxied request has to pass, too: one whose head two parsers
// could read differently must not stay on a connection that others follow on.
func strict(h *fasthttp.RequestHeader) error {
	fields, err := http1.ParseFields(nil, h.RawHeaders())
	if err != nil {
		return err
	}
	return http1.CheckRequest(h.Protocol(), fields)
}

// answer lets an endpoint answer GET and HEAD, and nothing else. It takes no
// body; after one the connection ends, because where it ended is fasthttp's word.
func (n *Node) answer(ctx *fasthttp.RequestCtx, serve fasthttp.RequestHandler) {
	proxy.SendAtOnce(ctx)
	header := &ctx.Request.Header
	if length := header.ContentLength(); length != 0 && length != -2 {
		defer ctx.SetConnectionClose()
	}
	if err := strict(header); err != nil {
		serveProblem(ctx, fasthttp.StatusBadRequest, "the request is malformed")
		ctx.SetConnectionClose()
		return
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	if ctx.IsGet() || ctx.IsHead() {
		serve(ctx)
	} else {
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		serveProblem(ctx, fasthttp.StatusMethodNotAllowed, "use GET or HEAD")
	}
	if n.draining.Load() {
		ctx.SetConnectionClose()
	}
}

// health is the answer of /health and /ready.
type health struct {
	Status      string `json:"status"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"` // new at each start: whoever holds an old one knows that it is dead
	Version     string `json:"version"`
}

func (n *Node) serveHealth(ctx *fasthttp.RequestCtx) {
	serveJSON(ctx, health{"ok", n.id, n.incarnation, n.options.Version})
}

// Unready says why a balancer should not send requests; empty if it may.
func (n *Node) Unready() string {
	switch {
	case n.draining.Load():
		return "draining"
	case n.snapshot() == nil:
		return "waiting for a configuration from the controller"
	case n.expectsLeases():
		return "waiting for a share of the limits"
	}
	return ""
}

// serveReady says whether a balancer may send requests.
func (n *Node) serveReady(ctx *fasthttp.RequestCtx) {
	state := health{"ready", n.id, n.incarnation, n.options.Version}
	if why := n.Unready(); why != "" {
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		state.Status = why
	}
	serveJSON(ctx, state)
}

func (n *Node) serveMetrics(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	n.metrics.WritePrometheus(ctx)
}

func (n *Node) serveStatus(ctx *fasthttp.RequestCtx) { serveJSON(ctx, n.Status()) }

func (n *Node) serveBreakers(ctx *fasthttp.RequestCtx) {
	type stats struct {
		State     string `json:"state"`
		Failures  int    `json:"failures"`
		Successes int    `json:"successes"`
		SlotsUsed int    `json:"half_open_slots"`
	}
	all := map[string]stats{}
	now := n.clock()
	for _, p := range n.inForce().Plans {
		b := p.Breaker.Stats(now)
		all[p.Name] = stats{b.State.String(), b.Failures, b.Successes, b.SlotsInUse}
	}
	serveJSON(ctx, all)
}

func serveNotFound(ctx *fasthttp.RequestCtx) {
	serveProblem(ctx, fasthttp.StatusNotFound, "this port serves /health /ready /metrics /status /circuit-breaker-stats")
}

// serveProblem writes a problem document (RFC 9457).
func serveProblem(ctx *fasthttp.RequestCtx, code int, detail string) {
	ctx.SetStatusCode(code)
	serveJSON(ctx, struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
	}{"about:blank", fasthttp.StatusMessage(code), code, detail})
	ctx.SetContentType("application/problem+json")
}

func serveJSON(ctx *fasthttp.RequestCtx, v any) {
	ctx.SetContentType("application/json")
	enc := json.NewEncoder(ctx)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // all types here can be encoded, and ctx takes every byte
}
