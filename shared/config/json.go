package config

import (
	"bytes"
	"encoding/json"
	"errors"
)

// jsonReader turns the tokens of a document that is known to be valid JSON into
// nodes. encoding/json itself would let a later duplicate key win.
type jsonReader struct {
	budget
	data    []byte
	tokens  *json.Decoder
	line    int // of data[offset]
	offset  int
	pending json.Token
}

func parseJSON(data []byte) (*node, *Problem) {
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		return nil, jsonSyntax(data, err)
	}
	r := &jsonReader{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), line: 1}
	r.tokens.UseNumber()
	r.next()
	return r.value(1)
}

func jsonSyntax(data []byte, err error) *Problem {
	p := &Problem{Message: "not valid JSON: " + err.Error(), Remedy: "a document that begins with { is read as JSON; correct the syntax"}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		p.Line = 1 + bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte("\n"))
	}
	return p
}

// next moves to the next token; the text is valid, so that only its end fails.
func (r *jsonReader) next() {
	r.pending, _ = r.tokens.Token()
	end := int(r.tokens.InputOffset())
	r.line += bytes.Count(r.data[r.offset:end], []byte("\n"))
	r.offset = end
}

// value reads the value that begins with the pending token and leaves its last
// token pending.
func (r *jsonReader) value(depth int) (*node, *Problem) {
	if p := r.spend(depth, r.line); p != nil {
		return nil, p
	}
	n := &node{line: r.line}
	switch token := r.pending.(type) {
	case json.Delim:
		if token == '[' {
			return n, r.list(n, depth)
		}
		return n, r.object(n, depth)
	case string:
		n.kind, n.text = kindString, token
	case json.Number:
		n.kind, n.text = kindNumber, token.String()
	case bool:
		n.kind, n.text = kindBool, "false"
		if token {
			n.text = "true"
		}
	}
	return n, nil
}

func (r *jsonReader) list(n *node, depth int) *Problem {
	n.kind = kindList
	for r.next(); r.pending != json.Delim(']'); r.next() {
		item, p := r.value(depth + 1)
		if p != nil {
			return p
		}
		n.items = append(n.items, item)
	}
	return nil
}

func (r *jsonReader) object(n *node, depth int) *Problem {
	n.kind = kindObject
	for r.next(); r.pending != json.Delim('}'); r.next() {
		f := field{key: r.pending.(string), line: r.line}
		r.next()
		var p *Problem
		if f.value, p = r.value(depth + 1); p != nil {
			return p
		}
		n.fields = append(n.fields, f)
	}
	return nil
}
