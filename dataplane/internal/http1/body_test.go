package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// next follows every body: it must be left alone.
const next = "HTTP/1.1 204 Next\r\n\r\n"

func TestBody(t *testing.T) {
	fixed := Response{Body: Fixed, Length: 5}
	chunked := Response{Body: Chunked}
	for _, tc := range []struct {
		head Response
		wire string
		body string
		err  error
	}{
		// No body, an empty one, a fixed one.
		{Response{Body: NoBody}, next, "", nil},
		{Response{Body: Fixed}, next, "", nil},
		{fixed, "hello" + next, "hello", nil},
		// The connection's end is the body's end.
		{Response{Body: UntilClose}, "hello", "hello", nil},
		{Response{Body: UntilClose}, "", "", nil},
		// A fixed body that is cut.
		{fixed, "hell", "hell", io.ErrUnexpectedEOF},
		{fixed, "", "", io.ErrUnexpectedEOF},

		// Chunks: none, one, several, sizes in both cases and with zeros.
		{chunked, "0\r\n\r\n" + next, "", nil},
		{chunked, "5\r\nhello\r\n0\r\n\r\n" + next, "hello", nil},
		{chunked, "1\r\nh\r\n4\r\nello\r\n0\r\n\r\n" + next, "hello", nil},
		{chunked, "a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n" + next, "01234567890123456789a", nil},
		{chunked, "0000000000000005\r\nhello\r\n0\r\n\r\n" + next, "hello", nil},
		// Data that looks like framing.
		{chunked, "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n" + next, "\r\n0\r\n\r\n", nil},
		// Extensions, with space before the semicolon and quoted, are dropped.
		{chunked, "5;a=b\r\nhello\r\n0 \t;c=\"d e\"\r\n\r\n" + next, "hello", nil},
		// Trailers are dropped, whatever they are named.
		{chunked, "0\r\nX-T: 1\r\nContent-Length: 5\r\nAuthorization: x\r\n\r\n" + next, "", nil},

		// Sizes that another parser might read.
		{chunked, "0x5\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "+5\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "-1\r\n", "", ErrChunk},
		{chunked, "0_5\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, " 5\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5 \r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5 5\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5h\r\n", "", ErrChunk},
		{chunked, "\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, ";a\r\n", "", ErrChunk},
		// 17 digits, 2^63, 2^60, and one less, which is merely cut.
		{chunked, "00000000000000005\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "8000000000000000\r\n", "", ErrChunk},
		{chunked, "1000000000000000\r\n", "", ErrChunk},
		{chunked, "fffffffffffffff\r\nx", "x", io.ErrUnexpectedEOF},
		// Bare LF and CR: after the size, in the extension, after the data, at
		// the end.
		{chunked, "5\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5;a\nb\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5;a\rb\r\nhello\r\n0\r\n\r\n", "", ErrChunk},
		{chunked, "5\r\nhello\n0\r\n\r\n", "hello", ErrChunk},
		{chunked, "5\r\nhello\r0\r\n\r\n", "hello", ErrChunk},
		{chunked, "0\r\n\n", "", ErrChunk},
		// Junk after the data.
		{chunked, "5\r\nhelloo\r\n0\r\n\r\n", "hello", ErrChunk},
		// An extension line without end, trailers without end.
		{chunked, "5;" + strings.Repeat("x", maxChunkLine) + "\r\n", "", ErrChunk},
		{chunked, "0\r\n" + strings.Repeat("A: "+strings.Repeat("x", 1000)+"\r\n", 17) + "\r\n", "", ErrChunk},
		// Trailers that are not fields.
		{chunked, "0\r\nX\r\n\r\n", "", ErrNoColon},
		{chunked, "0\r\n X: 1\r\n\r\n", "", ErrFold},
		{chunked, "0\r\nX : 1\r\n\r\n", "", ErrFieldName},
		{chunked, "0\r\nX: \x00\r\n\r\n", "", ErrFieldValue},
		// Cut: before a size, in it, after it, in the data, after it, in the
		// last chunk, in the trailer.
		{chunked, "", "", io.ErrUnexpectedEOF},
		{chunked, "5", "", io.ErrUnexpectedEOF},
		{chunked, "5\r\n", "", io.ErrUnexpectedEOF},
		{chunked, "5\r\nhel", "hel", io.ErrUnexpectedEOF},
		{chunked, "5\r\nhello", "hello", io.ErrUnexpectedEOF},
		{chunked, "5\r\nhello\r\n", "hello", io.ErrUnexpectedEOF},
		{chunked, "5\r\nhello\r\n0\r\n", "hello", io.ErrUnexpectedEOF},
		{chunked, "5\r\nhello\r\n0\r\nX: 1\r\n", "hello", io.ErrUnexpectedEOF},
	} {
		// The end of the stream may come with its last bytes or after them.
		for _, source := range []io.Reader{strings.NewReader(tc.wire), iotest.DataErrReader(strings.NewReader(tc.wire))} {
			br := bufio.NewReader(source)
			var b Body
			b.Reset(br, &tc.head)
			body, err := io.ReadAll(&b)
			if string(body) != tc.body || !errors.Is(err, tc.err) {
				t.Errorf("%.50q: %q, %v; want %q, %v", tc.wire, body, err, tc.body, tc.err)
			}
			if b.Done() != (tc.err == nil) {
				t.Errorf("%.50q: Done is %v", tc.wire, b.Done())
			}
			if rest, _ := io.ReadAll(br); tc.err == nil && tc.head.Body != UntilClose && string(rest) != next {
				t.Errorf("%.50q: left %q", tc.wire, rest)
			}
		}
	}
}

// A direct read into a large buffer may return the end of the stream together
// with the last byte of a body that is complete.
func TestFixedBodyEndsWithTheStream(t *testing.T) {
	data := strings.Repeat("x", 100)
	br := bufio.NewReaderSize(iotest.DataErrReader(strings.NewReader(data)), 16)
	var b Body
	b.Reset(br, &Response{Body: Fixed, Length: 100})
	if n, err := io.ReadFull(&b, make([]byte, 100)); n != 100 || err != nil || !b.Done() {
		t.Errorf("read %d bytes, error %v, Done %v", n, err, b.Done())
	}
}

// The bounds of lines and trailers hold for a reader of any size.
func TestBodyBoundsDoNotDependOnTheBuffer(t *testing.T) {
	for _, wire := range []string{
		"5;" + strings.Repeat("x", maxChunkLine) + "\r\nhello\r\n0\r\n\r\n",
		"0\r\nA: " + strings.Repeat("x", maxTrailer) + "\r\n\r\n",
	} {
		var b Body
		b.Reset(bufio.NewReaderSize(strings.NewReader(wire), 64<<10), &Response{Body: Chunked})
		if n, err := b.Read(make([]byte, 9)); n != 0 || !errors.Is(err, ErrChunk) {
			t.Errorf("%.20q: read %d bytes, error %v; want %v", wire, n, err, ErrChunk)
		}
	}
}

// An error stays, and an empty read changes nothing.
func TestBodyErrorIsSticky(t *testing.T) {
	br := bufio.NewReader(strings.NewReader("x\r\n5\r\nhello\r\n0\r\n\r\n"))
	var b Body
	b.Reset(br, &Response{Body: Chunked})
	if n, err := b.Read(nil); n != 0 || err != nil {
		t.Errorf("empty read: %d, %v", n, err)
	}
	for range 2 {
		if n, err := b.Read(make([]byte, 9)); n != 0 || !errors.Is(err, ErrChunk) {
			t.Errorf("read %d bytes, error %v; want %v", n, err, ErrChunk)
		}
	}
}

// However the bytes are cut into segments on their way, and whatever the sizes
// of the reads, the body is the same and the next response is intact.
func TestBodyStopsAtItsEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "body")
		wire := "HTTP/1.1 200 OK\r\n"
		if rapid.Bool().Draw(t, "chunked") {
			wire += "Transfer-Encoding: chunked\r\n\r\n" + drawChunks(t, body)
		} else {
			wire += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
		}
		source := &segments{t: t, left: wire + next}
		br := bufio.NewReaderSize(source, rapid.SampledFrom([]int{64, 4096}).Draw(t, "buffer"))
		var (
			r   Response
			b   Body
			got []byte
		)
		if err := r.Read(br, false); err != nil {
			t.Fatal(err)
		}
		b.Reset(br, &r)
		p := make([]byte, 100)
		for err := error(nil); err == nil; {
			var n int
			n, err = b.Read(p[:rapid.IntRange(1, len(p)).Draw(t, "read")])
			if got = append(got, p[:n]...); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, body) || !b.Done() || !r.KeepAlive {
			t.Fatalf("body %q, want %q; Done %v, keep-alive %v", got, body, b.Done(), r.KeepAlive)
		}
		if err := r.Read(br, false); err != nil || r.Status != 204 {
			t.Fatalf("next response: %d, %v", r.Status, err)
		}
	})
}

func drawChunks(t *rapid.T, body []byte) string {
	var wire strings.Builder
	for len(body) > 0 {
		n := rapid.IntRange(1, len(body)).Draw(t, "chunk")
		extension := rapid.SampledFrom([]string{"", ";a", " ; b=\"c d\""}).Draw(t, "extension")
		fmt.Fprintf(&wire, "%x%s\r\n%s\r\n", n, extension, body[:n])
		body = body[n:]
	}
	wire.WriteString("0\r\n" + rapid.SampledFrom([]string{"", "T: 1\r\n"}).Draw(t, "trailer") + "\r\n")
	return wire.String()
}

// segments delivers its bytes in pieces of random length.
type segments struct {
	t    *rapid.T
	left string
}

func (s *segments) Read(p []byte) (int, error) {
	if s.left == "" {
		return 0, io.EOF
	}
	n := copy(p, s.left[:rapid.IntRange(1, len(s.left)).Draw(s.t, "segment")])
	s.left = s.left[n:]
	return n, nil
}
