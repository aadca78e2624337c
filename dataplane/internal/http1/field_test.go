package http1

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestParseFields(t *testing.T) {
	for _, tc := range []struct {
		block string
		want  string // the fields as "name=value", joined by "|"
		err   error
	}{
		// Space and tab around a value are not part of it; inside they are.
		{"A: 1\r\nb:2\r\nC:\t x \t y \t\r\n", "A=1|b=2|C=x \t y", nil},
		// A value may be empty.
		{"A:\r\nB: \r\n", "A=|B=", nil},
		// A value may hold colons.
		{"Host: a.test:80\r\n", "Host=a.test:80", nil},
		// Every byte of a token may be in a name.
		{"!#$%&'*+-.^_`|~09azAZ: x\r\n", "!#$%&'*+-.^_`|~09azAZ=x", nil},
		// Bytes from 0x80 in a value are opaque data.
		{"A: caf\xc3\xa9 \xff\r\n", "A=caf\xc3\xa9 \xff", nil},
		// The same name twice is two fields, in order.
		{"A: 1\r\na: 2\r\n", "A=1|a=2", nil},
		// The empty line ends the head; there may be none, or nothing else.
		{"A: 1\r\n\r\nB: 2\r\n", "A=1", nil},
		{"\r\n", "", nil},
		{"", "", nil},

		// A bare LF ends no line, neither the first nor a later one.
		{"A: 1\n", "", ErrLineEnd},
		{"A: 1\r\nB: 2\nC: 3\r\n", "", ErrLineEnd},
		{"\n", "", ErrLineEnd},
		{"A: 1\r\n\n", "", ErrLineEnd},
		// A cut line is not a line.
		{"A: 1", "", ErrLineEnd},
		{"A: 1\r", "", ErrLineEnd},
		// Folded lines: on the first line, on a later one, with a tab, empty.
		{" A: 1\r\n", "", ErrFold},
		{"A: 1\r\n 2\r\n", "", ErrFold},
		{"Transfer-Encoding:\r\n\tchunked\r\n", "", ErrFold},
		{"A: 1\r\n \r\n", "", ErrFold},
		// A line without a colon.
		{"A\r\n", "", ErrNoColon},
		{"GET / HTTP/1.1\r\n", "", ErrNoColon},
		// Space or tab before the colon, space inside a name.
		{"A : 1\r\n", "", ErrFieldName},
		{"A\t: 1\r\n", "", ErrFieldName},
		{"X Foo: 1\r\n", "", ErrFieldName},
		// An empty name, one that is not a token, one with a byte from 0x80.
		{": 1\r\n", "", ErrFieldName},
		{"A(b): 1\r\n", "", ErrFieldName},
		{"\"A\": 1\r\n", "", ErrFieldName},
		{"A\x80: 1\r\n", "", ErrFieldName},
		// NUL and bare CR in a name.
		{"A\x00: 1\r\n", "", ErrFieldName},
		{"A\rB: 1\r\n", "", ErrFieldName},
		// NUL, bare CR (also the last byte), vertical tab and DEL in a value.
		{"A: 1\x002\r\n", "", ErrFieldValue},
		{"A: 1\rB: 2\r\n", "", ErrFieldValue},
		{"A: 1\r\r\n", "", ErrFieldValue},
		{"A: \vchunked\r\n", "", ErrFieldValue},
		{"A: \x7f\r\n", "", ErrFieldValue},
		// As many lines as there may be, and one more.
		{strings.Repeat("a:\r\n", MaxFields), strings.Repeat("a=|", MaxFields-1) + "a=", nil},
		{strings.Repeat("a:\r\n", MaxFields+1), "", ErrTooMany},
	} {
		fields, err := ParseFields(nil, []byte(tc.block))
		if !errors.Is(err, tc.err) {
			t.Errorf("%.60q: error %v, want %v", tc.block, err, tc.err)
		}
		if err == nil && describe(fields) != tc.want {
			t.Errorf("%.60q: %q, want %q", tc.block, describe(fields), tc.want)
		}
	}
}

func describe(fields []Field) string {
	var parts []string
	for _, f := range fields {
		parts = append(parts, fmt.Sprintf("%s=%s", f.Name, f.Value))
	}
	return strings.Join(parts, "|")
}

func serialise(fields []Field) []byte {
	var b []byte
	for _, f := range fields {
		b = fmt.Appendf(b, "%s: %s\r\n", f.Name, f.Value)
	}
	return b
}

func TestEqualFold(t *testing.T) {
	for _, tc := range []struct {
		name, lower string
		want        bool
	}{
		{"Content-Length", "content-length", true},
		{"CONTENT-LENGTH", "content-length", true},
		{"content-length", "content-lengths", false},
		{"content_length", "content-length", false},
		// Only ASCII letters fold: not the Kelvin sign, not "[" with "{".
		{"\u212aeep-alive", "keep-alive", false},
		{"a[", "a{", false},
		{"", "", true},
	} {
		if got := EqualFold([]byte(tc.name), tc.lower); got != tc.want {
			t.Errorf("EqualFold(%q, %q) = %v", tc.name, tc.lower, got)
		}
	}
}

func TestHasToken(t *testing.T) {
	for _, tc := range []struct {
		list string
		want bool
	}{
		{"close", true},
		{"Keep-Alive,\t Close ,x", true},
		{",,close,", true},
		{"closed", false},
		{"x close", false},
		{"", false},
	} {
		if got := HasToken([]byte(tc.list), "close"); got != tc.want {
			t.Errorf("HasToken(%q) = %v", tc.list, got)
		}
	}
}

func TestGet(t *testing.T) {
	fields, _ := ParseFields(nil, []byte("A: 1\r\nb: 2\r\nB: 3\r\n"))
	if v, ok := Get(fields, "b"); !ok || string(v) != "2" {
		t.Errorf("Get(b) = %q, %v; want the first", v, ok)
	}
	if v, ok := Get(fields, "c"); ok {
		t.Errorf("Get(c) = %q", v)
	}
}

// What is accepted reads the same again when it is written anew.
func FuzzFields(f *testing.F) {
	for _, s := range []string{
		"A: 1\r\nb:2\r\n\r\n", "A: 1\r\n 2\r\n", "A : 1\r\n", "A: \xff\r\n", "A: 1\n\n", ":\r\n", "a:\t \t\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		fields, err := ParseFields(nil, block)
		if err != nil {
			return
		}
		again, err := ParseFields(nil, serialise(fields))
		if err != nil || describe(again) != describe(fields) {
			t.Fatalf("%q became %q (%v)", describe(fields), describe(again), err)
		}
		for _, f := range fields {
			if !IsToken(f.Name) || bytes.ContainsAny(f.Value, "\x00\r\n") {
				t.Fatalf("accepted %q: %q", f.Name, f.Value)
			}
		}
	})
}
