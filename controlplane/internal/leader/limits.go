package leader

import (
	"maps"
	"slices"
	"strings"
	"time"

	"apiproxy.internal/controlplane/internal/events"
	"apiproxy.internal/controlplane/internal/ledger"
	"apiproxy.internal/controlplane/internal/overview"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/quota"
	"apiproxy.internal/shared/wire"
)

// configureLimits gives each limit its books. Those of a limit that is taken out
// stay as they are, so that putting it back refills nothing.
func (l *Leader) configureLimits(now time.Time, first bool) {
	if c := l.doc.RateLimit.PerIP; c == nil {
		l.addresses = nil
	} else if l.addresses == nil {
		l.addresses = ledger.NewAddresses(params(&c.Limit))
	} else {
		l.addresses.Configure(params(&c.Limit))
	}
	for name, c := range limitsOf(l.doc) {
		p := params(c)
		if b := l.limits[name]; b != nil {
			b.Configure(l.clock(now), p)
			continue
		}
		t := ledger.Takeover{Epoch: l.epoch, Hold: int64(l.restored.Longest), New: !first || l.epoch == 1, Lost: l.restored.Lost}
		if !t.New {
			t.Members = l.restoredMembers()
		}
		b := ledger.New(l.clock(now), p, t)
		for id, n := range l.nodes {
			if n.stored {
				b.Join(ledger.Member{ID: id, Incarnation: n.ordinal})
			}
		}
		l.limits[name] = b
	}
}

// limitsOf are the limits of a document by their name on the wire.
func limitsOf(doc *config.Document) map[string]*config.Limit {
	limits := make(map[string]*config.Limit)
	if g := doc.RateLimit.Global; g != nil {
		limits[wire.GlobalLimit] = g
	}
	for name, c := range doc.RateLimit.PerProvider {
		if c != nil {
			limits[wire.ProviderLimit(name)] = c
		}
	}
	return limits
}

func params(c *config.Limit) quota.Params {
	num, den := c.Rate.PerSecond()
	p := quota.Params{Num: num, Den: den, Burst: c.Burst, OnDisconnect: quota.OnDisconnect(c.OnDisconnect), Hold: int64(c.Hold)}
	if num == 0 {
		p.Burst = 0 // a rate of 0 refuses all, whatever the burst
	}
	return p
}

// Confirmed says that this leader surely led at the time at.
func (l *Leader) Confirmed(at, now time.Time) {
	for _, b := range l.limits {
		b.Confirm(l.clock(at))
		b.Tick(l.clock(now))
	}
}

// book enters what a report says of the limits and returns what there is to
// answer.
func (l *Leader) book(now time.Time, n *node, r *wire.Report) (answers map[string]quota.Answer) {
	if l.later != 0 {
		return nil
	}
	opening := false
	for name, said := range r.Limits {
		b := l.limits[name]
		if b == nil {
			continue
		}
		if a, ok := b.Report(l.clock(now), r.Node, n.ordinal, said); ok {
			if answers == nil {
				answers = make(map[string]quota.Answer, len(r.Limits))
			}
			answers[name] = a
		}
		opening = opening || b.Opening()
		l.later = max(l.later, b.Deposed())
	}
	if opening {
		l.effects.Renew()
	}
	return answers
}

// Lowering reports whether nodes that are heard still hold more of a limit than
// there is since it was lowered.
func (l *Leader) Lowering() bool {
	for _, b := range l.limits {
		if b.Lowering() {
			return true
		}
	}
	return false
}

// judge adds up what suspect client addresses took on all nodes.
func (l *Leader) judge(now time.Time, r *wire.Report) []quota.Verdict {
	if l.addresses == nil || len(r.Suspects) == 0 {
		return nil
	}
	return l.addresses.Report(l.clock(now), r.Suspects, nil)
}

// exhausted tells when a limit begins to refuse: once, and again after it has not
// refused for a while.
func (l *Leader) exhausted(now time.Time) {
	for name, b := range l.limits {
		refused := b.Refused()
		x := l.refusing[name]
		if refused > x.count {
			if now.Sub(x.last) > quiet {
				l.effects.Event(events.LimitExhausted, limitExhausted{now.UTC(), name})
			}
			x.last = now
		}
		x.count = refused
		l.refusing[name] = x
	}
}

// quiet is how long a limit must not refuse before its next refusal is news.
const quiet = 30 * time.Second

type refusing struct {
	count uint64
	last  time.Time
}

type limitExhausted struct {
	Time  time.Time `json:"time"`
	Limit string    `json:"limit"`
}

// tokens is what the books say of each limit beyond what the nodes count.
func (l *Leader) tokens(now time.Time) map[string]overview.Tokens {
	all := make(map[string]overview.Tokens, len(l.limits))
	for name, b := range l.limits {
		s := b.Status(l.clock(now))
		all[name] = overview.Tokens{Available: (s.Level + s.InHand) / quota.Token, Overshoot: float64(s.Overshoot)}
	}
	return all
}

// Share is one node's part of a limit.
type Share struct {
	Rate  float64 // requests per second
	Burst int64   // requests at once
}

// Shares are the parts of all limits by node and limit.
func (l *Leader) Shares(now time.Time) map[string]map[string]Share {
	all := make(map[string]map[string]Share)
	for name, b := range l.limits {
		for _, a := range b.Status(l.clock(now)).Accounts {
			if all[a.ID] == nil {
				all[a.ID] = make(map[string]Share)
			}
			all[a.ID][name] = Share{Rate: float64(a.Held.Rate) / quota.PerSecond, Burst: a.Held.Room / quota.Token}
		}
	}
	return all
}

// Advise warns of limits that are too thin to be spread over the nodes there are.
func (l *Leader) Advise(doc *config.Document) (all []config.Problem) {
	limits := limitsOf(doc)
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		if thin, why := quota.Thin(params(limits[name]), len(l.live())); thin {
			all = append(all, config.Problem{
				Path:    "rate_limit." + strings.ReplaceAll(name, "/", "."),
				Message: "is thin for this many nodes: " + why,
				Remedy:  "its tokens stay with the controller and a request may wait for one round trip; raise the burst to spread it",
			})
		}
	}
	return all
}
