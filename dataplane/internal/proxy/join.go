package proxy

import (
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/dataplane/internal/verdict"
)

const (
	// maxAnswer bounds what is held of a batch's answer, in bytes: of what the
	// provider says, so that it can be taken apart, and of the copies.
	maxAnswer = 8 << 20
	// maxEnvelope is room for what is around a result: names and an id.
	maxEnvelope = 1 << 10
)

var refusalUnjoinable = refusal{status: 502, kind: verdict.ConnectionBroken,
	detail: "the provider's answer to the batch cannot be taken apart: an id is wrong, missing or there twice, or it is compressed, larger than 8 MiB or no JSON; a batch whose ids differ is passed on as a whole with Cache-Control: no-cache"}

// mostHeld bounds the answer to these calls that is held. One to a single call is
// of use only if it is small enough to be stored or shared.
func (x *exchange) mostHeld() int {
	if x.calls.batch.IsArray {
		return maxAnswer
	}
	return int(min(maxAnswer, max(x.plan.Cache.MaxBody, maxHeld)+maxEnvelope))
}

// hold takes an answer into memory however it is framed. A longer one is left to
// be streamed, behind what was read of it.
func (x *exchange) hold() error {
	most := x.mostHeld()
	if x.response.Body == http1.Fixed && x.response.Length > int64(most) {
		return nil
	}
	body := x.ctx.Response.SwapBody(nil)[:0]
	if n := int(x.response.Length); x.response.Body == http1.Fixed && cap(body) < n {
		body = make([]byte, 0, n)
	}
	body, err := readUpTo(&x.answer, body, most+1)
	if err != nil {
		return err
	}
	if len(body) > most {
		x.early = body
		return nil
	}
	x.ctx.Response.SwapBody(body)
	x.response.Body, x.response.Length, x.whole = http1.Fixed, int64(len(body)), true
	return nil
}

// takeApart finds the answer of each call that was asked.
func (x *exchange) takeApart() {
	q := &x.calls
	clear(q.answers)
	q.fit, q.refused = false, false
	if !x.answered || !x.whole && x.response.Body != http1.NoBody {
		return
	}
	var body []byte
	if x.whole {
		body = x.ctx.Response.Body()
	}
	refused, err := q.batch.ParseAnswer(body, q.answers)
	if q.refused = refused; refused || err != nil {
		return
	}
	q.fit = true
	x.response.Fields = cache.DropValidators(x.response.Fields)
	for i := range q.copies {
		if !q.batch.Calls[i].Asked {
			q.answers[i].Result = q.results[q.copies[i].start:q.copies[i].end]
		}
	}
}

// settleCalls draws the cache's conclusions from an answer that is no failure of
// the provider.
func (p *Proxy) settleCalls(x *exchange) {
	c, q := &x.cache, &x.calls
	if !q.fit {
		c.flight.Disband()
		return
	}
	a := cache.Answer{
		Status: x.response.Status, Fields: x.response.Fields, Complete: true,
		Asked: x.admittedAt, Received: p.Clock(), Date: time.Now(),
	}
	c.variant = cache.AppendVariant(c.variant[:0], x.response.Fields, x.fields)
	if x.response.Status == 200 {
		p.keepResults(x, &a, jsonrpc.Latest)
		p.keepResults(x, &a, jsonrpc.Fixed)
	}
	if len(c.variant) == 0 && c.generation == p.Cache.Generation() && x.plan.Cache.Sharable(&c.wish, &a, x.plan.RPC.TTL[q.copies[0].class]) {
		c.flight.Share(x.shared)
	} else {
		c.flight.Disband()
	}
}

// keepResults stores the results of one class.
func (p *Proxy) keepResults(x *exchange, a *cache.Answer, class jsonrpc.Class) {
	c, q := &x.cache, &x.calls
	m, reason := x.plan.Cache.StorableCall(&c.wish, a, x.plan.RPC.TTL[class])
	if reason != cache.Stored {
		return
	}
	c.kept = m
	c.keptHead = cache.AppendHead(c.keptHead[:0], &m, c.variant, x.clientFields(true))
	for i := range q.copies {
		answer, call := &q.answers[i], &q.batch.Calls[i]
		if !call.Asked || q.copies[i].class != class || !answer.Plain() || int64(len(answer.Result)) > x.plan.Cache.MaxBody || !x.plan.RPC.Methods.Keeps(call, answer.Result) {
			continue
		}
		x.appendCallKey(i)
		c.status.Stored = p.put(x, answer.Result, nil) || c.status.Stored
	}
}

// passCalls brings the provider's answer into the form in which the caller asked.
// It returns true if it has written another answer, because that is impossible.
func (p *Proxy) passCalls(x *exchange) bool {
	q := &x.calls
	switch {
	case q.fit && q.batch.IsArray:
		x.join()
		return false
	case x.passesAsItCame():
		return false
	}
	x.cache.status.FwdStatus = x.response.Status
	p.UpstreamFailed(x.plan.Name, verdict.AttemptConnectionBroken, jsonrpc.ErrAnswer)
	if x.mustStream() {
		p.concludeStream(x, verdict.AttemptSuccess) // what was left to be streamed is left for good
	}
	if !p.fallBack(x, ladder.Failed) {
		p.dropConn(x)
		p.refuse(x, refusalUnjoinable)
	}
	return true
}

// passesAsItCame reports whether an answer that was not taken apart can be for
// the caller: his own body was the question, or there is no id of ours in it.
func (x *exchange) passesAsItCame() bool {
	q := &x.calls
	switch {
	case !q.batch.IsArray, q.refused, !q.batch.Own:
		return true
	case !x.whole && x.response.Body != http1.NoBody, x.response.Status/100 == 2:
		return false
	}
	return x.response.Body == http1.NoBody || jsonrpc.Anonymous(x.ctx.Response.Body())
}

// join puts the answers of provider and copies together, in the order of the
// calls.
func (x *exchange) join() {
	q := &x.calls
	q.joined = x.ctx.Response.SwapBody(q.batch.AppendAnswers(q.joined[:0], q.answers))
	if x.response.Status/100 == 2 {
		x.response.Status = 200 // 204 is what notifications alone are answered with
	}
	if _, ok := http1.Get(x.response.Fields, "content-type"); !ok {
		x.response.Fields = append(x.response.Fields, contentTypeJSON)
	}
	x.response.Body, x.response.Length, x.whole = http1.Fixed, int64(len(x.ctx.Response.Body())), true
}
