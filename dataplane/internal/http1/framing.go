package http1

import "errors"

// ErrFraming is a head whose fields do not say, or do not agree on, where its
// body ends.
var ErrFraming = errors.New("http1: contradictory or unsupported Content-Length or Transfer-Encoding")

// framing is what the fields of a head say about the body and the connection.
type framing struct {
	length             int64 // bytes
	hasLength, chunked bool
	close              bool
}

// parseFraming reads the framing of an HTTP/1.minor message (RFC 9112 §6).
// Content-Length beside Transfer-Encoding, which the RFC would let pass, is
// refused: it is how requests and responses are smuggled.
func parseFraming(minor byte, fields []Field) (f framing, err error) {
	for i := range fields {
		name, value := fields[i].Name, fields[i].Value
		switch {
		case EqualFold(name, "content-length"):
			n, ok := parseLength(value)
			if !ok || f.hasLength && n != f.length {
				return f, ErrFraming
			}
			f.length, f.hasLength = n, true
		case EqualFold(name, "transfer-encoding"):
			if f.chunked || minor == 0 || !EqualFold(value, "chunked") {
				return f, ErrFraming
			}
			f.chunked = true
		case EqualFold(name, "connection"):
			f.close = f.close || HasToken(value, "close")
		}
	}
	if f.chunked && f.hasLength {
		return f, ErrFraming
	}
	return f, nil
}

// parseLength reads a Content-Length: digits only, at most 2^63-1.
func parseLength(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > len("9223372036854775807") {
		return 0, false
	}
	for _, c := range b {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (1<<63-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
