package proxy

import (
	"github.com/valyala/fasthttp"
)

// expect decides on a request that waits for "100 Continue" before it sends its
// body (RFC 9110 §10.1.1): the result is the status to answer with, so a body
// that would be refused is never asked for. What was decided is left for Handle.
func (p *Proxy) expect(ctx *fasthttp.RequestCtx) int {
	x := p.begin(ctx)
	if !p.guarded(x, p.accept) {
		p.finish(x)
		return ctx.Response.StatusCode()
	}
	ctx.SetUserValue(expectedKey, &expected{p, x})
	return fasthttp.StatusContinue
}

const expectedKey = "expected"

// expected is an accepted exchange whose body has been asked for. fasthttp
// closes it when it forgets the request: a client that sends no body after all
// has cost the provider nothing, and is answered and recorded all the same.
type expected struct {
	p *Proxy
	x *exchange // nil once taken up
}

func (e *expected) Close() error {
	if x := e.take(); x != nil {
		x.returnAttempt()
		e.p.refuse(x, refusalSlowBody)
		e.p.finish(x)
	}
	return nil
}

func (e *expected) take() *exchange {
	x := e.x
	e.x = nil
	return x
}

// resume takes up the exchange that expect left, or begins one.
func (p *Proxy) resume(ctx *fasthttp.RequestCtx) *exchange {
	if ctx.Request.MayContinue() {
		if e, ok := ctx.UserValue(expectedKey).(*expected); ok {
			if x := e.take(); x != nil {
				return x
			}
		}
	}
	return p.begin(ctx)
}

// guarded runs a stage outside Handle's own guard.
func (p *Proxy) guarded(x *exchange, stage func(*exchange) bool) (ok bool) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked(x, v)
			ok = false
		}
	}()
	return stage(x)
}
