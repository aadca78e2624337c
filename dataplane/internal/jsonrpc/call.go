// Package jsonrpc reads JSON-RPC 2.0 calls and answers as far as a cache needs
// it: which method with which parameters, what the answer's result is, and how
// an answer is put together for another caller's id. It does not decode: what is
// compared, stored and sent are the bytes as they came. Pure; it allocates
// nothing beyond the growth of what it appends to.
package jsonrpc

import (
	"bytes"
	"errors"
)

// The errors of Parse. After errSyntax and ErrCall the body is best left to the
// provider, which will say what is wrong with it.
var (
	ErrSyntax = errSyntax
	ErrCall   = errors.New("jsonrpc: not a call, or one that two readers could read differently")
	ErrBatch  = errors.New("jsonrpc: the batch holds more calls than max_batch allows")
)

// Call is one call. Its slices point into the body.
type Call struct {
	Raw    []byte // the whole object
	ID     []byte // as written: a string, a number or null; nil for a notification
	Method []byte // without its quotes; it holds no escapes
	Params []byte // as written; nil if there are none
}

// Batch is the content of one request body.
type Batch struct {
	Calls   []Call
	IsArray bool // [call], not call: so must the answer be
}

// Parse reads the body of a request into b, whose buffer is used again. A batch
// of more than most calls is ErrBatch, whatever they are; an empty one is
// ErrCall. Member names that repeat or are spelled with escapes are refused, for
// what we take for the method must be what the provider calls.
func (b *Batch) Parse(body []byte, most int) error {
	b.Calls, b.IsArray = b.Calls[:0], false
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
	n := 0
	for list := inner(v); ; n++ {
		call, rest, ok := element(list)
		if !ok {
			break
		}
		if n == most {
			return ErrBatch
		}
		if e := b.add(call); e != nil {
			err = e // a bad call does not keep a batch from being too long
		}
		list = rest
	}
	if n == 0 {
		return ErrCall
	}
	return err
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

// AppendRequest appends the calls whose place is wanted as one request body. The
// ids are their places in the batch, so that answers find back whatever ids the
// caller chose. It is an array if the caller sent one.
func (b *Batch) AppendRequest(dst []byte, wanted func(place int) bool) []byte {
	if b.IsArray {
		dst = append(dst, '[')
	}
	first := true
	for place := range b.Calls {
		if !wanted(place) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = b.Calls[place].appendAs(dst, place)
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
		dst = append(appendPlace(append(dst, `"id":`...), place), ',')
	}
	dst = append(append(append(dst, `"method":"`...), c.Method...), '"')
	if c.Params != nil {
		dst = append(append(dst, `,"params":`...), c.Params...)
	}
	return append(dst, '}')
}
