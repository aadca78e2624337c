package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// binder writes a tree into the structs of a document, guided by their tags, and
// reports everything that does not fit. What it cannot read keeps its default.
type binder struct{ *report }

// value writes one node that is not null (an element of a list may be).
func (b binder) value(path string, n *node, v reflect.Value, tag reflect.StructTag) {
	b.lines[path] = n.line
	if p, scalar := readScalar(v.Addr().Interface(), n); p != nil {
		b.unreadable(path, p)
		return
	} else if scalar {
		b.bounds(path, v, tag)
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		fresh := reflect.New(v.Type().Elem())
		setDefaults(fresh.Interface())
		v.Set(fresh)
		b.value(path, n, fresh.Elem(), tag)
	case reflect.Slice:
		b.list(path, n, v, tag)
	case reflect.Map:
		b.table(path, n, v, tag)
	case reflect.Struct:
		b.object(path, n, v)
	}
}

// readScalar sets target to what the node says; scalar tells whether it could be
// done at all.
func readScalar(target any, n *node) (p *Problem, scalar bool) {
	switch t := target.(type) {
	case *Duration:
		return t.read(n), true
	case *ByteSize:
		return t.read(n), true
	case *Rate:
		return t.read(n), true
	case *netip.Prefix:
		return readPrefix(t, n), true
	case *string:
		return readString(t, n), true
	case *bool:
		return readBool(t, n), true
	case *int64:
		return readInt(t, n), true
	case *int:
		var whole int64
		p = readInt(&whole, n)
		*t = int(whole)
		return p, true
	}
	return nil, false
}

func readString(s *string, n *node) *Problem {
	if n.kind != kindString {
		return wrongType(n, "text", "put it in quotes")
	}
	*s = n.text
	return nil
}

func readBool(t *bool, n *node) *Problem {
	if n.kind != kindBool {
		return wrongType(n, "true or false", "write true or false without quotes")
	}
	*t = n.text == "true"
	return nil
}

func readInt(i *int64, n *node) *Problem {
	const remedy = "write a whole number without quotes"
	if n.kind != kindNumber {
		return wrongType(n, "a whole number", remedy)
	}
	whole, err := parseInteger(n.text)
	if err != nil {
		return &Problem{Message: quote(n.text) + " " + err.Error(), Remedy: remedy}
	}
	*i = whole
	return nil
}

// bounds enforces the tags range and oneof.
func (b binder) bounds(path string, v reflect.Value, tag reflect.StructTag) {
	if low, high, ok := strings.Cut(tag.Get("range"), ".."); ok && v.CanInt() {
		if v.Int() < bound(low, v.Type()) || v.Int() > bound(high, v.Type()) {
			b.unreadable(path, &Problem{Message: fmt.Sprint(v.Interface(), " is out of range"), Remedy: "use " + low + " to " + high})
		}
	}
	if choice, ok := tag.Lookup("oneof"); ok && !slices.Contains(strings.Fields(choice), v.String()) {
		b.unreadable(path, &Problem{Message: quote(v.String()) + " is not a choice", Remedy: "use one of: " + choice})
	}
}

// bound reads one end of a range tag in the notation of the field's own type.
func bound(text string, t reflect.Type) int64 {
	n := &node{kind: kindString, text: text}
	if _, _, err := parseDecimal(text); err == nil {
		n.kind = kindNumber
	}
	end := reflect.New(t)
	_, _ = readScalar(end.Interface(), n) // a tag is right or the tests fail
	return end.Elem().Int()
}

func (b binder) list(path string, n *node, v reflect.Value, tag reflect.StructTag) {
	if n.kind != kindList {
		b.unreadable(path, wrongType(n, "a list", "write [a, b] or one `- a` a line"))
		return
	}
	list := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		b.value(path+"["+strconv.Itoa(i)+"]", item, list.Index(i), tag)
	}
	v.Set(list)
}

// table reads an object whose keys are names that the document chooses.
func (b binder) table(path string, n *node, v reflect.Value, tag reflect.StructTag) {
	table := reflect.MakeMap(v.Type())
	for _, f := range b.fields(path, n) {
		if f.value.kind == kindNull {
			continue
		}
		element := reflect.New(v.Type().Elem())
		setDefaults(element.Interface())
		b.value(child(path, f.key), f.value, element.Elem(), tag)
		table.SetMapIndex(reflect.ValueOf(f.key), element.Elem())
	}
	v.Set(table)
}

// object reads an object whose keys are the fields of a struct.
func (b binder) object(path string, n *node, v reflect.Value) {
	schema := schemaOf(v.Type())
	for _, f := range b.fields(path, n) {
		at := child(path, f.key)
		i := slices.IndexFunc(schema, func(s schemaField) bool { return s.name == f.key })
		switch {
		case i < 0:
			b.lines[at] = f.line
			b.unreadable(at, unknownField(f.key, schema))
		case f.value.kind == kindNull || schema[i].tag.Get("bind") == "-":
		default:
			b.value(at, f.value, reach(v, schema[i].index), schema[i].tag)
		}
	}
}

// fields are the fields of an object without the duplicates, which are reported.
func (b binder) fields(path string, n *node) []field {
	if n.kind != kindObject {
		b.unreadable(path, wrongType(n, "an object", "write `name: value` fields"))
		return nil
	}
	seen := make(map[string]int, len(n.fields))
	unique := make([]field, 0, len(n.fields))
	for _, f := range n.fields {
		if first, twice := seen[f.key]; twice {
			b.duplicate(child(path, f.key), f.line, first)
			continue
		}
		seen[f.key] = f.line
		unique = append(unique, f)
	}
	return unique
}

func (b binder) duplicate(path string, line, first int) {
	b.problems = append(b.problems, Problem{
		Path:    path,
		Message: "is given a second time",
		Remedy:  "keep one of them; the first is on line " + strconv.Itoa(first),
		Line:    line,
	})
}

func unknownField(key string, schema []schemaField) *Problem {
	names := make([]string, len(schema))
	for i, s := range schema {
		names[i] = s.name
	}
	remedy := "known here: " + strings.Join(names, ", ")
	if name := nearest(key, names); name != "" {
		remedy = "did you mean " + name + "?"
	}
	return &Problem{Message: "unknown field", Remedy: remedy}
}

// schemaField is a name that an object may use and where its value goes.
type schemaField struct {
	name  string
	index []int
	tag   reflect.StructTag
}

// schemaOf lists the fields of a struct, those of embedded structs among them. A
// secret is written as two fields, x_env and x_file.
func schemaOf(t reflect.Type) []schemaField {
	var schema []schemaField
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Type == reflect.TypeFor[*SecretRef]() {
			for i, source := range []string{"_env", "_file"} {
				schema = append(schema, schemaField{name + source, append(slices.Clone(f.Index), i), f.Tag})
			}
		} else if name != "" {
			schema = append(schema, schemaField{name, f.Index, f.Tag})
		}
	}
	return schema
}

// reach is the field at an index path; it makes the secret reference on the way.
func reach(v reflect.Value, index []int) reflect.Value {
	for _, i := range index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}
