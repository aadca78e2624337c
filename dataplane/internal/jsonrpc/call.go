// Package jsonrpc reads JSON-RPC 2.0 calls and answers as far as a cache needs
// it: which method with which parameters, what the answer's result is, and how
// an answer is put together for another caller's id. It does not decode: what is
// compared, stored and sent are the bytes as they came. Pure; it allocates
// nothing beyond the growth of what it appends to.
package jsonrpc

import (
	"bytes"
	"errors"
	"strconv"
)

// The errors of Parse. The body is best left to the provider then, which will say
// what is wrong with it.
var (
	ErrSyntax = errSyntax
	ErrCall   = errors.New("jsonrpc: not a call, or one that two readers could read differently")
)

// Call is one call. Its slices point into the body.
type Call struct {
	Raw    []byte // the whole object
	ID     []byte // as written: a string, a number or null; nil for a notification
	Method []byte // without its quotes; it holds no escapes
	Params []byte // as written; nil if there are none
	Asked  bool   // the provider is asked; whoever decides that sets it
}

// Batch is the content of one request body.
type Batch struct {
	Calls   []Call
	IsArray bool // [call], not call: so must the answer be
	Own     bool // the provider sees our ids, which are the calls' places, and not the caller's
}

// Parse reads the body of a request into b, whose buffer is used again. An empty
// batch is ErrCall. Member names that repeat or are spelled with escapes are
// refused, for what we take for the method must be what the provider calls.
func (b *Batch) Parse(body []byte) error {
	b.Calls, b.IsArray, b.Own = b.Calls[:0], false, false
	v, rest, err := value(body)
	if err != nil {
		return err
	}
	if len(skipSpace(rest)) > 0 {
		return ErrSyntax
	}
	if v[0] != '[' {
		return b.add(v)
	}
	b.IsArray = true
	for list := inner(v); ; {
		call, rest, ok := element(list)
		if !ok {
			break
		}
		if err := b.add(call); err != nil {
			return err
		}
		list = rest
	}
	if len(b.Calls) == 0 {
		return ErrCall
	}
	return nil
}

func (b *Batch) add(v []byte) error {
	if v[0] != '{' {
		return ErrCall
	}
	c := Call{Raw: v}
	var version []byte
	for inside := inner(v); ; {
		key, v, rest, ok := member(inside)
		if !ok {
			break
		}
		inside = rest
		var to *[]byte
		switch string(key) {
		case "jsonrpc":
			to = &version
		case "id":
			to = &c.ID
		case "method":
			to = &c.Method
		case "params":
			to = &c.Params
		}
		if to == nil || *to != nil {
			return ErrCall // a name that is not of a call, twice, or in disguise
		}
		*to = v
	}
	if string(version) != `"2.0"` || !isPlainText(c.Method) || !isID(c.ID) || !isParams(c.Params) {
		return ErrCall
	}
	c.Method = inner(c.Method)
	b.Calls = append(b.Calls, c)
	return nil
}

func isPlainText(v []byte) bool {
	return len(v) > 2 && v[0] == '"' && bytes.IndexByte(v, '\\') < 0
}

func isID(v []byte) bool {
	return v == nil || v[0] == '"' || v[0] == '-' || '0' <= v[0] && v[0] <= '9' || v[0] == 'n'
}

func isParams(v []byte) bool { return v == nil || v[0] == '[' || v[0] == '{' }

// AppendKey appends method and parameters as they count for a cache: white space
// between tokens is left out, everything else is kept.
func (c *Call) AppendKey(dst []byte) []byte {
	dst = append(append(dst, c.Method...), 0)
	return appendCompact(dst, c.Params)
}

// Distinct reports whether the ids tell the calls apart, so that answers find
// their calls by them. null does not: an error may have it for want of an id.
func (b *Batch) Distinct() bool {
	for i := range b.Calls {
		id := b.Calls[i].ID
		if id == nil {
			continue
		}
		if bytes.Equal(id, null) {
			return false
		}
		for j := range i {
			if bytes.Equal(b.Calls[j].ID, id) {
				return false
			}
		}
	}
	return true
}

// AppendRequest appends the calls that are Asked as one request body, with ids of
// our own: the answers find their way back whatever ids the caller chose.
func (b *Batch) AppendRequest(dst []byte) []byte {
	b.Own = true
	if b.IsArray {
		dst = append(dst, '[')
	}
	for place, first := 0, true; place < len(b.Calls); place++ {
		c := &b.Calls[place]
		if !c.Asked {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = c.appendAs(dst, place)
	}
	if b.IsArray {
		dst = append(dst, ']')
	}
	return dst
}

// appendAs appends the call with its place as id; a notification stays one.
func (c *Call) appendAs(dst []byte, place int) []byte {
	dst = append(dst, `{"jsonrpc":"2.0",`...)
	if c.ID != nil {
		dst = append(strconv.AppendInt(append(dst, `"id":`...), int64(place), 10), ',')
	}
	dst = append(append(append(dst, `"method":"`...), c.Method...), '"')
	if c.Params != nil {
		dst = append(append(dst, `,"params":`...), c.Params...)
	}
	return append(dst, '}')
}
