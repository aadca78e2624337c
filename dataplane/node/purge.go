package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"apiproxy.internal/shared/wire"
)

// tellPurged is how long a report repeats what a purge came to: reports may be
// lost, or read by nobody because a newer one came.
const tellPurged = 5 * time.Second

// purges are the operators' purges on this node: those that it was told, and what
// became of them. Safe for simultaneous use.
type purges struct {
	told chan []wire.Purge // the newest list, until it is looked at

	mu   sync.Mutex
	done []purged // never without the last one
}

type purged struct {
	wire.Purged
	at int64 // the clock
}

func newPurges() purges { return purges{told: make(chan []wire.Purge, 1)} }

// tell takes a list in. It never blocks; there is one caller at a time.
func (p *purges) tell(list []wire.Purge) {
	if len(list) == 0 {
		return
	}
	select {
	case <-p.told: // what follows the last one done is in the newer list, too
	default:
	}
	p.told <- list
}

// hearPurges takes a list in. A node that has just started, and has stored nothing
// yet, is done with it at once: later it would clear its first answers.
func (c *coordination) hearPurges(list []wire.Purge) {
	if len(list) > 0 && c.purges.last() == "" && c.state.Cache().Total().Entries == 0 {
		c.carryOut(list)
		return
	}
	c.purges.tell(list)
}

// purge carries purges out. It is apart from the rest because a large cache takes
// a while.
func (c *coordination) purge(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case list := <-c.purges.told:
			c.carryOut(list)
		}
	}
}

// carryOut does what is new in a list, one after the other, and has each reported
// at once.
func (c *coordination) carryOut(list []wire.Purge) {
	todo, missed := c.purges.todo(list)
	for _, p := range todo {
		began := c.clock()
		entries := c.state.Purge(p)
		c.purges.note(wire.Purged{ID: p.ID, Entries: entries}, c.clock())
		c.tellPurge(p, entries, missed, time.Duration(c.clock()-began))
		c.urge()
	}
}

func (c *coordination) tellPurge(p wire.Purge, entries int, missed bool, took time.Duration) {
	attrs := []any{"id", p.ID, "entries", entries, "took_ms", took.Milliseconds()}
	switch {
	case !missed:
		c.log.Info("purged the cache", append(attrs, "provider", p.Provider, "author", p.Author)...)
	case entries > 0:
		c.log.Warn("the cache is cleared, because this node may have missed a purge while it could not hear the controller", attrs...)
	}
}

// todo are the purges of a list that this node has not done: those that follow the
// last one done or, if that is not in the list, one of everything (missed).
func (p *purges) todo(list []wire.Purge) (todo []wire.Purge, missed bool) {
	if i := wire.PurgeAt(list, p.last()); i >= 0 {
		return list[i+1:], false
	}
	return []wire.Purge{{ID: list[len(list)-1].ID}}, true
}

func (p *purges) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.done) == 0 {
		return ""
	}
	return p.done[len(p.done)-1].ID
}

func (p *purges) note(what wire.Purged, now int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = append(p.done, purged{what, now})
}

// report is what a report says at now.
func (p *purges) report(now int64) (all []wire.Purged) {
	p.mu.Lock()
	defer p.mu.Unlock()
	recent := slices.IndexFunc(p.done, func(d purged) bool { return now-d.at <= int64(tellPurged) })
	if recent < 0 {
		recent = len(p.done) - 1
	}
	p.done = slices.Delete(p.done, 0, max(recent, len(p.done)-wire.MaxPurges, 0))
	for _, d := range p.done {
		all = append(all, d.Purged)
	}
	return all
}
