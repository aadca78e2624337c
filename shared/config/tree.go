package config

import "bytes"

// The bounds that keep a hostile document cheap. Aliases count as often as they
// are used, which is what defuses "billion laughs".
const (
	maxSize  = 1 << 20
	maxDepth = 64
	maxNodes = 100_000
)

// kind is what a node is; the zero value is null.
type kind uint8

const (
	kindNull kind = iota
	kindBool
	kindNumber
	kindString
	kindList
	kindObject
)

var kindNames = [...]string{"null", "true or false", "a number", "text", "a list", "an object"}

// node is what YAML and JSON have in common: the one form that binder reads.
type node struct {
	kind   kind
	text   string  // of a scalar; "true" or "false", or the decimal digits of a number
	items  []*node // of a list
	fields []field // of an object, in the order of the document, duplicates included
	line   int
}

type field struct {
	key   string
	line  int
	value *node
}

// has reports whether an object holds a field that is not null.
func (n *node) has(key string) bool {
	for _, f := range n.fields {
		if f.key == key && f.value.kind != kindNull {
			return true
		}
	}
	return false
}

// wrongType does not show what was found: it might be a misplaced secret.
func wrongType(n *node, want, remedy string) *Problem {
	return &Problem{Message: "expected " + want + ", found " + kindNames[n.kind], Remedy: remedy}
}

// budget is what is left of maxNodes.
type budget struct{ nodes int }

func (b *budget) spend(depth, line int) *Problem {
	if b.nodes++; b.nodes > maxNodes {
		return &Problem{Message: "the document has too many values", Remedy: "at most 100000, each use of an alias counted", Line: line}
	}
	if depth > maxDepth {
		return &Problem{Message: "the document is nested too deeply", Remedy: "at most 64 levels", Line: line}
	}
	return nil
}

// parseTree chooses the format by content.
func parseTree(data []byte) (*node, *Problem) {
	if bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return parseJSON(data)
	}
	return parseYAML(data)
}
