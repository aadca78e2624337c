package node

import (
	"encoding/json"

	"github.com/valyala/fasthttp"
)

// handle serves the main port: the operator's endpoints, and everything else is
// proxied.
func (n *Node) handle(ctx *fasthttp.RequestCtx) {
	if n.endpoint(ctx, n.options.AdminListen == "") {
		return
	}
	n.proxy.Handle(ctx)
}

// handleAdmin serves the admin port, which proxies nothing.
func (n *Node) handleAdmin(ctx *fasthttp.RequestCtx) {
	if !n.endpoint(ctx, true) {
		ctx.Error("not found: this port serves /health /ready /metrics /status /circuit-breaker-stats\n", fasthttp.StatusNotFound)
	}
}

// endpoint serves one of the node's own endpoints, all of them if all is true,
// and reports whether the path was one.
func (n *Node) endpoint(ctx *fasthttp.RequestCtx, all bool) bool {
	var serve func(*fasthttp.RequestCtx)
	switch string(ctx.Path()) {
	case "/health":
		serve = n.serveHealth
	case "/ready":
		serve = n.serveReady
	case "/metrics":
		serve = n.serveMetrics
	case "/status":
		serve = func(ctx *fasthttp.RequestCtx) { serveJSON(ctx, n.Status()) }
	case "/circuit-breaker-stats":
		serve = n.serveBreakers
	default:
		return false
	}
	if !all && string(ctx.Path()) != "/health" && string(ctx.Path()) != "/ready" {
		return false
	}
	if n.draining.Load() {
		ctx.SetConnectionClose()
	}
	if !ctx.IsGet() && !ctx.IsHead() {
		ctx.Response.Header.Set("Allow", "GET, HEAD")
		ctx.Error("method not allowed: use GET or HEAD\n", fasthttp.StatusMethodNotAllowed)
		return true
	}
	ctx.Response.Header.Set("Cache-Control", "no-store")
	serve(ctx)
	return true
}

func (n *Node) serveHealth(ctx *fasthttp.RequestCtx) {
	serveJSON(ctx, map[string]any{"status": "ok", "node": n.id, "version": n.options.Version})
}

func (n *Node) serveReady(ctx *fasthttp.RequestCtx) {
	switch {
	case n.draining.Load():
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		serveJSON(ctx, map[string]any{"status": "draining", "node": n.id})
	case n.snapshot() == nil:
		ctx.SetStatusCode(fasthttp.StatusServiceUnavailable)
		serveJSON(ctx, map[string]any{"status": "no configuration yet", "node": n.id})
	default:
		serveJSON(ctx, map[string]any{"status": "ready", "node": n.id})
	}
}

func (n *Node) serveMetrics(ctx *fasthttp.RequestCtx) {
	ctx.SetContentType("text/plain; version=0.0.4; charset=utf-8")
	n.metrics.WritePrometheus(ctx)
}

func (n *Node) serveBreakers(ctx *fasthttp.RequestCtx) {
	type stats struct {
		State     string `json:"state"`
		Failures  int    `json:"failures"`
		Successes int    `json:"successes"`
		SlotsUsed int    `json:"half_open_slots"`
	}
	all := map[string]stats{}
	now := n.clock()
	for _, p := range n.snapshot().Plans {
		b := p.Breaker.Stats(now)
		all[p.Name] = stats{b.State.String(), b.Failures, b.Successes, b.SlotsInUse}
	}
	serveJSON(ctx, all)
}

func serveJSON(ctx *fasthttp.RequestCtx, v any) {
	ctx.SetContentType("application/json")
	enc := json.NewEncoder(ctx)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // only a bug can do that
		ctx.Error("cannot encode the answer\n", fasthttp.StatusInternalServerError)
	}
}
