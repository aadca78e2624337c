package http1

import (
	"bufio"
	"errors"
	"io"
)

// Errors of a response head.
var (
	ErrStatusLine   = errors.New("http1: malformed status line")
	ErrHeadTooLarge = errors.New("http1: response head is too large")
	ErrTooMany1xx   = errors.New("http1: too many interim responses")
	ErrUpgrade      = errors.New("http1: upstream switched protocols without being asked")
)

// MaxHead bounds a response head in bytes, maxInterim the 1xx responses before
// the final one.
const (
	MaxHead    = 64 << 10
	maxInterim = 16
)

// BodyKind says how the end of a body is found (RFC 9112 §6.3).
type BodyKind uint8

// The kinds of body framing.
const (
	NoBody BodyKind = iota
	Fixed
	Chunked
	UntilClose
)

// Response is a parsed response head. It is reused: Read overwrites it, and its
// slices are valid until the next Read.
type Response struct {
	Status    int
	Fields    []Field
	Body      BodyKind
	Length    int64 // bytes, for Fixed
	KeepAlive bool  // the connection may serve another request after the body

	raw []byte
}

// Read reads the next final response head from br. Interim 1xx responses are
// read and dropped; 101 is an error, because the node never asks to upgrade.
// isHead tells that the request was HEAD, whose answer has no body. The error is
// io.EOF if the connection ended before a head began.
func (r *Response) Read(br *bufio.Reader, isHead bool) error {
	for range maxInterim + 1 {
		if err := r.readHead(br, isHead); err != nil {
			return err
		}
		if r.Status == 101 {
			return ErrUpgrade
		}
		if r.Status >= 200 {
			return nil
		}
	}
	return ErrTooMany1xx
}

// readHead reads one head. Each line is judged as soon as it is complete: a peer
// that does not speak HTTP may be waiting for us while we wait for it.
func (r *Response) readHead(br *bufio.Reader, isHead bool) error {
	r.raw = r.raw[:0]
	line, err := r.readLine(br)
	if err != nil {
		return err
	}
	minor, status, err := parseStatusLine(line)
	if err != nil {
		return err
	}
	fields := len(r.raw)
	for len(line) > 0 {
		if line, err = r.readLine(br); err != nil {
			return err
		}
	}
	r.Status = status
	if r.Fields, err = ParseFields(r.Fields[:0], r.raw[fields:]); err != nil {
		return err
	}
	return r.frame(minor, isHead)
}

// readLine appends the next line to raw and returns it without its CRLF.
func (r *Response) readLine(br *bufio.Reader) ([]byte, error) {
	start := len(r.raw)
	for {
		part, err := br.ReadSlice('\n')
		r.raw = append(r.raw, part...)
		switch {
		case len(r.raw) > MaxHead:
			return nil, ErrHeadTooLarge
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == io.EOF && len(r.raw) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		end := len(r.raw) - len("\r\n")
		if end < start || r.raw[end] != '\r' {
			return nil, ErrLineEnd
		}
		return r.raw[start:end], nil
	}
}

// parseStatusLine accepts `HTTP/1.x SP 3DIGIT [SP reason]` (RFC 9112 §4).
func parseStatusLine(line []byte) (minor byte, status int, err error) {
	if len(line) < 12 || string(line[:7]) != "HTTP/1." || (line[7] != '0' && line[7] != '1') || line[8] != ' ' {
		return 0, 0, ErrStatusLine
	}
	for _, c := range line[9:12] {
		if c < '0' || c > '9' {
			return 0, 0, ErrStatusLine
		}
		status = status*10 + int(c-'0')
	}
	if len(line) > 12 && line[12] != ' ' || status < 100 || hasControl(line) {
		return 0, 0, ErrStatusLine
	}
	return line[7] - '0', status, nil
}

// frame decides how the body ends and whether the connection lives on
// (RFC 9112 §6.3, §9.3).
func (r *Response) frame(minor byte, isHead bool) error {
	f, err := parseFraming(minor, r.Fields)
	if err != nil {
		return err
	}
	r.Length = 0
	r.KeepAlive = minor == 1 && !f.close
	switch {
	case isHead || r.Status < 200 || r.Status == 204 || r.Status == 304:
		r.Body = NoBody
		// An upstream that sends the announced body all the same would have it
		// read as the answer to the next request.
		if f.chunked || f.length > 0 {
			r.KeepAlive = false
		}
	case f.chunked:
		r.Body = Chunked
	case f.hasLength:
		r.Body, r.Length = Fixed, f.length
	default:
		r.Body, r.KeepAlive = UntilClose, false
	}
	return nil
}
