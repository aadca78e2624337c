package breaker

import (
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/wire"
)

// permits are the node's part of the cluster's half-open slots. The counts are
// cumulative; granted - done - held are in flight.
type permits struct {
	granted uint64 // that the leader told of
	done    uint64 // attempts that ended and permits given back
	held    uint64 // unused, and good until expires
	expires int64
}

// Grant takes over the permits of an answer at now. nonce is that of the report
// that was answered, on the same clock as now: from it the lease runs. Answers
// may be lost, doubled and overtaken; but one of an older epoch than the node
// has obeyed must not come here.
func (b *Breaker) Grant(now, nonce int64, p wire.Probes) {
	b.mu.Lock()
	defer b.unlockAndTell()
	c := &b.cluster
	if p.Compare(c.gen) > 0 {
		return // its entry is still on the way; the leader tells again
	}
	c.expire(now)
	var more uint64
	if p.Granted > c.granted {
		more = p.Granted - c.granted
		c.granted = p.Granted
	}
	expires := min(nonce, now) + int64(wire.PermitLease)
	if p.Generation != c.gen || b.state != verdict.HalfOpen || !b.followsLocked() || now >= expires {
		c.done += more // nothing to use them for; the next report gives them back
		return
	}
	c.held += more
	if c.held > 0 {
		c.expires = max(c.expires, expires)
	}
	if more > 0 {
		c.wants -= min(c.wants, int(min(more, maxWants)))
		c.toldWants = false
	}
}

// takeLeaseLocked uses up a permit.
func (b *Breaker) takeLeaseLocked(now int64) bool {
	c := &b.cluster
	c.expire(now)
	if c.held == 0 {
		return false
	}
	c.held--
	return true
}

// heldAt is how many permits are good at now.
func (p *permits) heldAt(now int64) uint64 {
	if now >= p.expires {
		return 0
	}
	return p.held
}

func (p *permits) expire(now int64) {
	if now >= p.expires {
		p.giveBack()
	}
}

// giveBack is the end of all permits that are not in use.
func (p *permits) giveBack() {
	p.done += p.held
	p.held = 0
}
