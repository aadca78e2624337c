package proxy

import (
	"io"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/retry"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/dataplane/internal/verdict"
)

// exchange is one request and its answer with all their state. Pooled; its
// slices point into fasthttp's request or into its own buffers and are valid
// until the answer has been written.
type exchange struct {
	ctx      *fasthttp.RequestCtx
	snap     *snapshot.Snapshot
	plan     *snapshot.Plan // nil until routed
	now      int64          // the clock at admission
	inFlight int64          // this request included
	accepted bool

	// The request.
	method    verdict.Method
	token     []byte // the method as it came
	path      []byte // with the prefix
	rest      []byte // what follows the prefix
	query     []byte
	fields    []http1.Field
	requestID []byte
	client    netip.Addr

	// The limits. tightest is the decision with the least left.
	perIPRef    limit.Ref
	tookPerIP   bool
	tookGlobal  bool
	tightest    limit.Decision
	tightPolicy *limit.Policy

	// The body: whole in memory, or a stream with what was read of it already.
	source     clientBody
	body       []byte
	bodyStream io.Reader
	bodyLength int64 // as forward.Request has it
	bodyIn     int64 // bytes received from the client

	// The current attempt.
	deadline   time.Time // of all attempts, moved by what the client takes; zero = none
	admittedAt int64     // the clock when the last of the limits let it pass
	charged    bool      // the attempt to come is, to the provider's limit
	conn       *upstream.Conn
	permit     breaker.Permit
	result     retry.Result
	response   http1.Response
	answer     http1.Body
	answered   bool   // a complete response head is in response
	whole      bool   // the answer is in memory, however it was framed
	early      []byte // of an answer that is streamed: what was read of it already
	short      bool   // the node could not open a connection, for want of its own

	// What the record tells.
	status     int
	kind       verdict.ErrorType
	refusedBy  verdict.LimitScope
	attempts   int
	upstream   int64 // nanoseconds spent in attempts
	bytesOut   int64
	stream     *stream // set while the answer is streamed
	failedBody error   // what went wrong while the client's body was read

	cache      caching
	calls      calls
	background bool          // asks for the cache's sake; no client waits
	passing    []http1.Field // buffer of clientFields

	idBuf, head, scratch, bodyBuf []byte
}

// maxKept bounds the buffers that a recycled exchange keeps, in bytes.
const maxKept = 128 << 10

func (x *exchange) begin(ctx *fasthttp.RequestCtx, snap *snapshot.Snapshot, now int64) {
	x.ctx, x.snap, x.now = ctx, snap, now
	x.bodyLength = noBody
	x.token = ctx.Method()
	x.method = verdict.ParseMethod(x.token)
	ctx.Response.Header.DisableNormalizing() // names go out as they came
}

// clear forgets the request and keeps the buffers.
func (x *exchange) clear() {
	clear(x.fields)
	clear(x.passing[:cap(x.passing)])
	x.cache.clear()
	x.calls.clear()
	*x = exchange{
		cache:    x.cache,
		calls:    x.calls,
		passing:  x.passing[:0],
		fields:   x.fields[:0],
		response: x.response,
		idBuf:    x.idBuf[:0],
		head:     keep(x.head),
		scratch:  keep(x.scratch),
		bodyBuf:  keep(x.bodyBuf),
	}
}

func keep(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}
