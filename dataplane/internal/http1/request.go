package http1

import (
	"bytes"
	"errors"
)

// Errors of CheckRequest besides ErrFraming.
var (
	ErrVersion = errors.New("http1: the version is neither HTTP/1.1 nor HTTP/1.0")
	ErrHost    = errors.New("http1: the Host field is missing, repeated or not a host with an optional port")
)

// CheckRequest refuses a request head that two servers on its way could take for
// two different requests: another version than proto "HTTP/1.1" or "HTTP/1.0",
// other than one plain Host (RFC 9112 §3.2), contradictory framing (§6).
func CheckRequest(proto []byte, fields []Field) error {
	var minor byte
	switch string(proto) {
	case "HTTP/1.1":
		minor = 1
	case "HTTP/1.0":
	default:
		return ErrVersion
	}
	hosts := 0
	for i := range fields {
		if EqualFold(fields[i].Name, "host") {
			hosts++
			if hosts > 1 || !isHost(fields[i].Value) {
				return ErrHost
			}
		}
	}
	if hosts == 0 && minor == 1 {
		return ErrHost
	}
	_, err := parseFraming(minor, fields)
	return err
}

// isHost accepts a name, an IPv4 address or an IPv6 address in brackets, with an
// optional port. The grammar of RFC 3986 §3.2.2 would allow escapes and commas
// too, which no name in use has and which every parser reads differently.
func isHost(b []byte) bool {
	end := bytes.IndexByte(b, ':')
	if len(b) > 0 && b[0] == '[' {
		end = bytes.IndexByte(b, ']') + 1
		return end > 2 && only(b[1:end-1], isAddrByte) && (end == len(b) || isPort(b[end:]))
	}
	if end < 0 {
		end = len(b)
	}
	return end > 0 && only(b[:end], isNameByte) && (end == len(b) || isPort(b[end:]))
}

func only(b []byte, is func(byte) bool) bool {
	for _, c := range b {
		if !is(c) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

func isAddrByte(c byte) bool { return hexDigit(c) >= 0 || c == ':' || c == '.' }

// isPort accepts ":" and a number up to 65535; the number may be missing
// (RFC 3986 §3.2.3).
func isPort(b []byte) bool {
	if b[0] != ':' || len(b) == 1 {
		return b[0] == ':'
	}
	n, ok := parseLength(b[1:])
	return ok && n <= 65535
}
