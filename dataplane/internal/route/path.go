package route

import (
	"bytes"
	"encoding/hex"
	"errors"
)

// Errors of Split. The client sees them, so they name the fault only.
var (
	ErrForm     = errors.New("the request target is not an absolute path")
	ErrByte     = errors.New("the request target holds a control byte, a space or a fragment")
	ErrEscape   = errors.New("the path holds a malformed or forbidden percent escape")
	ErrSegments = errors.New("the path holds a dot segment")
)

// Split checks a request target in origin-form (RFC 9112 §3.2.1) and cuts it at
// the first question mark; query is nil if there is none. The bytes are not
// changed: routing, limits, the cache key, the log and the upstream all see the
// same ones. Because an upstream may decode them, once or again and again,
// whatever some decoder could take for a dot segment is refused, be it written
// with escapes, backslashes, path parameters ("..;") or overlong UTF-8.
func Split(target []byte) (path, query []byte, err error) {
	if len(target) == 0 || target[0] != '/' {
		return nil, nil, ErrForm
	}
	suspect := false
	for _, c := range target {
		switch {
		case c <= ' ' || c == 0x7f || c == '#':
			return nil, nil, ErrByte
		case c == '.' || c == '%' || c == '\\' || c >= 0x80:
			suspect = true
		}
	}
	path = target
	if i := bytes.IndexByte(target, '?'); i >= 0 {
		path, query = target[:i], target[i+1:]
	}
	if suspect {
		err = check(path)
	}
	return path, query, err
}

func check(path []byte) error {
	if bytes.IndexByte(path, '%') >= 0 {
		if !validEscapes(path) {
			return ErrEscape
		}
		var small [512]byte
		path = unescape(small[:], path)
	}
	for i, c := range path {
		if c < ' ' || c == 0x7f || isOverlong(path[i:]) {
			return ErrEscape
		}
	}
	if hasDotSegment(path) {
		return ErrSegments
	}
	return nil
}

func validEscapes(path []byte) bool {
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			if _, ok := escaped(path[i+1:]); !ok {
				return false
			}
			i += 2
		}
	}
	return true
}

// unescape resolves all escapes, those of escapes too ("%252e" is "."), in one
// pass from the right: what stands behind a percent sign is resolved already.
// It uses buf if that is as long as path.
func unescape(buf, path []byte) []byte {
	if len(buf) < len(path) {
		buf = make([]byte, len(path))
	}
	top := len(buf) // buf[top:] is resolved
	for i := len(path) - 1; i >= 0; i-- {
		c := path[i]
		for c == '%' {
			plain, ok := escaped(buf[top:])
			if !ok {
				break
			}
			c, top = plain, top+2
		}
		top--
		buf[top] = c
	}
	return buf[top:]
}

// escaped is the byte whose two hex digits b begins with.
func escaped(b []byte) (c byte, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	var dst [1]byte
	_, err := hex.Decode(dst[:], b[:2])
	return dst[0], err == nil
}

// isOverlong finds a character written with more bytes than it needs, such as
// C0 AE for "." (RFC 3629 §10).
func isOverlong(b []byte) bool {
	if len(b) < 2 || b[1]&0xc0 != 0x80 {
		return false
	}
	return b[0] == 0xc0 || b[0] == 0xc1 || b[0] == 0xe0 && b[1] < 0xa0 || b[0] == 0xf0 && b[1] < 0x90
}

func hasDotSegment(path []byte) bool {
	dots, other := 0, false // what the segment holds so far
	for _, c := range path {
		switch c {
		case '/', '\\', ';':
			if isDots(dots, other) {
				return true
			}
			// What follows a semicolon belongs to the same segment, but a
			// decoder that drops it sees the part before as the whole.
			dots, other = 0, c == ';'
		case '.':
			dots++
		default:
			other = true
		}
	}
	return isDots(dots, other)
}

func isDots(dots int, other bool) bool { return !other && (dots == 1 || dots == 2) }
