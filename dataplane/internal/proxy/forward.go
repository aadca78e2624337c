package proxy

import (
	"math/rand/v2"
	"time"

	"apiproxy.internal/dataplane/internal/breaker"
	"apiproxy.internal/dataplane/internal/cache/ladder"
	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/retry"
	"apiproxy.internal/dataplane/internal/verdict"
)

// forward sends the request, again if that is allowed and useful, and writes
// the answer. Each attempt has been charged to the provider's limit before it
// comes here.
func (p *Proxy) forward(x *exchange) {
	plan := x.plan
	if plan.Total > 0 {
		x.deadline = time.Now().Add(plan.Total)
	}
	plan.Budget.Request(x.now)
	for n := 1; ; n++ {
		now := p.Clock()
		permit, ok, wait, changed := plan.Breaker.Acquire(now)
		p.tell(x, changed)
		if !ok {
			x.returnAttempt()
			x.cache.flight.Disband()
			p.refuseOpen(x, wait)
			return
		}
		if n > 1 {
			p.dropConn(x)
			plan.Metrics.Retry()
		}
		x.permit = permit
		p.attempt(x, now)
		pause, again := p.another(x, n)
		if !again {
			p.answer(x)
			return
		}
		if !x.answered || x.answer.Done() { // else there is more of the answer in hand to come
			p.dropConn(x)
		}
		if !p.sleep(pause) {
			x.returnAttempt()
			p.answer(x)
			return
		}
	}
}

// refuseOpen answers a request that the breaker stops: with the answer in hand if
// it opened during a retry's pause, else with a copy, else with a refusal.
func (p *Proxy) refuseOpen(x *exchange, wait time.Duration) {
	if x.answered {
		p.answer(x)
		return
	}
	if p.fallBack(x, ladder.NoPermit) {
		return
	}
	p.refuse(x, refusal{status: 503, kind: verdict.CircuitBreaker, retryAfter: int64(wait),
		detail: "the provider fails and its circuit breaker is open; wait for Retry-After"})
}

// sleep waits for d. It reports false if the node cut its requests off instead.
func (p *Proxy) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-p.CutOff:
		return false
	}
}

// another decides on one more attempt after the nth and charges it. Everything
// that could refuse it now is asked before the pause; the breaker is asked after
// it again.
func (p *Proxy) another(x *exchange, n int) (time.Duration, bool) {
	plan := x.plan
	if n > plan.Retry.Times || !retry.Retryable(x.method, x.result) || downstream.Gone(x.ctx.Conn()) {
		return 0, false
	}
	now := p.Clock()
	if plan.Breaker.State(now) != verdict.Closed {
		return 0, false
	}
	pause := p.pause(x, n)
	if !x.deadline.IsZero() && time.Until(x.deadline) <= pause {
		return 0, false
	}
	if !x.cache.flight.Retry() {
		return 0, false
	}
	if _, ok := p.takeAttempt(x, now); !ok {
		return 0, false
	}
	if !plan.Budget.TryRetry(now) {
		x.returnAttempt()
		return 0, false
	}
	x.admittedAt = max(x.admittedAt, now)
	return pause, true
}

func (p *Proxy) pause(x *exchange, n int) time.Duration {
	wait := x.plan.Retry.Backoff(n, rand.Uint64())
	if x.answered {
		if value, ok := http1.Get(x.response.Fields, "retry-after"); ok {
			if after, ok := retry.ParseRetryAfter(value, time.Now()); ok {
				return retry.WithRetryAfter(wait, after)
			}
		}
	}
	return wait
}

// clientTurn is the time if there is a deadline that clientDone has to move.
func (x *exchange) clientTurn() (begin time.Time) {
	if !x.deadline.IsZero() {
		begin = time.Now()
	}
	return begin
}

// clientDone keeps the time that the node waited for the client, since begin, out
// of the provider's total: the client's side has bounds of its own.
func (x *exchange) clientDone(begin time.Time) {
	if begin.IsZero() {
		return
	}
	x.deadline = x.deadline.Add(time.Since(begin))
	if x.conn != nil {
		x.conn.SetLimit(x.deadline)
	}
}

// dropConn ends the use of the attempt's connection; it may serve again only if
// its answer was read to the end.
func (p *Proxy) dropConn(x *exchange) {
	if x.conn != nil {
		downstream.Unwatch(x.ctx.Conn())
		x.conn.Release(x.answered && x.answer.Done() && x.response.KeepAlive && x.failedBody == nil)
		x.conn = nil
	}
}

// conclude reports how an attempt ended, once: to the counters and the breaker.
func (p *Proxy) conclude(x *exchange, outcome verdict.AttemptOutcome, now int64) {
	x.plan.Metrics.Attempt(outcome)
	switch outcome {
	case verdict.AttemptSuccess:
		p.settle(x, breaker.Success, now)
	case verdict.AttemptCanceled:
		p.settle(x, breaker.Released, now)
	default:
		p.settle(x, breaker.Failure, now)
	}
}

// settle gives the permit back; with no permit in hand it does nothing.
func (p *Proxy) settle(x *exchange, o breaker.Outcome, now int64) {
	if x.plan == nil {
		return
	}
	permit := x.permit
	x.permit = breaker.Permit{}
	p.tell(x, x.plan.Breaker.Done(now, permit, o))
}

func (p *Proxy) tell(x *exchange, t breaker.Transition) {
	if t.Changed() {
		p.BreakerChanged(x.plan.Name, t)
	}
}
