package jsonrpc

import (
	"bytes"
	"errors"
	"strconv"
)

// ErrAnswer is an answer that does not fit the calls.
var ErrAnswer = errors.New("jsonrpc: the answer does not fit the calls")

// Answer is what came back for one call.
type Answer struct {
	// Body is the member after the id: `"result":...` or `"error":...` with
	// whatever else the provider sent, as it came; nil = no answer.
	Body []byte
	// Result is the result's value, nil for an error.
	Result []byte
}

// Plain reports whether the answer holds a result and nothing else, so that the
// result is all there is to store.
func (a *Answer) Plain() bool { return a.Result != nil && a.Body == nil }

// ParseAnswer reads the provider's answer to an AppendRequest into answers, one
// for each place, which must be empty. Places that were not asked for, ids that
// are no places, and ids that come twice are ErrAnswer; so is an answer that a
// place lacks. A provider that refuses the batch as a whole answers with one
// object that has an error and a null id: single is it then.
func (b *Batch) ParseAnswer(body []byte, answers []Answer, wanted func(place int) bool) (single []byte, err error) {
	v, rest, err := value(body)
	if err != nil {
		return nil, err
	}
	if len(skipSpace(rest)) > 0 {
		return nil, ErrSyntax
	}
	switch {
	case v[0] == '{' && b.IsArray:
		return v, nil
	case v[0] == '{':
		err = b.place(v, answers, wanted)
	case v[0] == '[' && b.IsArray:
		for list := inner(v); ; {
			one, rest, ok := element(list)
			if !ok {
				break
			}
			if err = b.place(one, answers, wanted); err != nil {
				return nil, err
			}
			list = rest
		}
	default:
		return nil, ErrAnswer
	}
	if err != nil {
		return nil, err
	}
	for place := range b.Calls {
		if wanted(place) && b.Calls[place].ID != nil && answers[place].Body == nil && answers[place].Result == nil {
			return nil, ErrAnswer
		}
	}
	return nil, nil
}

func (b *Batch) place(v []byte, answers []Answer, wanted func(int) bool) error {
	if v[0] != '{' {
		return ErrAnswer
	}
	var version, id, result, failure []byte
	plain := true
	for inside := inner(v); ; {
		key, v, rest, ok := member(inside)
		if !ok {
			break
		}
		inside = rest
		to := &result
		switch string(key) {
		case "jsonrpc":
			to = &version
		case "id":
			to = &id
		case "result":
		case "error":
			to = &failure
		default:
			plain = false
			continue
		}
		if *to != nil {
			return ErrAnswer
		}
		*to = v
	}
	place, err := strconv.Atoi(string(id)) // does not allocate: it does not keep it
	if err != nil || place < 0 || place >= len(b.Calls) || !wanted(place) || id[0] == '+' {
		return ErrAnswer
	}
	a := &answers[place]
	if a.Body != nil || a.Result != nil {
		return ErrAnswer
	}
	if failure != nil && bytes.Equal(failure, null) {
		failure = nil // some send both, one of them null
	}
	switch {
	case failure != nil:
		a.Body = v
	case result == nil:
		return ErrAnswer
	case plain:
		a.Result = result
	default:
		a.Result, a.Body = result, v
	}
	return nil
}

var null = []byte("null")

// AppendAnswer appends the answer to the call with the caller's id in its place.
// A notification gets none.
func (c *Call) AppendAnswer(dst []byte, a *Answer) []byte {
	if c.ID == nil {
		return dst
	}
	if a.Body == nil {
		return AppendResult(dst, c.ID, a.Result)
	}
	// Not ours to take apart: only the id changes.
	dst = append(dst, '{')
	first := true
	for inside := inner(a.Body); ; {
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
		first = false
		dst = append(append(append(dst, '"'), key...), '"', ':')
		dst = append(dst, v...)
	}
}

// AppendResult appends an answer with a stored result.
func AppendResult(dst, id, result []byte) []byte {
	dst = append(append(dst, `{"jsonrpc":"2.0","id":`...), id...)
	dst = append(append(dst, `,"result":`...), result...)
	return append(dst, '}')
}

// AppendAnswers appends the answer to the whole batch, in the order of its
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

func appendPlace(dst []byte, place int) []byte { return strconv.AppendInt(dst, int64(place), 10) }
