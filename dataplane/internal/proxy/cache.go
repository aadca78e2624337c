package proxy

import (
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
	changes    uint32 // see store.Store.Changes
	ended      uint64 // see coalesce.Group

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
	if !p.mayCache(x) {
		return true
	}
	c := &x.cache
	if !p.fromCache(x, x.now) {
		return false
	}
	c.validating = c.hasCopy && c.meta.Status == 200 && x.method == verdict.MethodGet && !c.wish.Ranged && cache.HasValidator(c.stored)
	return true
}

// fromCache answers with a copy, or as another request is answered, if it may.
func (p *Proxy) fromCache(x *exchange, now int64) bool {
	c := &x.cache
	c.generation, c.ended = p.Cache.Generation(), p.flights.Ended()
	p.find(x, now)
	c.status.Why = c.why()
	step := p.arrive(x, now)
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
	c.changes = p.Cache.Changes(c.key[:c.resource])
	return p.merge(x)
}

// find looks for what is stored and says what it is good for.
func (p *Proxy) find(x *exchange, now int64) {
	if x.calls.usable {
		p.findCopies(x, now)
	} else {
		p.findCopy(x, now)
	}
}

func (p *Proxy) arrive(x *exchange, now int64) ladder.Step {
	c := &x.cache
	return ladder.Arrive(ladder.Situation{
		HasCopy: c.hasCopy, Copy: c.copy, Breaker: x.plan.Breaker.State(now), OnlyIfCached: c.wish.OnlyIfCached,
	})
}

// mayCache decides whether the cache has a part in the request at all.
func (p *Proxy) mayCache(x *exchange) bool {
	c := &x.cache
	c.status.Why = ladder.Bypass
	if p.Cache == nil || x.plan.Cache.Mode == cache.Off || forward.HidesAll(x.fields) {
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

// findCopy looks for a copy under the request's key. A GET's copy answers HEAD, too,
// unless there is a better one of a HEAD's own.
func (p *Proxy) findCopy(x *exchange, now int64) {
	c := &x.cache
	p.takeCopy(x, verdict.MethodGet, now)
	if x.method != verdict.MethodHead {
		return
	}
	found, use := c.hasCopy, c.copy.Use
	switch {
	case found && use == cache.Fresh:
	case p.takeCopy(x, verdict.MethodHead, now) && (!found || c.copy.Use < use):
	case found:
		p.takeCopy(x, verdict.MethodGet, now)
	}
	x.appendKey(verdict.MethodHead)
}

// takeCopy makes what is stored of that method the request's copy, and reports
// whether there is one.
func (p *Proxy) takeCopy(x *exchange, method verdict.Method, now int64) bool {
	c := &x.cache
	c.hasCopy = false
	if !p.getCopy(x, method, now) {
		return false
	}
	meta, variant, block, ok := cache.ParseHead(c.head)
	if !ok {
		return false
	}
	if !cache.MatchesVariant(variant, x.fields) {
		c.status.Why = ladder.VaryMiss
		return false
	}
	c.hasCopy, c.meta = true, meta
	c.stored = cache.StoredFields(c.stored[:0], block)
	x.judge(now)
	return true
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
	switch {
	case c.validating:
		c.sent = cache.AppendConditions(c.sent[:0], x.fields, c.stored)
	case x.background: // what the client wanted of the copy is not what becomes of it
		c.sent = cache.AppendConditions(c.sent[:0], x.fields, nil)
	default:
		return x.fields
	}
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
