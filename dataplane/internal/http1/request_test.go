package http1

import (
	"errors"
	"testing"
)

func TestCheckRequest(t *testing.T) {
	const host = "Host: a.test\r\n"
	for _, tc := range []struct {
		proto, block string
		err          error
	}{
		// The usual ones.
		{"HTTP/1.1", host, nil},
		{"HTTP/1.1", host + "Content-Length: 0\r\n", nil},
		{"HTTP/1.1", host + "Content-Length: 9223372036854775807\r\n", nil},
		{"HTTP/1.1", host + "Transfer-Encoding: Chunked\r\n", nil},
		// Two equal lengths are one.
		{"HTTP/1.1", host + "Content-Length: 5\r\nContent-Length: 5\r\n", nil},
		// HTTP/1.0 knows no Host.
		{"HTTP/1.0", "", nil},
		{"HTTP/1.0", host + "Content-Length: 5\r\n", nil},

		// Versions that are not ours, or none.
		{"HTTP/1.2", host, ErrVersion},
		{"HTTP/2.0", host, ErrVersion},
		{"HTTP/0.9", host, ErrVersion},
		{"http/1.1", host, ErrVersion},
		{"", host, ErrVersion},

		// Length and chunks, in both orders.
		{"HTTP/1.1", host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", ErrFraming},
		// Two different lengths, a list, signs, hex, nothing, a value above 2^63-1.
		{"HTTP/1.1", host + "Content-Length: 5\r\nContent-Length: 6\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: 5, 5\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: +3\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: -1\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: 0x3\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length:\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: 9223372036854775808\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: 18446744073709551619\r\n", ErrFraming},
		{"HTTP/1.1", host + "Content-Length: 5\t5\r\n", ErrFraming},
		// Any other coding than one "chunked", and any coding in HTTP/1.0.
		{"HTTP/1.1", host + "Transfer-Encoding: identity\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: xchunked\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: gzip, chunked\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: chunked, chunked\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: \"chunked\"\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding: chunked;a=b\r\n", ErrFraming},
		{"HTTP/1.1", host + "Transfer-Encoding:\r\n", ErrFraming},
		{"HTTP/1.0", "Transfer-Encoding: chunked\r\n", ErrFraming},

		// No Host, two (equal or not).
		{"HTTP/1.1", "", ErrHost},
		{"HTTP/1.1", host + host, ErrHost},
		{"HTTP/1.1", host + "host: b.test\r\n", ErrHost},
		{"HTTP/1.0", host + host, ErrHost},
	} {
		fields, err := ParseFields(nil, []byte(tc.block))
		if err != nil {
			t.Fatalf("%q: %v", tc.block, err)
		}
		if err := CheckRequest([]byte(tc.proto), fields); !errors.Is(err, tc.err) {
			t.Errorf("%s %q: error %v, want %v", tc.proto, tc.block, err, tc.err)
		}
	}
}

func TestHost(t *testing.T) {
	for host, want := range map[string]bool{
		"a.test":                 true,
		"A-b_c.test.":            true,
		"localhost:8080":         true,
		"127.0.0.1:80":           true,
		"[2001:db8::1]":          true,
		"[::ffff:1.2.3.4]:65535": true,
		"a.test:":                true, // an empty port is the default one

		"":              false,
		":80":           false,
		"a@b.test":      false, // user information
		"a:b@c.test":    false,
		"a.test/x":      false,
		"a.test, b":     false, // a list
		"a b":           false,
		"a.test:99999":  false,
		"a.test:-1":     false,
		"a.test:80:80":  false,
		"a.test:8o":     false,
		"a%2etest":      false,
		"caf\xc3\xa9":   false,
		"2001:db8::1":   false,
		"[]":            false,
		"[::1":          false,
		"[::1]x":        false,
		"[::1]80":       false,
		"[fe80::1%25a]": false,
		"http://a.test": false,
		"a.test?x":      false,
		"a.test#x":      false,
		"a\\b":          false,
	} {
		if got := isHost([]byte(host)); got != want {
			t.Errorf("isHost(%q) = %v, want %v", host, got, want)
		}
	}
}
