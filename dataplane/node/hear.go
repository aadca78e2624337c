package node

import (
	"context"
	"fmt"

	"apiproxy.internal/shared/wire"
)

// answer takes in what the leader says.
func (c *coordination) answer(a wire.Answer) {
	if a.Incarnation != c.incarnation {
		return // meant for an earlier life of this node
	}
	if a.Rejected != "" {
		c.reject(a.Rejected)
		return
	}
	if c.clock()-a.Nonce > int64(staleAnswer) || !c.obey(a.Epoch) {
		return
	}
	for heard := c.heard.Load(); a.Nonce > heard && !c.heard.CompareAndSwap(heard, a.Nonce); heard = c.heard.Load() {
	}
	c.nodes.Store(int64(a.Nodes))
	for _, e := range a.Breakers {
		c.impose(e.Provider, e.BreakerEntry)
	}
	c.hearPurges(a.Purges)
	c.state.ApplyVerdicts(c.clock(), a.Verdicts)
	if c.leases.Apply(a.Limits) {
		c.urge()
	}
	for _, p := range a.Probes {
		c.state.Grant(c.clock(), a.Nonce, p)
	}
	if a.Revision > c.revision() && (c.refused.Load() == nil || c.refused.Load().Revision < a.Revision) {
		c.fetch()
	}
}

// obey reports whether a leader of that epoch may be followed, which one of an
// older epoch than has been heard may not.
func (c *coordination) obey(epoch uint64) bool {
	for {
		newest := c.epoch.Load()
		if epoch < newest {
			return false
		}
		if c.epoch.CompareAndSwap(newest, epoch) {
			return true
		}
	}
}

// fetch reads a configuration that the watch should have shown and has not, in
// the background.
func (c *coordination) fetch() {
	if !c.fetches.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer c.fetches.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
		defer cancel()
		if err := c.bus.Fetch(ctx); err != nil {
			c.troubled("cannot read the configuration", err)
		}
	}()
}

// reject ends the node: two that share an id would spend each other's share.
func (c *coordination) reject(why string) {
	if c.rejected.CompareAndSwap(false, true) {
		c.log.Error("the controller refused this node", "reason", why)
		c.serveErr <- fmt.Errorf("%w: %s", ErrRejected, why)
	}
}

// impose takes up the leader's word on a breaker.
func (c *coordination) impose(provider string, e wire.BreakerEntry) {
	if t := c.state.Impose(provider, c.clock(), e); t.Changed() {
		c.breakerChanged(provider, t)
	}
}
