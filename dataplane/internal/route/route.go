// Package route finds the provider of a request by its path. Pure, immutable
// after New, safe for simultaneous use.
package route

import (
	"cmp"
	"slices"
)

// Table maps path prefixes to plans of type P; the longest prefix wins.
type Table[P any] struct {
	entries []entry[P] // longest prefix first
}

type entry[P any] struct {
	prefix string // without its trailing slash
	plan   P
}

// New builds a table from prefixes such as "/zerion/".
func New[P any](plans map[string]P) *Table[P] {
	t := &Table[P]{entries: make([]entry[P], 0, len(plans))}
	for prefix, plan := range plans {
		if n := len(prefix); n > 0 && prefix[n-1] == '/' {
			prefix = prefix[:n-1]
		}
		t.entries = append(t.entries, entry[P]{prefix, plan})
	}
	slices.SortFunc(t.entries, func(a, b entry[P]) int {
		return cmp.Or(cmp.Compare(len(b.prefix), len(a.prefix)), cmp.Compare(a.prefix, b.prefix))
	})
	return t
}

// Match finds the plan of path and what follows the prefix: empty for both
// "/zerion" and "/zerion/", otherwise beginning with a slash.
func (t *Table[P]) Match(path []byte) (plan P, rest []byte, ok bool) {
	for i := range t.entries {
		e := &t.entries[i]
		n := len(e.prefix)
		if len(path) < n || string(path[:n]) != e.prefix || len(path) > n && path[n] != '/' {
			continue
		}
		if len(path) <= n+1 {
			return e.plan, nil, true
		}
		return e.plan, path[n:], true
	}
	return plan, nil, false
}
