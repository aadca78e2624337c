package statusview

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"apiproxy.internal/shared/status"
)

// view is the page as text: the template decides nothing and formats nothing.
type view struct {
	Level, Headline string
	Notes           []note
	UpdatedAt       string // time of day
	UpdatedStamp    string
	Summary         summary
	Limits          []limitView // global and per_ip
	Providers       []providerView
	Nodes           []nodeView
	NodeCount       string
	Events          []eventView

	// Empty rows: the script copies them for what comes later.
	BlankProvider providerView
	BlankNode     nodeView
	BlankNote     note
	BlankEvent    eventView
}

type summary struct {
	Requests, Refused, InFlight string
	Live, Nodes                 string // 3, "of 4 nodes"
	Revision, Running           string // 7, "on 3 of 3 nodes"
	Author, Changed, ChangedAt  string
}

type limitView struct {
	Name, Title string
	Path        string // of the API, below limits/
	Unlimited   bool
	Level       string
	Used        string // "212/s of 300/s"
	Percent     string
	Fill        string // of the bar, 0 to 100
	Rejected    string
	Tokens      string // "480", which could pass now,
	Burst       string // "of 500 burst"
	Overshoot   string
}

type providerView struct {
	Name             string
	State, StateWord string
	Detail           string // what the breaker is about to do
	Hold             string // who holds it, why, until when
	Requests         string
	Success          string
	Avg, P50         string
	P95, P99         string
	Retries          string
	Hits             string
	Entries, Bytes   string
	Credential       string
	CredentialLevel  string
	Limit            limitView
	Spark            spark
}

type nodeView struct {
	ID, State         string
	Address, Version  string
	Incarnation       string
	Revision          string
	RevisionLevel     string
	Mode, ModeLevel   string
	Requests          string
	InFlight, LastSee string
	Cache, CacheMore  string // "3.4 MiB", and what else is to be said of it
}

func newView(p Page) view {
	doc := &p.Status
	names := slices.Sorted(maps.Keys(doc.Providers))
	v := view{
		Notes: notes(doc, names), Summary: newSummary(doc),
		UpdatedAt: clock(doc.GeneratedAt), UpdatedStamp: stamp(doc.GeneratedAt),
		Limits: []limitView{
			newLimitView("global", "All traffic", "global", doc.Limits.Global),
			newLimitView("per_ip", "Each client address", "per_ip", doc.Limits.PerIP),
		},
		NodeCount: plural(len(doc.Nodes), "node"),
	}
	v.Level, v.Headline = headline(v.Notes)
	for _, name := range names {
		pv := newProviderView(doc.GeneratedAt, name, doc.Providers[name])
		pv.Spark = newSpark(doc.GeneratedAt, p.History[name])
		v.Providers = append(v.Providers, pv)
	}
	for i := range doc.Nodes {
		v.Nodes = append(v.Nodes, newNodeView(&doc.Nodes[i], doc.Config.Revision))
	}
	for _, e := range p.Events[:min(len(p.Events), MaxEvents)] {
		v.Events = append(v.Events, newEventView(e))
	}
	return v
}

func newSummary(doc *status.Document) summary {
	var requests, refused float64
	var inFlight int64
	var live, here, running int
	for i := range doc.Nodes {
		n := &doc.Nodes[i]
		if n.State == status.Gone {
			continue
		}
		here++
		requests += n.RequestsPerSecond
		inFlight += n.InFlight
		if n.State == status.Live {
			live++
		}
		if n.Revision == doc.Config.Revision {
			running++
		}
	}
	add := func(l *status.Limit) {
		if l != nil {
			refused += l.RejectedPerSecond
		}
	}
	add(doc.Limits.Global)
	add(doc.Limits.PerIP)
	for _, name := range slices.Sorted(maps.Keys(doc.Providers)) { // in one order: a sum of floats depends on it
		add(doc.Providers[name].Limit)
	}
	s := summary{
		Requests: perSecond(requests), Refused: perSecond(refused), InFlight: count(inFlight),
		Live: count(int64(live)), Nodes: "of " + plural(len(doc.Nodes), "node"),
		Revision: revision(doc.Config.Revision), Running: "on " + count(int64(running)) + " of " + plural(here, "node"),
		Author: cmp.Or(doc.Config.Author, none),
	}
	if !doc.Config.UpdatedAt.IsZero() {
		s.Changed = ago(doc.GeneratedAt, doc.Config.UpdatedAt)
		s.ChangedAt = stamp(doc.Config.UpdatedAt)
	}
	return s
}

// revision is a number that people compare and type: no thousands apart.
func revision(n uint64) string { return strconv.FormatUint(n, 10) }

// newLimitView shows a limit; nil is unlimited.
func newLimitView(name, title, path string, l *status.Limit) limitView {
	v := limitView{Name: name, Title: title, Path: path, Level: ok, Fill: "0"}
	if l == nil {
		v.Unlimited = true
		v.Used = "unlimited"
		return v
	}
	switch {
	case l.RejectedPerSecond > 0:
		v.Level = bad
	case l.Utilisation >= 0.8:
		v.Level = warn
	}
	v.Used = perSecond(l.AdmittedPerSecond) + " of " + limitRate(l.Rate)
	v.Percent = percent(l.Utilisation)
	v.Fill = short(min(max(l.Utilisation, 0), 1) * 100)
	v.Rejected = perSecond(l.RejectedPerSecond)
	v.Tokens, v.Burst = count(l.Available), "of "+count(l.Burst)+" burst"
	v.Overshoot = "≤" + nbsp + trimmed(l.OvershootBound, 1)
	return v
}

func newProviderView(now time.Time, name string, p status.Provider) providerView {
	v := providerView{
		Name: name, State: p.State, StateWord: words(p.State),
		Detail: breakerDetail(now, &p), Hold: holdText(now, p.Breaker.Forced),
		Requests: perSecond(p.RequestsPerSecond), Success: percent(p.SuccessRatio),
		Avg: millis(p.LatencyMS.Avg), P50: millis(p.LatencyMS.P50), P95: millis(p.LatencyMS.P95), P99: millis(p.LatencyMS.P99),
		Retries: perSecond(p.RetriesPerSecond),
		Hits:    percent(p.Cache.HitRatio), Entries: entries(&p.Cache), Bytes: size(p.Cache.Bytes),
		Credential: cmp.Or(p.Credential, "unknown"), CredentialLevel: ok,
		Limit: newLimitView(name, "Limit", "per_provider/"+name, p.Limit),
	}
	if p.Credential == "missing" {
		v.CredentialLevel = bad
	}
	return v
}

func entries(c *status.Cache) string {
	text := count(c.Entries) + " entries"
	if c.Entries == 1 {
		text = "1 entry"
	}
	if c.Evictions > 0 {
		text += ", " + count(int64(min(c.Evictions, math.MaxInt64))) + " evicted"
	}
	return text
}

// breakerDetail says what led here and what comes next.
func breakerDetail(now time.Time, p *status.Provider) string {
	b := &p.Breaker
	text := ""
	switch {
	case p.State == "closed" && p.Failures > 0:
		return plural(p.Failures, "failure") + " in a row"
	case p.State != "open" && p.State != "half_open":
		return ""
	case b.OpenedAt != nil:
		text = "Opened " + ago(now, *b.OpenedAt)
	}
	if p.State == "open" && b.RetryAt != nil && b.Forced == nil {
		text = join(text, "next try "+in(now, *b.RetryAt))
	}
	if p.State == "half_open" {
		text = join(text, "trying again")
	}
	return text
}

func holdText(now time.Time, f *status.Forced) string {
	if f == nil {
		return ""
	}
	text := "Held " + words(f.State) + " by " + cmp.Or(f.Author, "unknown")
	if f.Until.UnixMilli() > 0 { // no end otherwise
		text += ", ends " + in(now, f.Until)
	}
	if f.Reason != "" {
		text += ": " + f.Reason
	}
	return text
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

func newNodeView(n *status.Node, current uint64) nodeView {
	v := nodeView{
		ID: n.ID, State: n.State, Address: n.Address, Version: n.Version, Incarnation: n.Incarnation,
		Revision: revision(n.Revision), RevisionLevel: ok, Mode: n.Mode, ModeLevel: ok,
		Requests: perSecond(n.RequestsPerSecond), InFlight: count(n.InFlight),
		Cache: size(n.Cache.Bytes), CacheMore: percent(n.Cache.HitRatio) + " hits, " + entries(&n.Cache), LastSee: span(n.LastSeenMS) + " ago",
	}
	if n.State == status.Gone {
		v.Requests, v.InFlight, v.Cache, v.CacheMore = none, none, none, ""
		return v
	}
	if n.Revision != current {
		v.RevisionLevel = warn
	}
	switch n.Mode {
	case status.Holding:
		v.ModeLevel = warn
	case status.ClosedMode:
		v.ModeLevel = bad
	}
	return v
}
