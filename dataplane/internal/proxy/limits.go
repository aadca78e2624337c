package proxy

import (
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/dataplane/internal/snapshot"
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
		if s := x.snap.Suspects; s != nil {
			s.Note(x.client, ref)
		}
	}
	if b := x.snap.Global; b != nil {
		d := p.take(x, b, x.now)
		x.note(d, &b.Policy)
		if !d.OK {
			p.returnFairness(x)
			return p.refuseShared(x, verdict.Global, b, d)
		}
		x.tookGlobal = true
	}
	return true
}

// takeProvider charges the first attempt to the provider's limit.
func (p *Proxy) takeProvider(x *exchange) bool {
	x.admittedAt = max(x.admittedAt, x.now, x.cache.waited)
	tightest, policy := x.tightest, x.tightPolicy
	d, ok := p.takeAttempt(x, max(x.now, x.cache.waited))
	if !ok {
		x.tightest, x.tightPolicy = tightest, policy // a copy tells of the fairness limits only
		if p.fallBack(x, ladder.NoQuota) {
			return false
		}
		x.note(d, &x.plan.Limit.Policy)
		p.returnFairness(x)
		return p.refuseShared(x, verdict.PerProvider, x.plan.Limit, d)
	}
	return true
}

// takeAttempt charges one attempt; without a limit it always may go.
func (p *Proxy) takeAttempt(x *exchange, now int64) (d limit.Decision, ok bool) {
	l := x.plan.Limit
	if l == nil {
		return d, true
	}
	d = p.take(x, l, now)
	x.note(d, &l.Policy)
	x.charged = d.OK
	return d, d.OK
}

// take takes one token. Where the limit is so thin that its tokens stay with the
// leader, it waits for the one that the refusal has asked for.
func (p *Proxy) take(x *exchange, l *snapshot.Limit, now int64) limit.Decision {
	d := l.Take(now)
	if d.OK || l.Lease == nil {
		return d
	}
	return p.await(x, l, d)
}

func (p *Proxy) await(x *exchange, l *snapshot.Limit, d limit.Decision) limit.Decision {
	wait := l.Lease.MaxWait()
	if wait == 0 {
		return d
	}
	patience := time.NewTimer(time.Duration(wait))
	defer patience.Stop()
	for {
		arrival := l.Lease.Arrival() // before the try, so that none is missed
		now := p.Clock()
		if d = l.Take(now); d.OK {
			x.admittedAt = now
			return d
		}
		select {
		case <-arrival:
		case <-patience.C:
			return d
		case <-p.CutOff:
			return d
		}
	}
}

// returnAttempt gives back the charge of an attempt that was not sent, if there
// is one.
func (x *exchange) returnAttempt() {
	if x.charged {
		x.plan.Limit.Refund(1)
	}
	x.charged = false
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

// refuseShared says so if the refusal comes from having no part of a limit rather
// than from having used it up.
func (p *Proxy) refuseShared(x *exchange, scope verdict.LimitScope, l *snapshot.Limit, d limit.Decision) bool {
	x.refusedBy = scope
	r := refusalLimit
	r.retryAfter = d.RetryAfter
	if l.Ended(p.Clock()) {
		r.retryAfter = int64(time.Second) // a controller that is heard gives one at once
		r.detail = "no_lease: this node has no share of the limit: it has not been given one yet, or has not heard the controller for too long; wait for Retry-After"
	}
	return p.refuse(x, r)
}

func (p *Proxy) refuseLimit(x *exchange, scope verdict.LimitScope, d limit.Decision) bool {
	x.refusedBy = scope
	r := refusalLimit
	r.retryAfter = d.RetryAfter
	return p.refuse(x, r)
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
