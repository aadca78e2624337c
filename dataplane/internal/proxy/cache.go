package proxy

import (
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/coalesce"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/cache/store"
	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// caching is what the cache knows of one request. Its buffers are kept when the
// exchange is recycled.
type caching struct {
	status     ladder.Status
	usable     bool // a copy may answer the request, and its answer become one
	wish       cache.Wish
	resource   int // bytes of key that name the resource
	generation uint64

	hasCopy bool
	meta    cache.Meta
	copy    cache.Judgement
	// validating: the request goes upstream with the copy's validators in place
	// of the client's own preconditions.
	validating bool

	flight    coalesce.Ticket[shared]
	collected bool // the streamed answer is kept as it passes
	kept      cache.Meta

	query                     []byte // as it goes upstream
	waited                    int64  // the clock after waiting for the body or another request; 0 = did not
	key, stripped, head, body []byte
	stored                    []http1.Field // of the copy, pointing into head
	sent                      []http1.Field // upstream, while validating or for calls
	keptHead, keptBody        []byte        // of the answer that is being stored
	variant                   []byte
}

// clear forgets the request and keeps the buffers.
func (c *caching) clear() {
	clear(c.stored[:cap(c.stored)])
	clear(c.sent[:cap(c.sent)])
	*c = caching{
		key: keep(c.key), stripped: keep(c.stripped), head: keep(c.head), body: keep(c.body), variant: keep(c.variant),
		keptHead: keep(c.keptHead), keptBody: keep(c.keptBody), stored: c.stored[:0], sent: c.sent[:0],
	}
}

var refusalNotCached = refusal{status: 504, kind: verdict.NotFound, detail: "the request asks for a stored answer only, and there is none that may be used"}

// lookup answers a request from the cache if it can. Otherwise the request goes
// on, perhaps after it has waited for another one's answer.
func (p *Proxy) lookup(x *exchange) bool {
	c := &x.cache
	if !p.mayCache(x) {
		return true
	}
	c.generation = p.Cache.Generation()
	p.findCopy(x, x.now)
	return p.fromCache(x, x.now)
}

// fromCache answers with the copy that was found, if it may.
func (p *Proxy) fromCache(x *exchange, now int64) bool {
	c := &x.cache
	c.status.Why = c.why()
	step := ladder.Arrive(ladder.Situation{
		HasCopy: c.hasCopy, Copy: c.copy, Breaker: x.plan.Breaker.State(now), OnlyIfCached: c.wish.OnlyIfCached,
	})
	switch {
	case step == ladder.Refuse:
		return p.refuse(x, refusalNotCached)
	case step == ladder.Refreshing:
		p.refresh(x)
		fallthrough
	case step.FromCopy():
		p.serveCopy(x, step)
		return false
	}
	c.validating = c.hasCopy && c.meta.Status == 200 && x.method == verdict.MethodGet && !c.wish.Ranged && cache.HasValidator(c.stored)
	return p.merge(x)
}

// mayCache decides whether the cache has a part in the request at all.
func (p *Proxy) mayCache(x *exchange) bool {
	c := &x.cache
	c.status.Why = ladder.Bypass
	if p.Cache == nil || x.plan.Cache.Mode == cache.Off {
		return false
	}
	if x.method != verdict.MethodGet && x.method != verdict.MethodHead {
		c.status.Why = ladder.Method
		return false
	}
	c.wish = cache.ParseWish(x.method, x.fields)
	length := x.ctx.Request.Header.ContentLength()
	if !c.wish.Cacheable(length != 0 && length != noBody) {
		return false
	}
	x.stripQuery()
	c.usable = true
	return true
}

// stripQuery leaves out of the key what the provider does not see.
func (x *exchange) stripQuery() {
	c := &x.cache
	c.query = x.query
	if strip := x.plan.Credential.StripParam; strip != "" && x.query != nil {
		c.stripped = forward.AppendQuery(c.stripped[:0], x.query, strip)
		c.query = c.stripped
	}
}

// findCopy looks for a copy under the request's key; a GET's answers HEAD too.
func (p *Proxy) findCopy(x *exchange, now int64) {
	c := &x.cache
	found := p.getCopy(x, verdict.MethodGet, now)
	if !found && x.method == verdict.MethodHead {
		found = p.getCopy(x, verdict.MethodHead, now)
	} else if x.method == verdict.MethodHead {
		x.appendKey(verdict.MethodHead)
	}
	c.hasCopy = false
	if !found {
		return
	}
	meta, variant, block, ok := cache.ParseHead(c.head)
	if !ok {
		return
	}
	if !cache.MatchesVariant(variant, x.fields) {
		c.status.Why = ladder.VaryMiss
		return
	}
	c.hasCopy, c.meta = true, meta
	c.stored = cache.StoredFields(c.stored[:0], block)
	x.judge(now)
}

// judge says what the copy is good for at now.
func (x *exchange) judge(now int64) {
	if x.calls.usable {
		x.judgeCalls(now)
		return
	}
	c := &x.cache
	c.copy = x.plan.Cache.Judge(&c.meta, &c.wish, now)
}

func (p *Proxy) getCopy(x *exchange, method verdict.Method, now int64) (found bool) {
	c := &x.cache
	x.appendKey(method)
	c.head, c.body, found = p.Cache.Get(c.name(), now, c.head[:0], c.body[:0])
	return found
}

func (x *exchange) appendKey(method verdict.Method) {
	c := &x.cache
	c.key, c.resource = cache.AppendKey(c.key[:0], &cache.Key{
		Provider: x.plan.Name, Path: x.path, Query: c.query, Method: method, Fields: x.fields, StripHeader: x.plan.Credential.StripHeader,
	})
}

func (c *caching) name() store.Key { return store.Key{Bytes: c.key, Group: c.resource} }

// why is the reason to forward, should it come to that.
func (c *caching) why() ladder.Why {
	switch {
	case c.status.Why == ladder.VaryMiss:
		return ladder.VaryMiss
	case c.hasCopy && c.copy.TTL > 0:
		return ladder.Request
	case c.hasCopy:
		return ladder.Stale
	case c.wish.Ranged:
		return ladder.Partial
	}
	return ladder.Miss
}

// fieldsUpstream are the request's fields as they go upstream.
func (x *exchange) fieldsUpstream() []http1.Field {
	c := &x.cache
	if x.calls.usable {
		return c.sent
	}
	if !c.validating {
		return x.fields
	}
	c.sent = cache.AppendConditions(c.sent[:0], x.fields, c.stored)
	return c.sent
}

// fallBack answers with a copy in place of what the provider did not give.
func (p *Proxy) fallBack(x *exchange, cause ladder.Cause) bool {
	c := &x.cache
	if !c.hasCopy {
		return false
	}
	x.judge(p.Clock())
	step := ladder.Fall(true, c.copy, cause, x.snap.ServeStale)
	if step == ladder.Refuse {
		return false
	}
	p.dropConn(x)
	p.serveCopy(x, step)
	return true
}

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
	case x.plan.Cache.Mode != cache.Off && cache.Unsafe(x.method, x.response.Status):
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
		Status: x.response.Status, Fields: x.response.Fields, Length: x.response.Length, Complete: true,
		Asked: x.admittedAt, Received: p.Clock(), Date: time.Now(),
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
		c.flight.Disband()
		return
	}
	body := x.ctx.Response.Body()
	if x.response.Body == http1.NoBody {
		body = nil
	}
	c.status.Stored = p.put(x, body, x.response.Fields)
	if c.status.Stored && m.Lifetime > m.InitialAge && !m.NoCache {
		c.flight.Share(func() shared { return shared{} }) // those who wait find it in the store
	} else {
		c.flight.Disband()
	}
}

func (p *Proxy) put(x *exchange, body []byte, fields []http1.Field) bool {
	c := &x.cache
	return p.Cache.Put(c.name(), &store.Entry{
		Owner: x.plan.CacheOwner, Head: c.keptHead, Body: body, Generation: c.generation,
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
		return
	}
	c.keptBody = append(c.keptBody, piece...)
}

// endCollecting stores a streamed answer that came to its proper end.
func (p *Proxy) endCollecting(x *exchange) {
	if c := &x.cache; c.collected && x.answer.Done() {
		p.put(x, c.keptBody, x.response.Fields)
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
	a := cache.Answer{Asked: x.admittedAt, Received: p.Clock(), Date: time.Now()}
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
