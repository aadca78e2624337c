package proxy

import (
	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/dataplane/internal/verdict"
)

// calls is what the cache knows of a request that is made of JSON-RPC calls. Each
// call has a key and a copy of its own; together they are the request's copy, of
// which caching tells the rest of the path. A request with a single call is a
// batch of one. The buffers are kept when the exchange is recycled.
type calls struct {
	usable  bool // caching.usable is true, and this is why
	batch   jsonrpc.Batch
	copies  []callCopy       // by the place of the call
	answers []jsonrpc.Answer // by the place of the call

	fit     bool // the provider's answer fits the calls, and is in answers
	refused bool // it refuses all of them

	keyHead, keyFields []byte // what all keys begin and end with
	head               []byte // of the copy that is being read
	results            []byte // of the copies
	rest               []byte // the calls that the provider is asked
	joined             []byte
}

// callCopy is the copy of one call's result, if there is one.
type callCopy struct {
	class      jsonrpc.Class
	found      bool
	meta       cache.Meta
	copy       cache.Judgement
	start, end int // of the result in calls.results
}

// maxKeptCalls bounds the calls for which a recycled exchange keeps room.
const maxKeptCalls = 200

// clear forgets the request and keeps the buffers.
func (q *calls) clear() {
	if cap(q.batch.Calls) > maxKeptCalls {
		*q = calls{}
		return
	}
	clear(q.batch.Calls)
	clear(q.answers)
	*q = calls{
		batch: jsonrpc.Batch{Calls: q.batch.Calls[:0]}, copies: q.copies[:0], answers: q.answers[:0],
		keyHead: keep(q.keyHead), keyFields: keep(q.keyFields), head: keep(q.head), results: keep(q.results), rest: keep(q.rest), joined: keep(q.joined),
	}
}

// isQuestionInBody reports whether the body says what is asked, so that cache and
// provider's limit have to wait for it.
func (x *exchange) isQuestionInBody() bool {
	return x.plan.RPC != nil && x.method == verdict.MethodPost
}

// lookupCalls does for a request whose body is the question what lookup and
// takeProvider do for any other one, now that the body is there.
func (p *Proxy) lookupCalls(x *exchange) bool {
	if !x.isQuestionInBody() {
		return true
	}
	x.cache.waited = p.Clock()
	if p.mayCacheCalls(x) {
		if !p.fromCache(x, x.cache.waited) {
			return false
		}
		x.askRest()
	}
	return p.takeProvider(x)
}

// mayCacheCalls decides whether the cache has a part in the request: the body is
// in memory, holds nothing but calls, and one of them is of a method that is
// stored. Everything else is the provider's business alone.
func (p *Proxy) mayCacheCalls(x *exchange) bool {
	c, q := &x.cache, &x.calls
	c.status.Why = ladder.Bypass
	if p.Cache == nil || x.plan.Cache.Mode == cache.Off || forward.HidesAll(x.fields) {
		return false
	}
	c.status.Why = ladder.Method
	if len(x.body) == 0 || x.bodyStream != nil || cache.Encoded(x.fields) || q.batch.Parse(x.body) != nil {
		return false
	}
	c.wish = cache.ParseWish(verdict.MethodGet, x.fields) // to the cache a call that reads is a GET
	if !c.wish.CallsCacheable() {
		return false
	}
	q.answers = append(q.answers[:0], make([]jsonrpc.Answer, len(q.batch.Calls))...)
	q.copies = append(q.copies[:0], make([]callCopy, len(q.batch.Calls))...)
	for i := range q.copies {
		q.copies[i].class = x.plan.RPC.Methods.Class(&q.batch.Calls[i])
		c.usable = c.usable || q.copies[i].class != jsonrpc.Never
	}
	q.usable = c.usable
	return c.usable
}

// findCopies looks each call up. The fields of the first copy found are those of
// an answer that is made of copies alone.
func (p *Proxy) findCopies(x *exchange, now int64) {
	c, q := &x.cache, &x.calls
	c.sent = cache.AppendPlain(c.sent[:0], x.fields)
	x.stripQuery()
	key := cache.Key{Provider: x.plan.Name, Path: x.path, Query: c.query, Fields: c.sent, StripHeader: x.plan.Credential.StripHeader}
	q.keyHead, q.keyFields = key.AppendCalls(q.keyHead[:0]), key.AppendFields(q.keyFields[:0])
	q.results, c.hasCopy = q.results[:0], true
	first := true
	for i := range q.copies {
		q.copies[i].found = q.copies[i].class != jsonrpc.Never && p.findResult(x, i, now)
		if !q.copies[i].found {
			c.hasCopy = false
			continue
		}
		if first {
			first = false
			c.head, q.head = q.head, c.head
			_, _, block, _ := cache.ParseHead(c.head)
			c.stored = cache.StoredFields(c.stored[:0], block)
		}
	}
	x.judge(now)
}

// findResult looks for a copy of the call at place i.
func (p *Proxy) findResult(x *exchange, i int, now int64) (found bool) {
	c, q := &x.cache, &x.calls
	x.appendCallKey(i)
	start := len(q.results)
	if q.head, q.results, found = p.Cache.Get(c.name(), now, q.head[:0], q.results); !found {
		return false
	}
	meta, variant, _, ok := cache.ParseHead(q.head)
	if !ok || !cache.MatchesVariant(variant, x.fields) || len(q.results) > maxAnswer {
		q.results = q.results[:start]
		return false
	}
	k := &q.copies[i]
	k.meta, k.start, k.end = meta, start, len(q.results)
	return true
}

// appendCallKey makes the key of the call at place i.
func (x *exchange) appendCallKey(i int) {
	c, q := &x.cache, &x.calls
	c.key = append(q.batch.Calls[i].AppendKey(append(c.key[:0], q.keyHead...)), 0)
	c.resource = len(c.key)
	c.key = append(c.key, q.keyFields...)
}

// judgeCalls says what each copy is good for, and all together.
func (x *exchange) judgeCalls(now int64) {
	c, q := &x.cache, &x.calls
	first := true
	for i := range q.copies {
		k := &q.copies[i]
		if !k.found {
			continue
		}
		k.copy = x.plan.Cache.Judge(&k.meta, &c.wish, now)
		if first {
			c.copy, first = k.copy, false
		} else {
			c.copy = c.copy.And(k.copy)
		}
	}
}

// askRest decides what the provider is asked: the calls that have no copy good
// enough. If that is all of them, as when somebody has to try the provider while
// its breaker is half-open, or the answers find their calls by the caller's own
// ids, the body goes out as it came.
func (x *exchange) askRest() {
	q := &x.calls
	some, all := false, true
	for i := range q.copies {
		k := &q.copies[i]
		ask := !k.found || k.copy.Use > cache.Acceptable
		q.batch.Calls[i].Asked = ask
		some, all = some || ask, all && ask
	}
	if all || !some {
		for i := range q.batch.Calls {
			q.batch.Calls[i].Asked = true
		}
		if !q.batch.IsArray || q.batch.Distinct() {
			return
		}
	} else {
		x.cache.status.Why = ladder.Partial
	}
	q.rest = q.batch.AppendRequest(q.rest[:0])
	x.body, x.bodyLength = q.rest, int64(len(q.rest))
}

// fromCopies makes the body of an answer of copies alone.
func (x *exchange) fromCopies() {
	c, q := &x.cache, &x.calls
	clear(q.answers) // of what the provider may have said
	for i := range q.copies {
		q.answers[i].Result = q.results[q.copies[i].start:q.copies[i].end]
	}
	c.body = q.batch.AppendAnswers(c.body[:0], q.answers)
	c.meta.Status = 200
}

// looksInto reports whether the answer is taken apart, for which it has to be in
// memory as plain JSON.
func (x *exchange) looksInto() bool {
	return x.calls.usable && !x.isEventStream() && !cache.Encoded(x.response.Fields)
}

var contentTypeJSON = http1.Field{Name: []byte("Content-Type"), Value: []byte("application/json")}
