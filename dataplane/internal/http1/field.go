// Package http1 parses the parts of HTTP/1.1 messages that the node reads
// itself: field lines of both sides, status lines, what a request's fields say
// about its host and framing, and the bodies of upstream responses (RFC 9110
// §5, RFC 9112). It is strict on purpose: what two parsers could read
// differently is an error here, so that what was checked is what the next hop
// sees. Pure: it works on bytes and readers, keeps no state and allocates
// nothing after its buffers have grown.
package http1

import (
	"bytes"
	"errors"
)

// Field is one header field. Both slices point into the parsed block.
type Field struct {
	Name, Value []byte
}

// Errors of the parsers. Each names one fault, so that a log line tells an
// operator what the peer did.
var (
	ErrLineEnd    = errors.New("http1: a line of the head does not end in CRLF")
	ErrFold       = errors.New("http1: folded header line")
	ErrNoColon    = errors.New("http1: header line without a colon")
	ErrFieldName  = errors.New("http1: header name is empty or not a token")
	ErrFieldValue = errors.New("http1: control byte in a header value")
	ErrTooMany    = errors.New("http1: too many header lines")
)

// MaxFields bounds the lines of one head.
const MaxFields = 256

// ParseFields appends the fields of block to dst, which may hold MaxFields in
// all. The block is a sequence of lines, each ended by CRLF; an empty line ends
// it early. The result points into block.
func ParseFields(dst []Field, block []byte) ([]Field, error) {
	for len(block) > 0 {
		end := bytes.IndexByte(block, '\n')
		if end < 1 || block[end-1] != '\r' {
			return dst, ErrLineEnd
		}
		line := block[:end-1]
		block = block[end+1:]
		if len(line) == 0 {
			break
		}
		f, err := parseField(line)
		if err != nil {
			return dst, err
		}
		if len(dst) >= MaxFields {
			return dst, ErrTooMany
		}
		dst = append(dst, f)
	}
	return dst, nil
}

func parseField(line []byte) (Field, error) {
	if line[0] == ' ' || line[0] == '\t' {
		return Field{}, ErrFold
	}
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		return Field{}, ErrNoColon
	}
	name := line[:colon]
	if !IsToken(name) {
		return Field{}, ErrFieldName
	}
	value := trimOWS(line[colon+1:])
	if hasControl(value) {
		return Field{}, ErrFieldValue
	}
	return Field{Name: name, Value: value}, nil
}

// hasControl finds what no field value, reason or chunk extension may hold: a
// control byte other than the tab (RFC 9110 §5.5). Bytes from 0x80 may pass.
func hasControl(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return true
		}
	}
	return false
}

// IsToken reports whether b is a token (RFC 9110 §5.6.2).
func IsToken(b []byte) bool {
	for _, c := range b {
		if !tokenByte[c] {
			return false
		}
	}
	return len(b) > 0
}

var tokenByte = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

// EqualFold compares a field name with a lower-case constant. Only ASCII
// letters fold, as in RFC 9110 §5.1.
func EqualFold(name []byte, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// Get returns the value of the first field of that lower-case name.
func Get(fields []Field, lower string) ([]byte, bool) {
	for _, f := range fields {
		if EqualFold(f.Name, lower) {
			return f.Value, true
		}
	}
	return nil, false
}

// HasToken reports whether a comma-separated list (Connection, TE, ...) holds
// the lower-case token, in any case.
func HasToken(list []byte, lower string) bool {
	for len(list) > 0 {
		var item []byte
		item, list = NextItem(list)
		if EqualFold(item, lower) {
			return true
		}
	}
	return false
}

// NextItem splits the first element off a comma-separated list.
func NextItem(list []byte) (item, rest []byte) {
	if i := bytes.IndexByte(list, ','); i >= 0 {
		return trimOWS(list[:i]), list[i+1:]
	}
	return trimOWS(list), nil
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
