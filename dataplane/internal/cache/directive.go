package cache

import (
	"bytes"

	"apiproxy.internal/dataplane/internal/http1"
)

// directive is one element of a Cache-Control field, with the quotes of its
// argument removed.
type directive struct {
	name, argument []byte
	hasArgument    bool
}

// directives walks the directives of all Cache-Control fields (RFC 9111 §5.2), in
// order. It is no iterator function: those allocate.
type directives struct {
	fields []http1.Field
	list   []byte // what is left of the current field
}

// next returns the next directive, false at the end.
func (d *directives) next() (directive, bool) {
	for {
		for len(d.list) > 0 {
			var item []byte
			item, d.list = nextDirective(d.list)
			if len(item) > 0 {
				return parseDirective(item), true
			}
		}
		for {
			if len(d.fields) == 0 {
				return directive{}, false
			}
			f := d.fields[0]
			d.fields = d.fields[1:]
			if http1.EqualFold(f.Name, "cache-control") {
				d.list = f.Value
				break
			}
		}
	}
}

// nextDirective splits at the first comma outside of quotes. With a quote that
// does not end, a comma counts wherever it stands: a no-store behind it must not
// be swallowed.
func nextDirective(list []byte) (item, rest []byte) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case c == ',' && !quoted:
			return trim(list[:i]), list[i+1:]
		}
	}
	if quoted {
		item, rest = http1.NextItem(list)
		return item, rest
	}
	return trim(list), nil
}

func parseDirective(item []byte) directive {
	i := bytes.IndexByte(item, '=')
	if i < 0 {
		return directive{name: item}
	}
	argument := trim(item[i+1:])
	if n := len(argument); n >= 2 && argument[0] == '"' && argument[n-1] == '"' {
		argument = argument[1 : n-1]
	}
	return directive{name: trim(item[:i]), argument: argument, hasArgument: true}
}

func (d directive) is(lower string) bool { return http1.EqualFold(d.name, lower) }

// seconds reads the argument as delta-seconds (RFC 9111 §1.2.2), at most
// maxDelta.
func (d directive) seconds() (int64, bool) {
	if !d.hasArgument {
		return 0, false
	}
	return parseSeconds(d.argument)
}

func parseSeconds(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if c < '0' || '9' < c {
			return 0, false
		}
		n = min(10*n+int64(c-'0'), maxDelta)
	}
	return n, len(b) > 0
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t") }
