package route

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		target, path, query string
		err                 error
	}{
		// Kept as they are: the usual, double slashes, a slash at the end.
		{"/", "/", "", nil},
		{"/p/x", "/p/x", "", nil},
		{"/p//x", "/p//x", "", nil},
		{"//p", "//p", "", nil},
		{"/p/", "/p/", "", nil},
		// The first question mark cuts; a later one belongs to the query.
		{"/p?a=1", "/p", "a=1", nil},
		{"/p?a?b", "/p", "a?b", nil},
		{"/p?", "/p", "", nil},
		// What looks like dots or a bad escape in the query is only data.
		{"/p?a=../..&b=%zz", "/p", "a=../..&b=%zz", nil},
		// Dots that make no dot segment.
		{"/p/a.b/.c/d./...", "/p/a.b/.c/d./...", "", nil},
		{"/p/..a/b..", "/p/..a/b..", "", nil},
		{"/p/a..;/", "/p/a..;/", "", nil},
		{"/p/a;../;..", "/p/a;../;..", "", nil},
		// Escapes are not undone, not even an escaped slash, and their case stays.
		{"/p%2fx", "/p%2fx", "", nil},
		{"/p%2Fx", "/p%2Fx", "", nil},
		{"/p/%61%7e", "/p/%61%7e", "", nil},
		{"/p/a%2eb", "/p/a%2eb", "", nil},
		{"/p/%e9", "/p/%e9", "", nil},
		{"/p/%25", "/p/%25", "", nil},
		{"/p/100%25zz", "/p/100%25zz", "", nil},
		{"/p/https%253A%252F%252Fa.test%252Fb", "/p/https%253A%252F%252Fa.test%252Fb", "", nil},
		{"/p/a%3fb%23c", "/p/a%3fb%23c", "", nil},
		// Path parameters, backslashes between names, "@", raw non-ASCII.
		{"/p/a;b=c/x", "/p/a;b=c/x", "", nil},
		{"/p\\x", "/p\\x", "", nil},
		{"/p%5cx", "/p%5cx", "", nil},
		{"/@evil/", "/@evil/", "", nil},
		{"/p/caf\xc3\xa9/\xff", "/p/caf\xc3\xa9/\xff", "", nil},

		// Other forms of a target: asterisk, absolute, authority, none.
		{"*", "", "", ErrForm},
		{"http://a.test/p", "", "", ErrForm},
		{"file:///p", "", "", ErrForm},
		{"a.test:443", "", "", ErrForm},
		{"@evil/p", "", "", ErrForm},
		{"?a=1", "", "", ErrForm},
		{"p", "", "", ErrForm},
		{"", "", "", ErrForm},
		// A fragment, space and control bytes, in path and query.
		{"/p#f", "", "", ErrByte},
		{"/p?a#f", "", "", ErrByte},
		{"/p x", "", "", ErrByte},
		{"/p?a b", "", "", ErrByte},
		{"/p\x00", "", "", ErrByte},
		{"/p\t", "", "", ErrByte},
		{"/p\r\nX: y", "", "", ErrByte},
		{"/p?\x7f", "", "", ErrByte},
		// Escapes that are none, and escaped control bytes.
		{"/p/%zz", "", "", ErrEscape},
		{"/p/%2", "", "", ErrEscape},
		{"/p/%", "", "", ErrEscape},
		{"/p/%%32e", "", "", ErrEscape},
		{"/p/%u002e", "", "", ErrEscape},
		{"/p/%00", "", "", ErrEscape},
		{"/p/%0d%0aX:y", "", "", ErrEscape},
		{"/p/%7f", "", "", ErrEscape},
		{"/p/%2500", "", "", ErrEscape},
		// Overlong UTF-8 of ".", "/" and "\", escaped or raw.
		{"/p/%c0%ae%c0%ae/", "", "", ErrEscape},
		{"/p/..%c0%af", "", "", ErrEscape},
		{"/p/%c1%9c", "", "", ErrEscape},
		{"/p/%e0%80%ae", "", "", ErrEscape},
		{"/p/%f0%80%80%ae", "", "", ErrEscape},
		{"/p/%25c0%25ae", "", "", ErrEscape},
		{"/p/\xc0\xae", "", "", ErrEscape},
		// Dot segments: in the middle, at the end, alone.
		{"/p/../x", "", "", ErrSegments},
		{"/p/./x", "", "", ErrSegments},
		{"/p/..", "", "", ErrSegments},
		{"/p/.", "", "", ErrSegments},
		{"/..", "", "", ErrSegments},
		{"/p//../x", "", "", ErrSegments},
		{"/p/..?a=1", "", "", ErrSegments},
		// Escaped, once or in part.
		{"/p/%2e%2e/x", "", "", ErrSegments},
		{"/p/%2E./x", "", "", ErrSegments},
		{"/p/.%2e", "", "", ErrSegments},
		{"/p%2f..%2fx", "", "", ErrSegments},
		{"/p/..%2fx", "", "", ErrSegments},
		// Escaped twice, three times, and with escaped digits.
		{"/p/%252e%252e/x", "", "", ErrSegments},
		{"/p/%25252e%25252E/x", "", "", ErrSegments},
		{"/p/%25%32%65./x", "", "", ErrSegments},
		{"/p/x%252f..%252fy", "", "", ErrSegments},
		// Behind a bad escape that only a lenient decoder gets past.
		{"/p/%25zz/%252e%252e/x", "", "", ErrSegments},
		// Backslashes as slashes.
		{"/p/..\\x", "", "", ErrSegments},
		{"/p\\..\\x", "", "", ErrSegments},
		{"/p%5c..%5cx", "", "", ErrSegments},
		// Path parameters behind dots.
		{"/p/..;/x", "", "", ErrSegments},
		{"/p/..;a=b/x", "", "", ErrSegments},
		{"/p/.;/x", "", "", ErrSegments},
		{"/p/%2e%2e%3b/x", "", "", ErrSegments},
		{"/p/..;", "", "", ErrSegments},
		{"/p/a;/../x", "", "", ErrSegments},
	} {
		p, q, err := Split([]byte(tc.target))
		if errors.Is(err, ErrEscape) || errors.Is(err, ErrSegments) {
			tc.path, tc.query, _ = strings.Cut(tc.target, "?") // for the log
		}
		if !errors.Is(err, tc.err) || string(p) != tc.path || string(q) != tc.query {
			t.Errorf("Split(%q) = %q, %q, %v; want %q, %q, %v", tc.target, p, q, err, tc.path, tc.query, tc.err)
		}
		if marked := strings.Contains(tc.target, "?"); err == nil && (q != nil) != marked {
			t.Errorf("Split(%q): query nil is %v", tc.target, q == nil)
		}
	}
}

// A path longer than the buffer on the stack is judged alike.
func TestSplitLongPath(t *testing.T) {
	long := "/p/" + strings.Repeat("%61", 1000)
	if p, _, err := Split([]byte(long)); err != nil || string(p) != long {
		t.Errorf("a long path: %v", err)
	}
	if _, _, err := Split([]byte(long + "/%2e%2e")); !errors.Is(err, ErrSegments) {
		t.Errorf("a long path with a dot segment: %v", err)
	}
	nested := "/p/%" + strings.Repeat("25", 20000) + "2e/"
	if _, _, err := Split([]byte(nested)); !errors.Is(err, ErrSegments) {
		t.Errorf("a dot escaped 20000 times over: %v", err)
	}
}

// No path that is accepted leaves its provider, however often the upstream
// decodes it before it resolves dot segments.
func TestAcceptedPathStaysInItsPrefix(t *testing.T) {
	piece := rapid.SampledFrom([]string{
		".", "..", "/", "\\", ";", "%", "25", "2e", "2f", "5c", "3b", "32", "65", "%2e", "%2f", "%5c", "%252e", "%25", "%", "a", "zz", "%c0%ae",
	})
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		target := "/p/" + strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		p, _, err := Split([]byte(target))
		if err != nil {
			return
		}
		accepted++
		checkStays(t, string(p))
	})
	if accepted == 0 {
		t.Error("no path was accepted, so nothing was checked")
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"/p/%252e%252e/x?y", "/p/..;/x", "/p/\\..\\", "/p/%c0%ae", "*"} {
		f.Add([]byte(strings.TrimPrefix(s, "/p/")))
	}
	f.Fuzz(func(t *testing.T, rest []byte) {
		_, _, _ = Split(rest)
		target := append([]byte("/p/"), rest...)
		p, query, err := Split(target)
		if err != nil {
			return
		}
		again := string(p)
		if query != nil {
			again += "?" + string(query)
		}
		if again != string(target) {
			t.Fatalf("%q became %q", target, again)
		}
		checkStays(t, string(p))
	})
}

func checkStays(t interface{ Fatalf(string, ...any) }, p string) {
	for decoded := p; ; {
		for _, reading := range []string{decoded, strings.ReplaceAll(decoded, "\\", "/"), withoutParameters(decoded)} {
			if clean := path.Clean(reading) + "/"; !strings.HasPrefix(clean, "/p/") {
				t.Fatalf("%q, read as %q, leads to %q", p, reading, clean)
			}
		}
		next, err := url.PathUnescape(decoded)
		if err != nil || next == decoded {
			return
		}
		decoded = next
	}
}

// withoutParameters reads a path like servers that drop ";..." from each segment.
func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}
