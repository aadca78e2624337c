package config

import (
	"encoding/json"
	"strconv"
	"strings"
)

// ToJSON brings an object, JSON if it begins with "{" and YAML otherwise, into
// plain JSON without looking at what its fields mean: for a patch, which is no
// document. Nulls stay, fields that are given twice are refused. err is Problems.
func ToJSON(data []byte) ([]byte, error) {
	tree, p := parseText(data)
	if p != nil {
		return nil, Problems{*p}
	}
	r := newReport()
	plain := binder{r}.plain("", tree)
	if tree.kind != kindObject {
		r.problems = Problems{*wrongType(tree, "an object", "write `name: value` fields")}
	}
	if len(r.problems) > 0 {
		sortByLine(r.problems)
		return nil, r.problems
	}
	return json.Marshal(plain)
}

// plain is a node in the types of encoding/json.
func (b binder) plain(path string, n *node) any {
	switch n.kind {
	case kindBool:
		return n.text == "true"
	case kindNumber:
		return b.number(path, n)
	case kindString:
		return n.text
	case kindList:
		list := make([]any, len(n.items))
		for i, item := range n.items {
			list[i] = b.plain(path+"["+strconv.Itoa(i)+"]", item)
		}
		return list
	case kindObject:
		object := map[string]any{}
		for _, f := range b.fields(path, n) {
			object[f.key] = b.plain(child(path, f.key), f.value)
		}
		return object
	}
	return nil
}

// number writes a number of YAML with the same value as JSON does.
func (b binder) number(path string, n *node) json.Number {
	if json.Valid([]byte(n.text)) {
		return json.Number(n.text)
	}
	b.lines[path] = n.line
	negative := strings.HasPrefix(n.text, "-")
	mantissa, decimals, err := parseDecimal(strings.TrimPrefix(n.text, "-"))
	if err != nil {
		b.unreadable(path, &Problem{Message: quote(n.text) + " " + err.Error(), Remedy: "write a plain decimal number"})
		return "0"
	}
	text := strconv.FormatUint(mantissa, 10)
	if decimals > 0 {
		text += "e-" + strconv.Itoa(decimals)
	}
	if negative {
		text = "-" + text
	}
	return json.Number(text)
}
