package http1

import (
	"bufio"
	"errors"
	"io"
)

// ErrChunk is a violation of the chunked coding (RFC 9112 §7.1).
var ErrChunk = errors.New("http1: malformed chunked body")

// maxChunkLine bounds a chunk-size line with its extensions, and maxTrailer the
// trailer section, in bytes.
const (
	maxChunkLine = 4 << 10
	maxTrailer   = 16 << 10
)

// Body reads one response body to its exact end and no further, so that the
// connection below can serve the next request. Trailers are read and dropped.
// It is reused: Reset prepares it for a message and must come first. Not safe
// for simultaneous use.
type Body struct {
	br   *bufio.Reader
	kind BodyKind
	left int64 // bytes to the end of the body (Fixed) or of the chunk (Chunked)
	open bool  // inside a chunk whose closing CRLF has not been read
	err  error // sticky; io.EOF after the clean end
}

// Reset prepares b for the body that follows head r on br.
func (b *Body) Reset(br *bufio.Reader, r *Response) {
	*b = Body{br: br, kind: r.Body, left: r.Length}
	if r.Body == NoBody || r.Body == Fixed && r.Length == 0 {
		b.err = io.EOF
	}
}

// Done reports that the body was read to its end as the framing announced it.
func (b *Body) Done() bool { return b.err == io.EOF }

// Read implements io.Reader. A body that ends early is io.ErrUnexpectedEOF,
// never io.EOF, so a truncated answer cannot pass for a complete one.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	var n int
	n, b.err = b.read(p)
	return n, b.err
}

func (b *Body) read(p []byte) (int, error) {
	if b.kind == UntilClose {
		return b.br.Read(p)
	}
	if b.kind == Chunked && b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return 0, err
		}
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.br.Read(p)
	b.left -= int64(n)
	switch {
	case b.left == 0 && b.kind == Fixed:
		return n, io.EOF // whatever came with the last byte
	case err == io.EOF:
		return n, io.ErrUnexpectedEOF
	}
	return n, err
}

// nextChunk reads up to the data of the next chunk; io.EOF after the last one.
func (b *Body) nextChunk() error {
	if b.open {
		if err := b.readCRLF(); err != nil {
			return err
		}
		b.open = false
	}
	line, err := b.readLine(maxChunkLine)
	if err != nil {
		return err
	}
	size, err := parseChunkSize(line)
	if err != nil {
		return err
	}
	if size == 0 {
		return b.skipTrailer()
	}
	b.left, b.open = size, true
	return nil
}

func (b *Body) skipTrailer() error {
	for room := maxTrailer; room > 0; {
		line, err := b.readLine(room)
		if err != nil {
			return err
		}
		if len(line) == 0 {
			return io.EOF
		}
		if _, err := parseField(line); err != nil {
			return err
		}
		room -= len(line)
	}
	return ErrChunk
}

// readLine returns a line without its CRLF, valid until the next read.
func (b *Body) readLine(limit int) ([]byte, error) {
	line, err := b.br.ReadSlice('\n')
	switch {
	case err == io.EOF:
		return nil, io.ErrUnexpectedEOF
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, ErrChunk
	case err != nil:
		return nil, err
	}
	n := len(line)
	if n < 2 || n > limit || line[n-2] != '\r' {
		return nil, ErrChunk
	}
	return line[:n-2], nil
}

func (b *Body) readCRLF() error {
	line, err := b.readLine(2)
	if err == nil && len(line) != 0 {
		err = ErrChunk
	}
	return err
}

// parseChunkSize reads `1*HEXDIG [BWS ";" extension]`. Sizes from 2^60 on are
// refused, long before they could overflow.
func parseChunkSize(line []byte) (int64, error) {
	var size int64
	i := 0
	for ; i < len(line); i++ {
		d := hexDigit(line[i])
		if d < 0 {
			break
		}
		if size >= 1<<56 {
			return 0, ErrChunk
		}
		size = size<<4 | int64(d)
	}
	if i == 0 || i > 16 {
		return 0, ErrChunk
	}
	ext := trimOWS(line[i:])
	if len(ext) > 0 && ext[0] != ';' || len(ext) == 0 && i != len(line) {
		return 0, ErrChunk
	}
	if hasControl(ext) {
		return 0, ErrChunk
	}
	return size, nil
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
