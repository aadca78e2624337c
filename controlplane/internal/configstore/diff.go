package configstore

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"apiproxy.internal/shared/config"
)

// Difference is one thing that two documents say differently.
type Difference struct {
	// Path is where, as in the problems of package config.
	Path string `json:"path"`
	// Old and New are the values as JSON; nil (absent from JSON) where a document
	// does not have it.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
}

// String is one line: "rate_limit.per_ip.rate: 100 -> 5".
func (d Difference) String() string {
	text := func(v json.RawMessage) string {
		if v == nil {
			return "(absent)"
		}
		return string(v)
	}
	return d.Path + ": " + text(d.Old) + " -> " + text(d.New)
}

// Diff is what changes from one document to another, sorted by path. What is new or
// gone as a whole, such as a provider, is one difference; so is a list. Revisions
// do not count. A nil document is one that has nothing.
func Diff(from, to *config.Document) []Difference {
	var all []Difference
	diff(&all, "", tree(from), tree(to))
	return all
}

func tree(doc *config.Document) any {
	if doc == nil {
		return map[string]any{}
	}
	plain := *doc
	plain.Revision = 0
	v, err := readJSON(plain.JSON())
	if err != nil {
		return map[string]any{} // the canonical form is valid
	}
	return v
}

// absent is a value that is not there; nil would be JSON's null.
type absent struct{}

func diff(all *[]Difference, path string, from, to any) {
	a, isA := from.(map[string]any)
	b, isB := to.(map[string]any)
	if !isA || !isB {
		if !reflect.DeepEqual(from, to) {
			*all = append(*all, Difference{path, text(from), text(to)})
		}
		return
	}
	names := slices.Sorted(maps.Keys(a))
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		diff(all, join(path, name), member(a, name), member(b, name))
	}
}

func member(object map[string]any, name string) any {
	if v, ok := object[name]; ok {
		return v
	}
	return absent{}
}

func text(v any) json.RawMessage {
	if _, ok := v.(absent); ok {
		return nil
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil // it came from JSON
	}
	return bytes.TrimSpace(out.Bytes())
}
