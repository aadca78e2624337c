package jsonrpc

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrAnswer is an answer that does not fit the calls.
var ErrAnswer = errors.New("jsonrpc: the provider's answer does not fit the calls: an id is wrong, missing or there twice")

// Answer is what is known of one call: a stored result, or what the provider
// answered.
type Answer struct {
	Result []byte // the result's value; nil for an error
	Raw    []byte // the provider's whole object as it came; nil for a stored result

	id    []byte // in Raw
	plain bool   // Raw holds a version, an id and a result, and nothing else
}

// Plain reports whether the answer came as a result and nothing else, so that
// the result is all there is to store.
func (a *Answer) Plain() bool { return a.plain }

// ParseAnswer reads the provider's answer to the calls that were Asked into the
// answers at their places; there is one for each call, and those are empty. ids
// that are not of a call, or come twice, are ErrAnswer; so is a call that is left
// without an answer. A provider that refuses a batch as a whole answers with one
// error without an id: refused is true then, and no answer is filled in. Calls
// that are all notifications fit whatever comes.
func (b *Batch) ParseAnswer(body []byte, answers []Answer) (refused bool, err error) {
	expected := 0
	for i := range b.Calls {
		if b.Calls[i].Asked && b.Calls[i].ID != nil {
			expected++
		}
	}
	if expected == 0 {
		return false, nil
	}
	v, rest, err := value(body)
	if err != nil {
		return false, err
	}
	if len(skipSpace(rest)) > 0 {
		return false, ErrSyntax
	}
	switch {
	case v[0] == '{' && b.IsArray:
		if refusal := lookup(v, "error"); len(refusal) > 0 && refusal[0] == '{' && Anonymous(v) {
			return true, nil
		}
		return false, ErrAnswer
	case v[0] == '{':
		_, err = b.place(v, answers, 0)
		return false, err
	case v[0] != '[' || !b.IsArray:
		return false, ErrAnswer
	}
	next := 0 // most providers answer in order
	for list := inner(v); ; expected-- {
		one, rest, ok := element(list)
		if !ok {
			break
		}
		if next, err = b.place(one, answers, next); err != nil {
			return false, err
		}
		list = rest
	}
	if expected != 0 {
		return false, ErrAnswer
	}
	return false, nil
}

// place puts an answer where its call is, and returns the place after it. The
// search for that begins at hint.
func (b *Batch) place(v []byte, answers []Answer, hint int) (next int, err error) {
	a, err := parseAnswer(v)
	if err != nil {
		return 0, err
	}
	place, ok := b.find(a.id, hint)
	if !ok || answers[place].Raw != nil {
		return 0, ErrAnswer
	}
	answers[place] = a
	return place + 1, nil
}

func parseAnswer(v []byte) (a Answer, err error) {
	if v[0] != '{' {
		return a, ErrAnswer
	}
	a.Raw, a.plain = v, true
	var version, failure []byte
	for inside := inner(v); ; {
		key, v, rest, ok := member(inside)
		if !ok {
			break
		}
		inside = rest
		to := &a.Result
		switch string(key) {
		case "jsonrpc":
			to = &version
		case "id":
			to = &a.id
		case "result":
		case "error":
			to = &failure
		default:
			a.plain = false
			continue
		}
		if *to != nil {
			return a, ErrAnswer
		}
		*to = v
	}
	switch {
	case failure != nil && !bytes.Equal(failure, null): // some send both, one of them null
		a.Result, a.plain = nil, false
	case a.Result == nil:
		return a, ErrAnswer
	}
	return a, nil
}

var null = []byte("null")

// find is the place of the call that an answer's id is of.
func (b *Batch) find(id []byte, hint int) (place int, ok bool) {
	if b.Own {
		place, err := strconv.Atoi(string(id)) // does not allocate: it does not keep it
		ok = err == nil && place >= 0 && place < len(b.Calls) && id[0] != '-' && b.Calls[place].Asked && b.Calls[place].ID != nil
		return place, ok
	}
	for i := range b.Calls {
		place = (hint + i) % len(b.Calls)
		if c := &b.Calls[place]; c.Asked && c.ID != nil && bytes.Equal(c.ID, id) {
			return place, true
		}
	}
	return 0, false
}

// Anonymous reports whether an answer names no call: it is one object with no id,
// or a null one, or no JSON and nothing that looks like an id.
func Anonymous(body []byte) bool {
	v, rest, err := value(body)
	if err != nil || len(skipSpace(rest)) > 0 || v[0] != '{' {
		return !bytes.Contains(body, []byte(`"id"`))
	}
	named := 0
	for inside := inner(v); ; {
		key, v, rest, ok := member(inside)
		if !ok {
			return named <= 1
		}
		if string(key) == "id" {
			if named++; !bytes.Equal(v, null) {
				return false
			}
		}
		inside = rest
	}
}

// AppendAnswer appends the answer to the call with the caller's id in it. A
// notification gets none.
func (c *Call) AppendAnswer(dst []byte, a *Answer) []byte {
	switch {
	case c.ID == nil:
		return dst
	case a.Raw == nil:
		dst = append(append(dst, `{"jsonrpc":"2.0","id":`...), c.ID...)
		dst = append(append(dst, `,"result":`...), a.Result...)
		return append(dst, '}')
	case bytes.Equal(a.id, c.ID):
		return append(dst, a.Raw...)
	}
	// Not ours to take apart: only the id changes.
	dst = append(dst, '{')
	for inside, first := inner(a.Raw), true; ; first = false {
		key, v, rest, ok := member(inside)
		if !ok {
			return append(dst, '}')
		}
		inside = rest
		if string(key) == "id" {
			v = c.ID
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), key...), '"', ':')
		dst = append(dst, v...)
	}
}

// AppendAnswers appends the answer to the whole request, in the order of its
// calls. It is empty if all of them were notifications, as JSON-RPC wants it.
func (b *Batch) AppendAnswers(dst []byte, answers []Answer) []byte {
	if !b.IsArray {
		return b.Calls[0].AppendAnswer(dst, &answers[0])
	}
	start := len(dst)
	for i := range b.Calls {
		if b.Calls[i].ID == nil {
			continue
		}
		if len(dst) == start {
			dst = append(dst, '[')
		} else {
			dst = append(dst, ',')
		}
		dst = b.Calls[i].AppendAnswer(dst, &answers[i])
	}
	if len(dst) > start {
		dst = append(dst, ']')
	}
	return dst
}
