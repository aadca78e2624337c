package proxy

import (
	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/verdict"
)

// takeFairness asks the limits that share the node among its callers. A refusal
// by the second gives back what the first took.
func (p *Proxy) takeFairness(x *exchange) bool {
	if t := x.snap.PerIP; t != nil {
		d, ref := t.Take(x.now, x.client)
		x.note(d, &x.snap.PerIPPolicy)
		if !d.OK {
			return p.refuseLimit(x, verdict.PerIP, d)
		}
		x.perIPRef, x.tookPerIP = ref, true
	}
	if b := x.snap.Global; b != nil {
		d := b.Take(x.now)
		x.note(d, &x.snap.GlobalPolicy)
		if !d.OK {
			p.returnFairness(x)
			return p.refuseLimit(x, verdict.Global, d)
		}
		x.tookGlobal = true
	}
	return true
}

// takeProvider charges the first attempt to the provider's limit.
func (p *Proxy) takeProvider(x *exchange) bool {
	x.admittedAt = max(x.now, x.cache.waited)
	tightest, policy := x.tightest, x.tightPolicy
	d, ok := x.takeAttempt(x.admittedAt)
	if !ok {
		x.tightest, x.tightPolicy = tightest, policy // a copy tells of the fairness limits only
		if p.fallBack(x, ladder.NoQuota) {
			return false
		}
		x.note(d, &x.plan.Policy)
		p.returnFairness(x)
		return p.refuseLimit(x, verdict.PerProvider, d)
	}
	return true
}

// takeAttempt charges one attempt; without a limit it always may go.
func (x *exchange) takeAttempt(now int64) (d limit.Decision, ok bool) {
	if x.plan.Limit == nil {
		return d, true
	}
	d = x.plan.Limit.Take(now)
	x.note(d, &x.plan.Policy)
	return d, d.OK
}

// returnAttempt gives back the charge of an attempt that was not sent.
func (x *exchange) returnAttempt() {
	if x.plan.Limit != nil {
		x.plan.Limit.Refund(1)
	}
}

// returnUnsent gives everything back for a request of which nothing was sent.
func (p *Proxy) returnUnsent(x *exchange) {
	x.returnAttempt()
	p.returnFairness(x)
}

func (p *Proxy) returnFairness(x *exchange) {
	if x.tookPerIP {
		x.snap.PerIP.Refund(x.perIPRef)
	}
	if x.tookGlobal {
		x.snap.Global.Refund(1)
	}
	x.tookPerIP, x.tookGlobal = false, false
}

// note keeps the decision of the limit with the least left; a later decision of
// the same limit replaces the earlier one.
func (x *exchange) note(d limit.Decision, policy *limit.Policy) {
	if x.tightPolicy == nil || x.tightPolicy == policy || !d.OK || d.Remaining < x.tightest.Remaining {
		x.tightest, x.tightPolicy = d, policy
	}
}

func (p *Proxy) refuseLimit(x *exchange, scope verdict.LimitScope, d limit.Decision) bool {
	x.refusedBy = scope
	return p.refuse(x, refusal{
		status:     fasthttp.StatusTooManyRequests,
		kind:       verdict.RateLimit,
		detail:     "the limit is exhausted; wait for Retry-After",
		retryAfter: d.RetryAfter,
	})
}

// appendRateLimit writes the RateLimit fields of the tightest limit.
func (x *exchange) appendRateLimit(h *fasthttp.ResponseHeader) {
	if x.tightPolicy == nil {
		return
	}
	h.Set("RateLimit-Policy", x.tightPolicy.String())
	x.scratch = x.tightPolicy.AppendRateLimit(x.scratch[:0], x.tightest)
	h.SetBytesV("RateLimit", x.scratch)
}
