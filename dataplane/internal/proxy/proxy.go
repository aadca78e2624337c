// Package proxy is the request path of a node, told once: serve is a straight
// line over the stages, in the order of docs/DESIGN.md. It is where fasthttp meets
// the pure stages and decides nothing that a stage can decide.
package proxy

import (
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/cache/coalesce"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/metrics"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Options are what a Proxy works with. All functions must be safe for
// simultaneous use and return at once.
type Options struct {
	NodeID   string
	Snapshot func() *snapshot.Snapshot // nil result: no configuration yet
	Clock    func() int64              // monotonic nanoseconds since the node's start
	Epoch    int64                     // unix nanoseconds at which Clock was 0
	Metrics  *metrics.Node
	Cache    *store.Store // nil: nothing is cached

	AccessLog      func(line []byte) // one line; must not be kept
	BreakerChanged func(provider string, t breaker.Transition)
	UpstreamFailed func(provider string, outcome verdict.AttemptOutcome, err error)
	Panicked       func(requestID string, value any, stack []byte)
	Draining       func() bool     // every answer then asks the client to leave
	CutOff         <-chan struct{} // closed when what is in flight must end; nil = never

	// AdmittedAt sends X-Proxy-Admitted-At upstream, for measuring.
	AdmittedAt bool
}

// Proxy serves proxied requests. Safe for simultaneous use.
type Proxy struct {
	Options
	none      *metrics.Provider // counts requests to no provider
	inFlight  atomic.Int64
	exchanges sync.Pool
	flights   coalesce.Group[shared] // by cache key
}

// New makes a Proxy.
func New(o Options) *Proxy {
	p := &Proxy{Options: o, none: o.Metrics.Provider(metrics.NoProvider)}
	p.exchanges.New = func() any { return new(exchange) }
	return p
}

// InFlight is the number of requests being served, streams included.
func (p *Proxy) InFlight() int64 { return p.inFlight.Load() }

// Handle serves one request. However it ends, it is recorded exactly once: here
// or, for a streamed answer, at the end of the stream.
func (p *Proxy) Handle(ctx *fasthttp.RequestCtx) {
	SendAtOnce(ctx)
	x := p.resume(ctx)
	defer p.end(x)
	p.serve(x)
}

// serve is the path of a request. A stage that returns false has written the
// answer.
func (p *Proxy) serve(x *exchange) {
	if !p.accept(x) { // all that is decided before a byte of the body is read
		return
	}
	if !p.readBody(x) {
		return
	}
	if !p.lookupCalls(x) { // where the body is the question, cache and provider's limit come after it
		return
	}
	p.forward(x) // per attempt: breaker, credential, send
}

// accept runs the stages that need the head of the request only.
func (p *Proxy) accept(x *exchange) bool {
	if x.accepted {
		return true
	}
	x.accepted = p.admit(x) && // validity, size, caps
		p.route(x) && // prefix -> plan, allow list
		p.takeFairness(x) && // per_ip, global
		(x.isQuestionInBody() || // then these two come later
			p.lookup(x) && // a stored or merged answer costs no provider quota
				p.takeProvider(x)) // the provider's limit, for the first attempt
	return x.accepted
}

// begin takes the one reading of the clock that the fairness limits share.
func (p *Proxy) begin(ctx *fasthttp.RequestCtx) *exchange {
	x := p.exchanges.Get().(*exchange)
	x.begin(ctx, p.Snapshot(), p.Clock())
	x.inFlight = p.inFlight.Add(1)
	return x
}

// end runs when the handler returns, panic or not.
func (p *Proxy) end(x *exchange) {
	if v := recover(); v != nil {
		p.panicked(x, v)
	}
	if x.stream == nil {
		p.finish(x)
	}
}

// panicked turns a bug into one failed request: what the attempt holds is given
// back, the client gets an answer, the log gets the stack.
func (p *Proxy) panicked(x *exchange, v any) {
	p.Panicked(string(x.requestID), v, debug.Stack())
	if x.stream != nil {
		x.stream.x, x.stream = nil, nil // refuse closes it, which must not end the request twice
	}
	p.dropConn(x)
	p.settle(x, breaker.Released, p.Clock())
	p.refuse(x, refusalInternal)
}

// finish records the request, frees its slot and recycles its exchange.
func (p *Proxy) finish(x *exchange) {
	x.cache.flight.Abandon() // unless it has ended: whoever waits for this one goes on
	if !x.background {
		p.record(x)
	}
	p.inFlight.Add(-1)
	x.clear()
	p.exchanges.Put(x)
}
