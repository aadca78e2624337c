package proxy

import (
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// settleCache draws the cache's conclusions from what the last attempt came to.
// It returns true if it has written the answer.
func (p *Proxy) settleCache(x *exchange) bool {
	c := &x.cache
	if p.Cache == nil || x.failedBody != nil || !x.answered && x.result.Outcome == verdict.AttemptCanceled {
		return false // nothing is known about the provider; finish lets another one lead
	}
	if x.calls.usable {
		x.takeApart()
	}
	if !x.answered || ladder.Failure(true, x.response.Status) {
		if !c.usable {
			return false
		}
		c.status.FwdStatus = 0
		if x.answered {
			c.status.FwdStatus = x.response.Status
		}
		c.flight.Fail(x.shared())
		return p.fallBack(x, ladder.Failed) || x.calls.usable && x.answered && p.passCalls(x)
	}
	switch {
	case x.calls.usable:
		p.settleCalls(x)
		return p.passCalls(x)
	case c.validating && x.response.Status == 304:
		return p.confirm(x)
	case c.usable:
		p.keepAnswer(x)
	case cache.Unsafe(x.method, x.response.Status): // in any mode: copies outlast one in which they are not used
		x.stripQuery()
		c.key = cache.AppendResource(c.key[:0], x.plan.Name, x.path, c.query)
		p.Cache.Invalidate(c.key)
	}
	return false
}

// keepAnswer stores the answer that is about to be passed on: now if it is all
// there, else at the end of its stream.
func (p *Proxy) keepAnswer(x *exchange) {
	c := &x.cache
	a := cache.Answer{
		Status: x.response.Status, Fields: x.response.Fields, Length: x.response.Length,
		Complete: x.response.Body != http1.UntilClose, // whose end cannot be told from a failure
		Asked:    x.admittedAt, Received: p.Clock(), Date: time.Now(),
	}
	m, reason := x.plan.Cache.Storable(&c.wish, &a)
	if reason != cache.Stored || x.isEventStream() {
		c.flight.Disband()
		return
	}
	fields := x.clientFields(true)
	c.variant = cache.AppendVariant(c.variant[:0], x.response.Fields, x.fields)
	c.keptHead = cache.AppendHead(c.keptHead[:0], &m, c.variant, fields)
	c.kept = m
	if x.response.Body != http1.NoBody && x.mustStream() {
		c.collected, c.keptBody = true, c.keptBody[:0]
		x.keepWaiting()
		return
	}
	body := x.ctx.Response.Body()
	if x.response.Body == http1.NoBody {
		body = nil
	}
	c.status.Stored = p.put(x, body, x.response.Fields)
	c.shareStored(c.status.Stored)
}

// shareStored ends the flight after the answer was stored, or not: those who wait
// find it in the store, if it is good for them.
func (c *caching) shareStored(stored bool) {
	if stored && c.kept.Lifetime > c.kept.InitialAge && !c.kept.NoCache {
		c.flight.Share(func() shared { return shared{} })
	} else {
		c.flight.Disband()
	}
}

// streamPatience is how long those who wait are kept from asking themselves while
// the answer is passed on to the first client, at whose pace it is stored.
const streamPatience = 500 * time.Millisecond

// keepWaiting leaves a flight open until its streamed answer is stored, if there is
// somebody to wait for that, and for a short time only.
func (x *exchange) keepWaiting() {
	c := &x.cache
	if !c.flight.IsWaitedFor() {
		c.flight.Disband()
		return
	}
	flight := c.flight
	time.AfterFunc(streamPatience, func() { flight.Disband() })
}

func (p *Proxy) put(x *exchange, body []byte, fields []http1.Field) bool {
	c := &x.cache
	if x.calls.usable {
		c.changes = p.Cache.Changes(c.key[:c.resource]) // one for each call, and nothing invalidates it
	}
	return p.Cache.Put(c.name(), &store.Entry{
		Owner: x.plan.CacheOwner, Head: c.keptHead, Body: body, Generation: c.generation, Changes: c.changes,
		Until: x.plan.Cache.KeepUntil(&c.kept, fields),
	}, c.kept.Stored)
}

// collect keeps a piece of a streamed answer for the store.
func (x *exchange) collect(piece []byte) {
	c := &x.cache
	if !c.collected {
		return
	}
	if int64(len(c.keptBody)+len(piece)) > x.plan.Cache.MaxBody {
		c.collected, c.keptBody = false, c.keptBody[:0]
		c.flight.Disband()
		return
	}
	c.keptBody = append(c.keptBody, piece...)
}

// endCollecting stores a streamed answer that came to its proper end.
func (p *Proxy) endCollecting(x *exchange) {
	if c := &x.cache; c.collected && x.answer.Done() {
		c.shareStored(p.put(x, c.keptBody, x.response.Fields))
	}
}

// confirm brings the copy up to date after the provider said that it still
// holds (RFC 9111 §4.3.4), and answers with it.
func (p *Proxy) confirm(x *exchange) bool {
	c := &x.cache
	c.status.FwdStatus = 304
	if !cache.Confirms(c.stored, x.response.Fields) || !p.update(x) {
		p.Cache.Invalidate(c.key[:c.resource]) // it answers this request, and no other one
	}
	if c.status.Stored && c.copy.TTL > 0 && !c.meta.NoCache {
		c.flight.Share(func() shared { return shared{} })
	} else {
		c.flight.Disband()
	}
	p.dropConn(x)
	p.serveCopy(x, ladder.Forward)
	return true
}

// update stores the copy anew with what the 304 says of it, and reports whether
// it may be kept at all.
func (p *Proxy) update(x *exchange) bool {
	c := &x.cache
	fields := cache.Update(nil, c.stored, x.clientFields(true))
	a := cache.Answer{Fields: x.response.Fields, Asked: x.admittedAt, Received: p.Clock(), Date: time.Now()}
	m, ok := x.plan.Cache.Refresh(&c.meta, &c.wish, a, fields, int64(len(c.body)))
	if !ok {
		return false
	}
	c.kept = m
	c.variant = cache.AppendVariant(c.variant[:0], fields, x.fields)
	c.keptHead = cache.AppendHead(c.keptHead[:0], &m, c.variant, fields)
	c.status.Stored = p.put(x, c.body, fields)
	c.meta, c.stored = m, append(c.stored[:0], fields...)
	c.copy = x.plan.Cache.Judge(&c.meta, &c.wish, a.Received)
	return true
}
