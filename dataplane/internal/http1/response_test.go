package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"
)

func TestStatusLine(t *testing.T) {
	for _, tc := range []struct {
		line   string
		status int // 0 = refused
		minor  byte
	}{
		{"HTTP/1.1 200 OK", 200, 1},
		{"HTTP/1.0 404 Not Found", 404, 0},
		// The reason may be empty, with its space or without, and opaque.
		{"HTTP/1.1 200 ", 200, 1},
		{"HTTP/1.1 200", 200, 1},
		{"HTTP/1.1 200 caf\xc3\xa9\t!", 200, 1},
		// Statuses that nobody has defined yet.
		{"HTTP/1.1 599 x", 599, 1},
		{"HTTP/1.1 999 x", 999, 1},

		// Not a version that we speak.
		{"HTTP/2.0 200 OK", 0, 0},
		{"HTTP/1.2 200 OK", 0, 0},
		{"HTTP/1.10 200 OK", 0, 0},
		{"http/1.1 200 OK", 0, 0},
		{"ICY 200 OK", 0, 0},
		// Not three digits.
		{"HTTP/1.1 20 OK", 0, 0},
		{"HTTP/1.1 2000 OK", 0, 0},
		{"HTTP/1.1 +20 OK", 0, 0},
		{"HTTP/1.1 2x0 OK", 0, 0},
		{"HTTP/1.1 099 OK", 0, 0},
		{"HTTP/1.1 200OK", 0, 0},
		// Space in wrong places.
		{" HTTP/1.1 200 OK", 0, 0},
		{"HTTP/1.1  200 OK", 0, 0},
		{"HTTP/1.1\t200 OK", 0, 0},
		// A bare CR would begin another line for some.
		{"HTTP/1.1 200 OK\rX: y", 0, 0},
		{"HTTP/1.1 200 \x00", 0, 0},
		{"SSH-2.0-OpenSSH_9.2", 0, 0},
		{"", 0, 0},
	} {
		minor, status, err := parseStatusLine([]byte(tc.line))
		if status != tc.status || minor != tc.minor || (err == nil) != (tc.status != 0) {
			t.Errorf("%q: %d, minor %d, %v; want %d, minor %d", tc.line, status, minor, err, tc.status, tc.minor)
		}
	}
}

func TestFraming(t *testing.T) {
	const get, head = false, true
	for _, tc := range []struct {
		head   string // of the response, "\n" for CRLF
		isHead bool
		body   BodyKind
		length int64
		keep   bool
		err    error
	}{
		// The three ways to end a body.
		{"HTTP/1.1 200 OK\nContent-Length: 5", get, Fixed, 5, true, nil},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked", get, Chunked, 0, true, nil},
		{"HTTP/1.1 200 OK", get, UntilClose, 0, false, nil},
		// Announced empty is not the same as unannounced.
		{"HTTP/1.1 200 OK\nContent-Length: 0", get, Fixed, 0, true, nil},
		// The upstream wants to close, however it says so.
		{"HTTP/1.1 200 OK\nContent-Length: 5\nConnection: Close", get, Fixed, 5, false, nil},
		{"HTTP/1.1 200 OK\nContent-Length: 5\nConnection: x, close\nConnection: keep-alive", get, Fixed, 5, false, nil},
		// HTTP/1.0 closes; what it may promise in Connection is not needed.
		{"HTTP/1.0 200 OK\nContent-Length: 5", get, Fixed, 5, false, nil},
		{"HTTP/1.0 200 OK\nContent-Length: 5\nConnection: keep-alive", get, Fixed, 5, false, nil},
		// Answers without a body.
		{"HTTP/1.1 200 OK", head, NoBody, 0, true, nil},
		{"HTTP/1.1 204 No Content", get, NoBody, 0, true, nil},
		{"HTTP/1.1 204 No Content\nContent-Length: 0", get, NoBody, 0, true, nil},
		{"HTTP/1.1 304 Not Modified", get, NoBody, 0, true, nil},
		// The same with a body announced: it might come, so the connection ends.
		{"HTTP/1.1 200 OK\nContent-Length: 5", head, NoBody, 0, false, nil},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked", head, NoBody, 0, false, nil},
		{"HTTP/1.1 204 No Content\nTransfer-Encoding: chunked", get, NoBody, 0, false, nil},
		{"HTTP/1.1 304 Not Modified\nContent-Length: 5", get, NoBody, 0, false, nil},
		// Two equal lengths are one.
		{"HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 5", get, Fixed, 5, true, nil},

		// Two different lengths; a list; a length and chunks, in both orders,
		// even where there is no body.
		{"HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 200 OK\nContent-Length: 5, 5", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 304 OK\nTransfer-Encoding: chunked\nContent-Length: 5", get, 0, 0, false, ErrFraming},
		// Codings that we do not undo, and chunks before HTTP/1.1.
		{"HTTP/1.1 200 OK\nTransfer-Encoding: gzip", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: gzip, chunked", get, 0, 0, false, ErrFraming},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked", get, 0, 0, false, ErrFraming},
		{"HTTP/1.0 200 OK\nTransfer-Encoding: chunked", get, 0, 0, false, ErrFraming},
		// An answer to a question that was not asked.
		{"HTTP/1.1 101 Switching Protocols\nUpgrade: websocket", get, 0, 0, false, ErrUpgrade},
	} {
		var r Response
		wire := strings.ReplaceAll(tc.head, "\n", "\r\n") + "\r\n\r\n"
		err := r.Read(bufio.NewReader(strings.NewReader(wire)), tc.isHead)
		if !errors.Is(err, tc.err) {
			t.Errorf("%q: error %v, want %v", tc.head, err, tc.err)
		}
		if err == nil && (r.Body != tc.body || r.Length != tc.length || r.KeepAlive != tc.keep) {
			t.Errorf("%q: body %v, length %d, keep-alive %v; want %v, %d, %v",
				tc.head, r.Body, r.Length, r.KeepAlive, tc.body, tc.length, tc.keep)
		}
	}
}

func TestResponseHead(t *testing.T) {
	const interim = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for name, tc := range map[string]struct {
		wire string
		err  error
	}{
		"interim responses are dropped":      {interim + "HTTP/1.1 100 Continue\r\n\r\n" + final, nil},
		"as many as there may be":            {strings.Repeat(interim, maxInterim) + final, nil},
		"a flood of them":                    {strings.Repeat(interim, maxInterim+1) + final, ErrTooMany1xx},
		"a head of the greatest size":        {headOfSize(MaxHead), nil},
		"one byte more":                      {headOfSize(MaxHead + 1), ErrHeadTooLarge},
		"an endless line":                    {strings.Repeat("x", MaxHead+1), ErrHeadTooLarge},
		"no byte at all":                     {"", io.EOF},
		"the end in the status line":         {"HTTP/1.1 200", io.ErrUnexpectedEOF},
		"the end in the fields":              {"HTTP/1.1 200 OK\r\nA: 1\r\n", io.ErrUnexpectedEOF},
		"a bare LF after the status":         {"HTTP/1.1 200 OK\nA: 1\r\n\r\n", ErrLineEnd},
		"a bare LF after a field":            {"HTTP/1.1 200 OK\r\nA: 1\n\r\n", ErrLineEnd},
		"a bare LF as the empty line":        {"HTTP/1.1 200 OK\r\nA: 1\r\n\n", ErrLineEnd},
		"an empty line first":                {"\r\n" + final, ErrStatusLine},
		"a folded line":                      {"HTTP/1.1 200 OK\r\nA: 1\r\n 2\r\n\r\n", ErrFold},
		"a bad field in an interim response": {"HTTP/1.1 103 x\r\nA\r\n\r\n" + final, ErrNoColon},
		"too many fields":                    {"HTTP/1.1 200 OK\r\n" + strings.Repeat("a:\r\n", MaxFields+1) + "\r\n", ErrTooMany},
	} {
		var r Response
		err := r.Read(bufio.NewReaderSize(strings.NewReader(tc.wire), 16), false)
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: error %v, want %v", name, err, tc.err)
		}
		if err == nil && (r.Status != 200 || len(r.Fields) == 0) {
			t.Errorf("%s: status %d, fields %s", name, r.Status, describe(r.Fields))
		}
	}
}

func headOfSize(n int) string {
	head := "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: \r\n\r\n"
	return strings.Replace(head, "A: ", "A: "+strings.Repeat("x", n-len(head)), 1)
}

// A peer that speaks another protocol, or another line end, is recognised by
// its first line and not waited for: it may be waiting for us.
func TestForeignPeerIsNotWaitedFor(t *testing.T) {
	for line, want := range map[string]error{
		"SSH-2.0-OpenSSH_9.2\r\n":   ErrStatusLine,
		"220 mail.test ESMTP\r\n":   ErrStatusLine,
		"HTTP/1.1 200 OK\n":         ErrLineEnd,
		"HTTP/1.1 200 OK\r\nA: 1\n": ErrLineEnd,
	} {
		silent := readerFunc(func([]byte) (int, error) {
			t.Errorf("%q: read on", line)
			return 0, io.EOF
		})
		var r Response
		err := r.Read(bufio.NewReader(io.MultiReader(strings.NewReader(line), silent)), false)
		if !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", line, err, want)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A recycled Response keeps nothing of the message before.
func TestResponseIsReusable(t *testing.T) {
	var r Response
	br := bufio.NewReader(strings.NewReader(
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\nA: 1\r\n\r\n" +
			"HTTP/1.1 204 No Content\r\nB: 2\r\n\r\n"))
	for range 2 {
		if err := r.Read(br, false); err != nil {
			t.Fatal(err)
		}
	}
	if r.Status != 204 || describe(r.Fields) != "B=2" || r.Body != NoBody || !r.KeepAlive {
		t.Errorf("second response: %d %s, body %v, keep-alive %v", r.Status, describe(r.Fields), r.Body, r.KeepAlive)
	}
}

// Whatever arrives, nothing panics; and what both we and net/http accept, both
// read alike: status, fields, body, and what is left for the next response.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: x\r\n\r\nrest",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200\r\nA: b\r\na:c\r\n\r\nuntil close",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\nPragma: no-cache\r\n\r\nx",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	f.Fuzz(func(t *testing.T, wire []byte, isHead bool) {
		br := bufio.NewReader(bytes.NewReader(wire))
		var (
			r Response
			b Body
		)
		if r.Read(br, isHead) != nil {
			return
		}
		b.Reset(br, &r)
		body, err := io.ReadAll(&b)
		if err == nil != b.Done() {
			t.Fatalf("Done is %v after error %v", b.Done(), err)
		}
		if err != nil {
			return
		}
		rest, _ := io.ReadAll(br)
		compareWithNetHTTP(t, wire, isHead, &r, body, rest)
	})
}

func compareWithNetHTTP(t *testing.T, wire []byte, isHead bool, r *Response, body, rest []byte) {
	br := bufio.NewReader(bytes.NewReader(wire))
	request := &http.Request{Method: http.MethodGet}
	if isHead {
		request.Method = http.MethodHead
	}
	theirs := &http.Response{StatusCode: 100}
	for theirs.StatusCode < 200 {
		var err error
		if theirs, err = http.ReadResponse(br, request); err != nil {
			return
		}
	}
	theirBody, err := io.ReadAll(theirs.Body)
	if err != nil {
		return
	}
	theirRest, _ := io.ReadAll(br)
	if r.Status != theirs.StatusCode || !bytes.Equal(body, theirBody) || !bytes.Equal(rest, theirRest) {
		t.Fatalf("%d %q, rest %q; net/http: %d %q, rest %q",
			r.Status, body, rest, theirs.StatusCode, theirBody, theirRest)
	}
	// What net/http takes out of the fields, or makes of one of them.
	ignored := []string{"Content-Length", "Transfer-Encoding", "Trailer", "Cache-Control"}
	ours := http.Header{}
	for _, f := range r.Fields {
		key := textproto.CanonicalMIMEHeaderKey(string(f.Name))
		ours[key] = append(ours[key], string(f.Value))
	}
	for _, name := range ignored {
		delete(ours, name)
		delete(theirs.Header, name)
	}
	if !maps.EqualFunc(ours, theirs.Header, slices.Equal[[]string]) {
		t.Fatalf("fields %q; net/http: %q", ours, theirs.Header)
	}
}
