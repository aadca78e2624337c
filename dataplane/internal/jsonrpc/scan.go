package jsonrpc

import "errors"

// errSyntax is anything that is not one JSON value (RFC 8259).
var errSyntax = errors.New("jsonrpc: the body is not JSON")

// maxDepth bounds the nesting of a value: the trace of a transaction takes two
// levels for each of 1,024 nested calls. The scanner counts; it does not recurse.
const maxDepth = 4096

// nest is a stack of open objects and arrays, a bit for each: 1 is an object.
type nest [maxDepth / 64]uint64

func (n *nest) set(depth int, opening byte) {
	bit := uint64(1) << (depth % 64)
	if opening == '{' {
		n[depth/64] |= bit
	} else {
		n[depth/64] &^= bit
	}
}

func (n *nest) isObject(depth int) bool { return n[depth/64]&(1<<(depth%64)) != 0 }

// closing is the byte that ends what was opened at depth.
func (n *nest) closing(depth int) byte {
	if n.isObject(depth) {
		return '}'
	}
	return ']'
}

// value finds the end of the JSON value that b begins with, behind any white
// space, and checks its syntax on the way. It returns the value and the rest.
func value(b []byte) (v, rest []byte, err error) {
	b = skipSpace(b)
	if len(b) == 0 {
		return nil, nil, errSyntax
	}
	var n int
	if b[0] == '{' || b[0] == '[' {
		n, err = container(b)
	} else {
		n, err = scalar(b)
	}
	if err != nil {
		return nil, nil, err
	}
	return b[:n], b[n:], nil
}

// container is the length of the object or array that b begins with.
func container(b []byte) (int, error) {
	var open nest
	depth := 0
	i := 0
	for {
		// A value begins here.
		empty := false
		for {
			i += space(b[i:])
			if i >= len(b) {
				return 0, errSyntax
			}
			if b[i] != '{' && b[i] != '[' {
				break
			}
			if depth == maxDepth {
				return 0, errSyntax
			}
			open.set(depth, b[i])
			depth++
			i++
			i += space(b[i:])
			if i < len(b) && b[i] == open.closing(depth-1) {
				empty = true
				break
			}
			if open.isObject(depth - 1) {
				n, err := name(b[i:])
				if err != nil {
					return 0, err
				}
				i += n
			}
		}
		if !empty {
			n, err := scalar(b[i:])
			if err != nil {
				return 0, err
			}
			i += n
		}
		// A value has ended here, or an empty container is about to end.
		for {
			i += space(b[i:])
			if i >= len(b) {
				return 0, errSyntax
			}
			if b[i] == ',' {
				i++
				break
			}
			if b[i] != open.closing(depth-1) {
				return 0, errSyntax
			}
			i++
			if depth--; depth == 0 {
				return i, nil
			}
		}
		if open.isObject(depth - 1) {
			n, err := name(b[i:])
			if err != nil {
				return 0, err
			}
			i += n
		}
	}
}

// name is the length of `"name" :`, with the space around it.
func name(b []byte) (int, error) {
	i := space(b)
	n, err := text(b[i:])
	if err != nil {
		return 0, err
	}
	i += n
	i += space(b[i:])
	if i >= len(b) || b[i] != ':' {
		return 0, errSyntax
	}
	return i + 1, nil
}

// scalar is the length of the string, number or word that b begins with.
func scalar(b []byte) (int, error) {
	switch c := b[0]; {
	case c == '"':
		return text(b)
	case c == '-' || '0' <= c && c <= '9':
		return number(b)
	}
	for _, word := range [...]string{"null", "true", "false"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word), nil
		}
	}
	return 0, errSyntax
}

func text(b []byte) (int, error) {
	if len(b) == 0 || b[0] != '"' {
		return 0, errSyntax
	}
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return 0, errSyntax
		case c == '\\':
			n, err := escape(b[i:])
			if err != nil {
				return 0, err
			}
			i += n - 1
		}
	}
	return 0, errSyntax
}

func escape(b []byte) (int, error) {
	if len(b) < 2 {
		return 0, errSyntax
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, nil
	case 'u':
		if len(b) < 6 {
			return 0, errSyntax
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
				return 0, errSyntax
			}
		}
		return 6, nil
	}
	return 0, errSyntax
}

func number(b []byte) (int, error) {
	i := 0
	if b[i] == '-' {
		i++
	}
	n := digits(b[i:])
	if n == 0 || n > 1 && b[i] == '0' {
		return 0, errSyntax
	}
	i += n
	if i < len(b) && b[i] == '.' {
		if n = digits(b[i+1:]); n == 0 {
			return 0, errSyntax
		}
		i += 1 + n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if n = digits(b[i:]); n == 0 {
			return 0, errSyntax
		}
		i += n
	}
	return i, nil
}

func digits(b []byte) int {
	for i, c := range b {
		if c < '0' || '9' < c {
			return i
		}
	}
	return len(b)
}

func space(b []byte) int {
	for i, c := range b {
		if c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return i
		}
	}
	return len(b)
}

func skipSpace(b []byte) []byte { return b[space(b):] }

// appendCompact appends a valid value without the white space between its
// tokens. Nothing else changes: neither order, nor escapes, nor numbers.
func appendCompact(dst, v []byte) []byte {
	quoted := false
	for i := 0; i < len(v); i++ {
		c := v[i]
		switch {
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
			c = v[i]
		case c == '"':
			quoted = !quoted
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// member splits the first member off the inside of a valid object, and reports
// whether there was one. The name is as it is written, without its quotes.
func member(inside []byte) (key, v, rest []byte, ok bool) {
	inside = skipSpace(inside)
	if len(inside) > 0 && inside[0] == ',' {
		inside = skipSpace(inside[1:])
	}
	n, err := text(inside)
	if err != nil {
		return nil, nil, nil, false
	}
	key = inside[1 : n-1]
	n, err = name(inside)
	if err != nil {
		return nil, nil, nil, false
	}
	v, rest, err = value(inside[n:])
	return key, v, rest, err == nil
}

// element splits the first element off the inside of a valid array.
func element(inside []byte) (v, rest []byte, ok bool) {
	inside = skipSpace(inside)
	if len(inside) > 0 && inside[0] == ',' {
		inside = inside[1:]
	}
	v, rest, err := value(inside)
	return v, rest, err == nil
}

// inner is what is between the brackets of a valid object or array.
func inner(v []byte) []byte { return v[1 : len(v)-1] }
