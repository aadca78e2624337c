package proxy

import (
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/coalesce"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/dataplane/internal/verdict"
)

// merge lets a request wait for another one that asks the same. It returns true
// if this one has to ask the provider itself. A batch of calls does: its calls
// would wait for as many others, each with an end of its own, before the rest
// could be sent.
func (p *Proxy) merge(x *exchange) bool {
	c := &x.cache
	if !c.wish.Mergeable() || x.calls.batch.IsArray {
		return true
	}
	ticket, leads := p.flights.Join(c.key)
	c.flight = ticket
	switch {
	case leads:
		return !p.cameLate(x)
	case c.hasCopy && x.plan.Breaker.State(p.Clock()) == verdict.HalfOpen:
		// Somebody is trying the provider, which may take as long as it fails to answer.
		_, _ = c.flight.Wait(gone, nil)
		return !p.fallBack(x, ladder.NoPermit)
	}
	timer := time.NewTimer(patience(x.plan))
	defer timer.Stop()
	left := make(departure)
	downstream.Watch(x.ctx.Conn(), left)
	outcome, result := c.flight.Wait(left, timer.C)
	downstream.Unwatch(x.ctx.Conn())
	now := p.Clock()
	switch outcome {
	case coalesce.Shared:
		if result.status != 0 {
			p.passShared(x, &result)
			return false
		}
		why := c.status.Why
		if p.find(x, now); c.hasCopy && c.copy.Use == cache.Fresh {
			c.status.Why = why
			p.serveCopy(x, ladder.Merged)
			return false
		}
	case coalesce.Failed:
		c.status.FwdStatus = result.status
		if !p.fallBack(x, ladder.Failed) {
			p.passShared(x, &result)
		}
		return false
	case coalesce.GaveUp:
		if left.happened() {
			return p.refuse(x, refusalLeft)
		}
		if !p.fallBack(x, ladder.Failed) {
			p.refuse(x, p.unanswered(verdict.AttemptTimeout))
		}
		return false
	}
	c.waited = now // the provider's limit is asked now
	return true
}

// cameLate looks again if a flight has ended since, whose answer is a copy now,
// and answers with that.
func (p *Proxy) cameLate(x *exchange) bool {
	c := &x.cache
	if c.ended == p.flights.Ended() {
		return false
	}
	why, now := c.status.Why, p.Clock()
	p.find(x, now)
	if step := p.arrive(x, now); step == ladder.Fresh {
		c.flight.Share(func() shared { return shared{} }) // those who wait find it, too
		p.serveCopy(x, step)
		return true
	}
	c.status.Why = why
	return false
}

// patience is how long a request waits for another one's answer: as long as it
// might wait for its own.
func patience(plan *snapshot.Plan) time.Duration {
	if plan.Total > 0 {
		return plan.Total
	}
	return plan.Timeouts.Connect + plan.Timeouts.Send + plan.Timeouts.Read
}

// departure tells that the client has left; it is a downstream.Canceler.
type departure chan struct{}

// Cancel implements downstream.Canceler. It is called once at most.
func (d departure) Cancel() { close(d) }

func (d departure) happened() bool {
	select {
	case <-d:
		return true
	default:
		return false
	}
}

// passShared answers as the one who led was answered.
func (p *Proxy) passShared(x *exchange, s *shared) {
	x.cache.status.Step = ladder.Merged
	if s.status == 0 {
		p.refuse(x, p.unanswered(s.outcome))
		return
	}
	x.passStatus(s.status)
	for _, field := range s.fields {
		x.ctx.Response.Header.AddBytesKV(field.Name, field.Value)
	}
	p.ownHeaders(x)
	if s.call {
		q := &x.calls
		q.joined = x.ctx.Response.SwapBody(q.batch.Calls[0].AppendAnswer(q.joined[:0], &jsonrpc.Answer{Raw: s.body}))
	} else {
		x.ctx.Response.SetBody(s.body)
	}
	if x.bytesOut = int64(len(x.ctx.Response.Body())); x.method == verdict.MethodHead {
		x.bytesOut = 0
	}
}
