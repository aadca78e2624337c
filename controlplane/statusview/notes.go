package statusview

import (
	"strings"

	"apiproxy.internal/shared/status"
)

// How bad something is. The words are also classes of the style sheet, which
// gives each of them a colour and a shape.
const (
	ok   = "ok"
	warn = "warn"
	bad  = "bad"
)

// note is something that an operator would want to know first.
type note struct {
	Level string
	What  string // "Breaker open"
	Who   string // "zerion, alchemy"
}

// maxNames is how many names a note spells out.
const maxNames = 6

// notes finds what is wrong, worst first; none is good news. assets/status.js
// finds the same.
func notes(doc *status.Document, names []string) []note {
	var found []note
	providers := func(level, what string, match func(p *status.Provider) bool) {
		var who []string
		for _, name := range names {
			if p := doc.Providers[name]; match(&p) {
				who = append(who, name)
			}
		}
		found = appendNote(found, level, what, who)
	}
	nodes := func(level, what string, match func(n *status.Node) bool) {
		var who []string
		for i := range doc.Nodes {
			if match(&doc.Nodes[i]) {
				who = append(who, doc.Nodes[i].ID)
			}
		}
		found = appendNote(found, level, what, who)
	}
	here := func(n *status.Node) bool { return n.State != status.Gone }

	if len(doc.Nodes) == 0 {
		found = append(found, note{bad, "No node has joined", ""})
	}
	providers(bad, "Breaker open", func(p *status.Provider) bool { return p.State == "open" })
	providers(bad, "Credential missing", func(p *status.Provider) bool { return p.Credential == "missing" })
	nodes(bad, "Node gone", func(n *status.Node) bool { return !here(n) && !n.Left })
	nodes(bad, "Refusing limited traffic, no lease", func(n *status.Node) bool { return here(n) && n.Mode == status.ClosedMode })
	found = appendNote(found, warn, "Over the limit", refusing(doc, names))
	providers(warn, "Breaker half open", func(p *status.Provider) bool { return p.State == "half_open" })
	providers(warn, "Breaker held closed", func(p *status.Provider) bool {
		return p.Breaker.Forced != nil && p.Breaker.Forced.State == "closed"
	})
	nodes(warn, "Node silent", func(n *status.Node) bool { return n.State == status.Suspect })
	nodes(warn, "Node draining", func(n *status.Node) bool { return n.State == status.Draining })
	nodes(warn, "Holding its last share, does not hear the leader", func(n *status.Node) bool { return here(n) && n.Mode == status.Holding })
	nodes(warn, "Not on revision "+revision(doc.Config.Revision), func(n *status.Node) bool {
		return here(n) && n.Revision != doc.Config.Revision
	})
	return found
}

func appendNote(found []note, level, what string, who []string) []note {
	if len(who) == 0 {
		return found
	}
	more := ""
	if len(who) > maxNames {
		more = " and " + count(int64(len(who)-maxNames)) + " more"
		who = who[:maxNames]
	}
	return append(found, note{level, what, strings.Join(who, ", ") + more})
}

// refusing names the limits that refuse requests now.
func refusing(doc *status.Document, names []string) (who []string) {
	add := func(name string, l *status.Limit) {
		if l != nil && l.RejectedPerSecond > 0 {
			who = append(who, name)
		}
	}
	add("global", doc.Limits.Global)
	add("per_ip", doc.Limits.PerIP)
	for _, name := range names {
		add(name, doc.Providers[name].Limit)
	}
	return who
}

// headline sums the notes up in a few words.
func headline(found []note) (level, text string) {
	if len(found) == 0 {
		return ok, "Everything works"
	}
	level = warn
	for _, n := range found {
		if n.Level == bad {
			level = bad
		}
	}
	if len(found) == 1 {
		return level, "1 thing needs attention"
	}
	return level, count(int64(len(found))) + " things need attention"
}
