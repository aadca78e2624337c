package proxy

import (
	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/verdict"
)

// gone is what a request waits for that does not want to wait.
var gone = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// refresh asks about a stale copy in the background (RFC 5861 §3), unless
// somebody does already. It is paid for like any other request to the provider,
// and is neither logged nor counted as one of a client.
func (p *Proxy) refresh(x *exchange) {
	c := &x.cache
	ticket, leads := p.flights.Join(c.key)
	if !leads {
		_, _ = ticket.Wait(gone, nil)
		return
	}
	ctx := new(fasthttp.RequestCtx)
	ctx.Init(&x.ctx.Request, x.ctx.RemoteAddr(), nil)
	y := p.begin(ctx)
	y.background = true
	y.cache.flight = ticket
	go p.refreshNow(y)
}

func (p *Proxy) refreshNow(x *exchange) {
	s := p.refreshOnce(x)
	if s == nil {
		return
	}
	buf := make([]byte, 4<<10)
	for s.x.cache.collected { // until it is stored, or will not be
		if _, err := s.Read(buf); err != nil {
			break
		}
	}
	_ = s.CloseWithError(nil)
}

// refreshOnce sends the request. A streamed answer is left to be read and closed.
func (p *Proxy) refreshOnce(x *exchange) (s *stream) {
	defer p.end(x)
	if !p.admit(x) || x.plan == nil || x.plan.Credential == nil || !p.mayCache(x) {
		return nil
	}
	c := &x.cache
	c.generation = p.Cache.Generation()
	p.findCopy(x, x.now)
	c.changes = p.Cache.Changes(c.key[:c.resource])
	c.validating = c.hasCopy && c.meta.Status == 200 && x.method == verdict.MethodGet && cache.HasValidator(c.stored)
	if _, ok := p.takeAttempt(x, x.now); !ok {
		return nil
	}
	x.admittedAt = x.now
	p.forward(x)
	return x.stream
}
