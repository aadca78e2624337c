package proxy

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/logfile"
	"apiproxy.internal/dataplane/internal/verdict"
)

// refusal is an answer that the node makes itself.
type refusal struct {
	status     int
	kind       verdict.ErrorType
	detail     string // for the caller: what is wrong and what to do
	retryAfter int64  // nanoseconds; 0 = the header is not sent
	close      bool   // the connection cannot be trusted to be in step
}

// The refusals that do not depend on the request.
var (
	refusalInternal   = refusal{status: 500, kind: verdict.ConnectionBroken, detail: "the proxy failed to serve this request; its error log has the details", close: true}
	refusalNoConfig   = refusal{status: 503, kind: verdict.Overload, detail: "this node has no configuration yet", retryAfter: int64(time.Second)}
	refusalLongTarget = refusal{status: 414, kind: verdict.Malformed, detail: "the request target is longer than 64 KiB", close: true}
	refusalLongHead   = refusal{status: 431, kind: verdict.Malformed, detail: "the header section is larger than 64 KiB", close: true}
	refusalMethod     = refusal{status: 405, kind: verdict.Malformed, detail: "CONNECT and TRACE are not forwarded", close: true}
	refusalUpgrade    = refusal{status: 501, kind: verdict.Malformed, detail: "protocol upgrades are not supported", close: true}
	refusalExpect     = refusal{status: 417, kind: verdict.Malformed, detail: "only Expect: 100-continue is supported", close: true}
	refusalLargeBody  = refusal{status: 413, kind: verdict.RequestTooLarge, detail: "the request body is larger than proxy.max_body_size", close: true}
	refusalLongBatch  = refusal{status: 413, kind: verdict.RequestTooLarge, detail: "the batch holds more calls than jsonrpc.max_batch allows; send fewer at a time", close: true}
	refusalSlowBody   = refusal{status: 408, kind: verdict.ClientGone, detail: "the request did not arrive in time", close: true}
	refusalCutBody    = refusal{status: 400, kind: verdict.ClientGone, detail: "the connection ended within the request body", close: true}
	refusalBadBody    = refusal{status: 400, kind: verdict.Malformed, detail: "the request body is malformed or ended early", close: true}
	refusalBadRequest = refusal{status: 400, kind: verdict.Malformed, detail: "the request is malformed", close: true}
	refusalLimit      = refusal{status: 429, kind: verdict.RateLimit, detail: "the limit is exhausted; wait for Retry-After"}
	refusalOverload   = refusal{status: 503, kind: verdict.Overload, detail: "the node serves as many requests as server.max_in_flight allows", retryAfter: int64(time.Second)}
	refusalShort      = refusal{status: 503, kind: verdict.Overload, detail: "the node has run out of descriptors, memory or local ports; its error log has the details", retryAfter: int64(time.Second)}
	refusalStopped    = refusal{status: 503, kind: verdict.Overload, detail: "the node stopped before the provider answered", retryAfter: int64(time.Second), close: true}
	refusalLeft       = refusal{status: 499, kind: verdict.ClientGone, detail: "the client left before the provider answered", close: true}
	refusalNoProvider = refusal{status: 404, kind: verdict.NotFound, detail: "no provider has a prefix that matches this path"}
	refusalForbidden  = refusal{status: 403, kind: verdict.Forbidden, detail: "the client address is not in proxy.allowed_ips"}
)

// refuse writes a problem document (RFC 9457) in place of an upstream answer.
// It returns false, so that a stage can end with it.
func (p *Proxy) refuse(x *exchange, r refusal) bool {
	x.status, x.kind = r.status, r.kind
	ctx := x.ctx
	ctx.Response.Reset()
	ctx.SetStatusCode(r.status)
	h := &ctx.Response.Header
	h.DisableNormalizing()
	h.SetContentType("application/problem+json")
	wait := int64(0)
	if r.retryAfter > 0 {
		wait = limit.RetryAfterSeconds(r.retryAfter, rand.Uint32())
		x.scratch = strconv.AppendInt(x.scratch[:0], wait, 10)
		h.SetBytesV("Retry-After", x.scratch)
	}
	if r.close {
		ctx.SetConnectionClose()
		if ctx.Request.Header.ContentLength() != 0 { // there may be a body on its way
			downstream.Linger(ctx.Conn())
		}
	}
	p.ownHeaders(x)
	x.scratch = appendProblem(x.scratch[:0], x, r, wait)
	ctx.Response.SetBody(x.scratch)
	x.bytesOut = int64(len(x.scratch))
	if ctx.IsHead() {
		x.bytesOut = 0
	}
	return false
}

func appendProblem(dst []byte, x *exchange, r refusal, wait int64) []byte {
	dst = append(dst, `{"type":"about:blank","title":`...)
	dst = logfile.AppendString(dst, fasthttp.StatusMessage(r.status))
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(r.status), 10)
	dst = append(dst, `,"detail":`...)
	dst = logfile.AppendString(dst, r.detail)
	dst = append(dst, `,"error_type":"`...)
	dst = append(dst, r.kind.String()...)
	dst = append(dst, `","provider":`...)
	dst = logfile.AppendString(dst, x.provider())
	if x.refusedBy != verdict.NoLimit {
		dst = append(dst, `,"limit":"`...)
		dst = append(append(dst, x.refusedBy.String()...), '"')
	}
	dst = append(dst, `,"request_id":`...)
	dst = logfile.AppendString(dst, x.requestID)
	if wait > 0 {
		dst = append(dst, `,"retry_after":`...)
		dst = strconv.AppendInt(dst, wait, 10)
	}
	return append(dst, "}\n"...)
}

// ownHeaders adds what every proxied answer carries.
func (p *Proxy) ownHeaders(x *exchange) {
	h := &x.ctx.Response.Header
	h.SetBytesV("X-Proxy-Request-ID", x.requestID)
	if x.plan != nil {
		h.Set("X-Provider", x.plan.Name)
		x.scratch = x.cacheHeader()
		h.AddBytesV("Cache-Status", x.scratch)
	}
	x.appendRateLimit(h)
	// fasthttp lets a bare LF end a chunked body, where others read on (RFC 9112
	// §7.1): what follows one is not taken for a request.
	chunked := x.ctx.Request.Header.ContentLength() == -1
	if chunked || p.Draining() {
		x.ctx.SetConnectionClose()
	}
}

// cacheStatus says that no cache took part (RFC 9211 §2.2).
const cacheStatus = "api-proxy; fwd=bypass"

// provider is the name for documents, logs and labels.
func (x *exchange) provider() string {
	if x.plan == nil {
		return "none"
	}
	return x.plan.Name
}
