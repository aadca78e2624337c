package cache

import (
	"bytes"

	"apiproxy.internal/dataplane/internal/http1"
)

// maxVary bounds the names in the Vary fields of a stored answer.
const maxVary = 32

// variesByAll finds a Vary that no request matches (RFC 9111 §4.1).
func variesByAll(fields []http1.Field) bool {
	n := 0
	for list := (lists{fields: fields, lower: "vary"}); ; n++ {
		name, ok := list.next()
		if !ok {
			return n > maxVary
		}
		if string(name) == "*" {
			return true
		}
	}
}

func names(fields []http1.Field, lower string) bool {
	for list := (lists{fields: fields, lower: "vary"}); ; {
		name, ok := list.next()
		if !ok {
			return false
		}
		if http1.EqualFold(name, lower) {
			return true
		}
	}
}

// AppendVariant appends what the stored answer was selected by beyond its key
// (RFC 9111 §4.1). Nearly every field of a request is in the key already; what
// is left are the fields that carry no meaning for most providers, such as
// User-Agent. An answer that names one of those in Vary is kept for one value of
// it: another value is a miss, and its answer takes the place.
func AppendVariant(dst []byte, answer, request []http1.Field) []byte {
	start := len(dst)
	for list := (lists{fields: answer, lower: "vary"}); ; {
		name, ok := list.next()
		if !ok {
			return dst
		}
		if kindOf(name, "") != neutral || inVariant(dst[start:], name) {
			continue
		}
		dst = append(appendLower(dst, name), ':')
		for _, f := range request {
			if bytes.EqualFold(f.Name, name) {
				dst = append(append(dst, f.Value...), '\n')
			}
		}
		dst = append(dst, 0)
	}
}

func inVariant(variant, name []byte) bool {
	for len(variant) > 0 {
		var one []byte
		one, variant, _ = bytes.Cut(variant, []byte{0})
		known, _, _ := bytes.Cut(one, []byte{':'})
		if bytes.EqualFold(known, name) {
			return true
		}
	}
	return false
}

// MatchesVariant reports whether a request selects the answer that was stored
// with that variant.
func MatchesVariant(variant []byte, request []http1.Field) bool {
	for len(variant) > 0 {
		var one []byte
		one, variant, _ = bytes.Cut(variant, []byte{0})
		name, values, _ := bytes.Cut(one, []byte{':'})
		for _, f := range request {
			if !bytes.EqualFold(f.Name, name) {
				continue
			}
			n := len(f.Value)
			if len(values) <= n || !bytes.Equal(values[:n], f.Value) || values[n] != '\n' {
				return false
			}
			values = values[n+1:]
		}
		if len(values) > 0 {
			return false
		}
	}
	return true
}

// lists walks the elements of all fields of one name, which are one
// comma-separated list (RFC 9110 §5.3). Empty elements do not count.
type lists struct {
	fields []http1.Field
	lower  string
	list   []byte
}

func (l *lists) next() ([]byte, bool) {
	for {
		for len(l.list) > 0 {
			var item []byte
			if item, l.list = http1.NextItem(l.list); len(item) > 0 {
				return item, true
			}
		}
		if len(l.fields) == 0 {
			return nil, false
		}
		if f := l.fields[0]; http1.EqualFold(f.Name, l.lower) {
			l.list = f.Value
		}
		l.fields = l.fields[1:]
	}
}
