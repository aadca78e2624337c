package config

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// The plain scalars of the YAML 1.2.2 core schema (§10.3.2). Everything else is
// text: off, yes, 1_000, 1:30, 2001-01-01, and << too. The library is used for
// syntax alone, because its own idea of a scalar still has traits of YAML 1.1.
var (
	yamlNull    = regexp.MustCompile(`^(null|Null|NULL|~|)$`)
	yamlBool    = regexp.MustCompile(`^(true|True|TRUE|false|False|FALSE)$`)
	yamlDecimal = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	yamlSpecial = regexp.MustCompile(`^([-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN)$`)
	yamlBased   = regexp.MustCompile(`^(0o[0-7]+|0x[0-9a-fA-F]+)$`)
)

type yamlReader struct{ budget }

// parseYAML returns a null node for a stream without a document.
func parseYAML(data []byte) (*node, *Problem) {
	loader, err := yaml.NewLoader(bytes.NewReader(hideDirective(data)))
	if err != nil {
		return nil, yamlSyntax(err)
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err == io.EOF {
		return &node{line: 1}, nil
	} else if err != nil {
		return nil, yamlSyntax(err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, &Problem{Message: "several YAML documents in one file", Remedy: "keep one document; remove the --- lines", Line: second.Line}
	} else if err != io.EOF {
		return nil, yamlSyntax(err)
	}
	return new(yamlReader).value(&first, 0)
}

var yamlDirective = regexp.MustCompile(`\A(?:[ \t]*(?:#[^\n]*)?\n)*(%)YAML 1\.2\s`)

// hideDirective makes "%YAML 1.2" a comment: the library knows only 1.1 by name.
func hideDirective(data []byte) []byte {
	if at := yamlDirective.FindSubmatchIndex(data); at != nil {
		data = bytes.Clone(data)
		data[at[2]] = '#'
	}
	return data
}

func yamlSyntax(err error) *Problem {
	p := &Problem{Message: "not valid YAML", Remedy: "correct the syntax"}
	detail, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return p
	}
	p.Line = detail.Mark.Line
	// The library names the anchor, which may be a secret that begins with "*".
	if strings.HasPrefix(detail.Message, "unknown anchor") {
		p.Message += ": an alias without its anchor"
		p.Remedy = "define the anchor first, or put text that begins with * in quotes"
	} else {
		p.Message += ": " + detail.Message
	}
	return p
}

func (r *yamlReader) value(y *yaml.Node, depth int) (*node, *Problem) {
	if p := r.spend(depth, y.Line); p != nil {
		return nil, p
	}
	if y.Style&yaml.TaggedStyle != 0 || y.Tag == "!" {
		return nil, &Problem{Message: "YAML tags are not supported", Remedy: "remove the !tag; put text in quotes", Line: y.Line}
	}
	n := &node{line: y.Line}
	switch y.Kind {
	case yaml.DocumentNode:
		return r.value(y.Content[0], depth+1)
	case yaml.AliasNode:
		return r.value(y.Alias, depth+1)
	case yaml.SequenceNode:
		return n, r.list(n, y, depth)
	case yaml.MappingNode:
		return n, r.object(n, y, depth)
	}
	n.kind, n.text = kindString, y.Value
	if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		n.kind, n.text = resolve(y.Value)
	}
	return n, nil
}

func (r *yamlReader) list(n *node, y *yaml.Node, depth int) *Problem {
	n.kind = kindList
	for _, content := range y.Content {
		item, p := r.value(content, depth+1)
		if p != nil {
			return p
		}
		n.items = append(n.items, item)
	}
	return nil
}

func (r *yamlReader) object(n *node, y *yaml.Node, depth int) *Problem {
	n.kind = kindObject
	for i := 0; i+1 < len(y.Content); i += 2 {
		key := y.Content[i]
		if key.Kind != yaml.ScalarNode {
			return &Problem{Message: "the name of a field is not plain text", Remedy: "write `name: value`", Line: key.Line}
		}
		value, p := r.value(y.Content[i+1], depth+1)
		if p != nil {
			return p
		}
		n.fields = append(n.fields, field{key.Value, key.Line, value})
	}
	return nil
}

// resolve gives a plain scalar its type.
func resolve(text string) (kind, string) {
	switch {
	case yamlNull.MatchString(text):
		return kindNull, ""
	case yamlBool.MatchString(text):
		return kindBool, strings.ToLower(text)
	case yamlDecimal.MatchString(text), yamlSpecial.MatchString(text):
		return kindNumber, text
	case yamlBased.MatchString(text):
		// A number that does not fit stays as it is, and no field will take it.
		if value, err := strconv.ParseUint(text, 0, 64); err == nil {
			text = strconv.FormatUint(value, 10)
		}
		return kindNumber, text
	}
	return kindString, text
}
