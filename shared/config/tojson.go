package config

import (
	"bytes"
	"encoding/json"
)

// ToJSON is a text of YAML or JSON as JSON, for what works on JSON alone. It is
// read as Parse reads it, but for what only a document can get wrong: a name that
// stands twice in an object stands twice in the outcome.
func ToJSON(data []byte) ([]byte, error) {
	tree, p := parseText(data)
	if p != nil {
		return nil, Problems{*p}
	}
	var out bytes.Buffer
	tree.write(&out)
	return out.Bytes(), nil
}

func (n *node) write(out *bytes.Buffer) {
	text := func(s string) {
		quoted, _ := json.Marshal(s) // a string always has a form
		out.Write(quoted)
	}
	switch n.kind {
	case kindNull:
		out.WriteString("null")
	case kindString:
		text(n.text)
	case kindList:
		out.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				out.WriteByte(',')
			}
			item.write(out)
		}
		out.WriteByte(']')
	case kindObject:
		out.WriteByte('{')
		for i, f := range n.fields {
			if i > 0 {
				out.WriteByte(',')
			}
			text(f.key)
			out.WriteByte(':')
			f.value.write(out)
		}
		out.WriteByte('}')
	default:
		out.WriteString(n.text) // a number or a truth value
	}
}
