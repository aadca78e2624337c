package logfile

import "unicode/utf8"

// AppendString appends s to dst as a JSON string, quotes included (RFC 8259
// §7), and returns the extended buffer. Each byte that is not UTF-8 becomes
// \ufffd, so that any reader can parse what a stranger sent. The result is that
// of encoding/json without HTML escaping; it does not allocate if dst has room.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	start := 0 // of the bytes that need no escape
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		// The conversion of so few bytes stays on the stack.
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		broken := r == utf8.RuneError && size == 1
		endsLine := r == '\u2028' || r == '\u2029' // in JavaScript
		if r >= utf8.RuneSelf && !broken && !endsLine {
			i += size
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, r)
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape writes a code point of at most 16 bits.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', hex[r>>12&0xf], hex[r>>8&0xf], hex[r>>4&0xf], hex[r&0xf])
}
