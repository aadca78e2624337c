package proxy

import (
	"strconv"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/verdict"
)

// serveCopy writes the copy, or as much of it as the request wants.
func (p *Proxy) serveCopy(x *exchange, step ladder.Step) {
	c := &x.cache
	if x.calls.usable {
		x.fromCopies()
	}
	c.status.Step, c.status.TTL = step, c.copy.TTL
	switch step {
	case ladder.Forward, ladder.Merged, ladder.FailureCopy:
	default:
		c.status.Why = ladder.NotForwarded
	}
	x.kind = verdict.None
	if step.Degraded() != "" {
		x.kind = verdict.DegradedCache
	}
	ctx := x.ctx
	ctx.Response.Reset()
	h := &ctx.Response.Header
	h.DisableNormalizing()
	h.SetNoDefaultContentType(true) // what the provider left out stays out
	status, body := c.meta.Status, c.body
	reduced := c.wish.NotModified(status, c.stored)
	if reduced {
		status, body = 304, nil
	}
	for _, f := range c.stored {
		if !reduced || cache.In304(f.Name) {
			h.AddBytesKV(f.Name, f.Value)
		}
	}
	part, first, end := c.wish.Cut(status, c.stored, int64(len(body)))
	if part != cache.Whole {
		x.scratch = cache.AppendContentRange(x.scratch[:0], first, end, int64(len(body)))
		h.SetBytesV("Content-Range", x.scratch)
		if status, body = 206, body[first:end]; part == cache.Unsatisfiable {
			status = 416
		}
	}
	x.setSeconds("Age", c.copy.Age)
	x.setSeconds("X-Cache-Age", c.copy.Kept)
	if x.kind == verdict.DegradedCache {
		h.Set("X-Degraded", "cache")
	}
	ctx.SetStatusCode(status)
	x.status = status
	p.ownHeaders(x)
	x.bytesOut = int64(len(body))
	if x.method == verdict.MethodHead {
		x.bytesOut = 0
		if len(body) == 0 { // a HEAD's copy: its Content-Length is a field
			return
		}
	}
	if len(body) == len(c.body) {
		c.body = ctx.Response.SwapBody(c.body)
		return
	}
	ctx.Response.SetBody(body)
}

func (x *exchange) setSeconds(name string, ns int64) {
	x.scratch = strconv.AppendInt(x.scratch[:0], ns/int64(time.Second), 10)
	x.ctx.Response.Header.SetBytesV(name, x.scratch)
}

// cacheHeader is the value of Cache-Status.
func (x *exchange) cacheHeader() []byte {
	if x.cache.status == (ladder.Status{}) {
		return append(x.scratch[:0], cacheStatus...) // refused before the cache was asked
	}
	return x.cache.status.Append(x.scratch[:0])
}

// cacheWord is the access log's word for the part of the cache.
func (x *exchange) cacheWord() string {
	s := x.cache.status
	if x.attempts == 0 && s.Step != ladder.Merged && !s.Step.FromCopy() {
		return ""
	}
	return s.Word()
}

// cacheMetric is the same for the counters.
func (x *exchange) cacheMetric() metrics.Cache {
	switch s := x.cache.status; {
	case !x.cache.usable:
		return metrics.CacheNone
	case s.Step.Degraded() != "":
		return metrics.CacheDegraded
	case s.Step == ladder.Merged && x.status >= 500:
		return metrics.CacheMiss // what was shared is a failure
	case s.Step == ladder.Fresh, s.Step == ladder.Merged:
		return metrics.CacheFresh
	case s.Step.FromCopy():
		return metrics.CacheStale
	}
	return metrics.CacheMiss
}

func (x *exchange) degradedMetric() metrics.Degraded {
	switch x.cache.status.Step {
	case ladder.BreakerCopy:
		return metrics.DegradedCircuitBreaker
	case ladder.FailureCopy:
		return metrics.DegradedUpstreamError
	case ladder.QuotaCopy:
		return metrics.DegradedQuota
	}
	return metrics.DegradedNone
}

// shared is what a leader's attempts came to, for those who waited.
type shared struct {
	outcome verdict.AttemptOutcome
	status  int // 0 = no answer
	fields  []http1.Field
	body    []byte
	call    bool // body answers a JSON-RPC call and has the leader's id, see calls
}

// shared copies what came; a body that would be streamed is left out, and so is
// one that may have the leader's id in a place that is not known.
func (x *exchange) shared() shared {
	s := shared{outcome: x.result.Outcome}
	if !x.answered {
		return s
	}
	s.status = x.response.Status
	for _, field := range x.clientFields(true) {
		s.fields = append(s.fields, http1.Field{Name: append([]byte(nil), field.Name...), Value: append([]byte(nil), field.Value...)})
	}
	body := x.ctx.Response.Body()
	s.call = x.calls.fit
	if x.response.Body == http1.Fixed && !x.mustStream() && (!x.calls.usable || s.call || jsonrpc.Anonymous(body)) {
		s.body = append([]byte(nil), body...)
	}
	return s
}
