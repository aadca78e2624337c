package proxy

import (
	"errors"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/record"
	"apiproxy.internal/dataplane/internal/verdict"
)

// record turns the finished exchange into one observation and one log line; the
// only place that sees both.
func (p *Proxy) record(x *exchange) {
	latency := time.Duration(p.Clock() - x.now)
	counters := p.none
	if x.plan != nil {
		counters = x.plan.Metrics
	}
	counters.Observe(metrics.Observation{
		Method:  x.method,
		Status:  x.status,
		Latency: latency,
		Error:   x.kind,
		Limit:   x.refusedBy,
		Passed:  x.tookPerIP || x.tookGlobal,

		Cache:    x.cacheMetric(),
		Degraded: x.degradedMetric(),
	})
	x.scratch = record.Append(x.scratch[:0], &record.Entry{
		Time:            time.Unix(0, p.Epoch+x.now),
		RequestID:       x.requestID,
		Node:            p.NodeID,
		Provider:        x.provider(),
		Method:          x.token,
		Path:            x.path,
		Status:          x.status,
		Latency:         latency,
		UpstreamLatency: time.Duration(x.upstream),
		BytesIn:         x.bodyIn,
		BytesOut:        x.bytesOut,
		Client:          x.client,
		UserAgent:       x.userAgent(),
		Cache:           x.cacheWord(),
		Degraded:        x.cache.status.Step.Degraded(),
		Attempts:        x.attempts,
		Limit:           x.refusedBy,
		Error:           x.kind,
	})
	p.AccessLog(x.scratch)
}

// parseError answers a request that fasthttp could not read. That bypasses the
// handler, so it is fed into the same counters and the same log here.
func (p *Proxy) parseError(ctx *fasthttp.RequestCtx, err error) {
	if ctx.Response.StatusCode() != fasthttp.StatusOK {
		return // it was answered when its body did not come, see expected
	}
	x := p.begin(ctx)
	x.requestID = appendNewID(x.idBuf[:0])
	x.idBuf = x.requestID
	x.client = peerAddr(ctx.RemoteAddr())
	x.token, x.method = nil, verdict.MethodOther // fasthttp says GET for what it could not read
	r := refusalBadRequest
	var (
		small   *fasthttp.ErrSmallBuffer
		netFail net.Error
	)
	switch {
	case errors.As(err, &small):
		r = refusalLongHead
		if downstream.LongLine(ctx.Conn(), readBuffer) {
			r = refusalLongTarget
		}
	case errors.As(err, &netFail) && netFail.Timeout():
		r = refusalSlowBody
	case errors.Is(err, fasthttp.ErrBodyTooLarge):
		r = refusalLargeBody
	}
	p.refuse(x, r)
	p.finish(x)
}

// RecordRefused records a connection that got the answer 503, with that request
// id, before a request was read from it.
func (p *Proxy) RecordRefused(peer net.Addr, requestID string) {
	x := p.exchanges.Get().(*exchange)
	p.inFlight.Add(1) // finish takes it back
	x.now, x.client = p.Clock(), peerAddr(peer)
	x.idBuf = append(x.idBuf[:0], requestID...)
	x.requestID = x.idBuf
	x.status, x.kind = refusalOverload.status, refusalOverload.kind
	p.finish(x)
}

// kindOf maps how the last attempt ended to the word for the answer.
var kindOf = [verdict.AttemptOutcomes]verdict.ErrorType{
	verdict.AttemptStatus5xx:         verdict.Upstream5xx,
	verdict.AttemptTimeout:           verdict.Timeout,
	verdict.AttemptConnectionRefused: verdict.ConnectionRefused,
	verdict.AttemptConnectFailure:    verdict.ConnectFailure,
	verdict.AttemptSSLError:          verdict.SSLError,
	verdict.AttemptConnectionBroken:  verdict.ConnectionBroken,
	verdict.AttemptCanceled:          verdict.ClientGone,
}
