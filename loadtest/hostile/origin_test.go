package hostile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// origin is a provider that trusts nobody: it keeps every byte it is sent,
// answers each request that is framed without any doubt, and notes everything
// else as a fault. Its reader accepts only what a node would write itself.
type origin struct {
	listener net.Listener
	hold     chan struct{} // requests for /base/hold are answered when it is closed
	wg       sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	open   map[net.Conn]struct{}
	seen   []request
	faults []string
	conns  int // accepted so far
}

// passed marks the origin's own answers: what a client gets without it was made
// by the node.
const passed = "X-Origin: passed"

func newOrigin(tb testing.TB) *origin {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	o := &origin{listener: l, hold: make(chan struct{}), open: make(map[net.Conn]struct{})}
	o.wg.Go(o.accept)
	tb.Cleanup(o.close)
	return o
}

func (o *origin) addr() string { return o.listener.Addr().String() }

func (o *origin) close() {
	_ = o.listener.Close()
	o.mu.Lock()
	for c := range o.open {
		_ = c.Close()
	}
	o.mu.Unlock()
	o.wg.Wait()
}

func (o *origin) accept() {
	for {
		c, err := o.listener.Accept()
		if err != nil {
			return
		}
		o.mu.Lock()
		o.open[c] = struct{}{}
		o.conns++
		o.mu.Unlock()
		o.wg.Go(func() { o.serve(c) })
	}
}

func (o *origin) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		o.mu.Lock()
		delete(o.open, c)
		o.mu.Unlock()
	}()
	var wire bytes.Buffer // since the end of the last request
	br := bufio.NewReader(io.TeeReader(c, &wire))
	for {
		r, err := o.read(br)
		if wire.Len() == 0 && (err == io.EOF || errors.Is(err, net.ErrClosed)) {
			return // between two requests
		}
		o.mu.Lock()
		if err == nil && br.Buffered() > 0 {
			err = errors.New("bytes behind the request, which nobody has answered yet")
		}
		if err != nil {
			o.faults = append(o.faults, fmt.Sprintf("%v in %.500q", err, wire.Bytes()))
			o.mu.Unlock()
			return
		}
		o.seen = append(o.seen, r)
		o.mu.Unlock()
		wire.Reset()
		if !o.answer(c, r) {
			return
		}
	}
}

func (o *origin) answer(c net.Conn, r request) bool {
	if strings.HasPrefix(r.target, "/base/hold") {
		<-o.hold
	}
	body, times := "ok", 1
	if strings.HasPrefix(r.target, "/base/big") {
		body, times = strings.Repeat("big\n", 16<<10), 256 // 16 MiB
	}
	reply := "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n" + passed + "\r\nContent-Length: " + strconv.Itoa(len(body)*times) + "\r\n\r\n"
	if r.method != "HEAD" {
		reply += body
	}
	_, err := io.WriteString(c, reply)
	for ; times > 1 && err == nil; times-- {
		_, err = io.WriteString(c, body)
	}
	return err == nil
}

var (
	requestLine = regexp.MustCompile(`^([!#$%&'*+.^_|~0-9A-Za-z` + "`" + `-]+) (/base[/?][^\x00-\x20\x7f#]*|/base) HTTP/1\.1\r\n$`)
	fieldLine   = regexp.MustCompile(`^([!#$%&'*+.^|~0-9A-Za-z` + "`" + `-]+): ((?s:[^\x00-\x08\x0a-\x1f\x7f]*))\r\n$`)
)

// read reads one request in the form that the node writes and in no other. The
// result has the fields that came from the client.
func (o *origin) read(br *bufio.Reader) (r request, err error) {
	text, err := br.ReadString('\n')
	if err != nil {
		return r, err
	}
	m := requestLine.FindStringSubmatch(text)
	if m == nil {
		return r, errors.New("a request line that the node would not write")
	}
	r.method, r.target = m[1], m[2]
	own := map[string][]string{} // what the node adds
	for {
		if text, err = br.ReadString('\n'); err != nil {
			return r, err
		}
		if text == "\r\n" {
			break
		}
		if m = fieldLine.FindStringSubmatch(text); m == nil {
			return r, fmt.Errorf("the field line %.100q", text)
		}
		switch name := strings.ToLower(m[1]); name {
		case "host", "x-key", "content-length", "transfer-encoding":
			own[name] = append(own[name], m[2])
		default:
			r.fields = append(r.fields, m[1]+": "+m[2])
		}
	}
	if got := fmt.Sprint(own["host"], own["x-key"]); got != fmt.Sprintf("[%s] [%s]", o.addr(), credential) {
		return r, fmt.Errorf("host and key are %s", got)
	}
	r.body, err = readBody(br, own["content-length"], own["transfer-encoding"])
	return r, err
}

func readBody(br *bufio.Reader, length, coding []string) (string, error) {
	switch {
	case len(length)+len(coding) == 0:
		return "", nil
	case len(length) == 1 && len(coding) == 0:
		n, err := strconv.ParseUint(length[0], 10, 31)
		if err != nil {
			return "", err
		}
		return readN(br, int(n))
	case len(length) == 1 || len(coding) != 1 || coding[0] != "chunked":
		return "", fmt.Errorf("the framing %q %q", length, coding)
	}
	var body strings.Builder
	for {
		text, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		size, ok := strings.CutSuffix(text, "\r\n")
		n, err := strconv.ParseUint(size, 16, 31)
		if err != nil || !ok {
			return "", fmt.Errorf("the chunk line %.100q", text)
		}
		data, err := readN(br, int(n)+2)
		if err != nil {
			return "", err
		}
		if !strings.HasSuffix(data, "\r\n") {
			return "", errors.New("a chunk without its CRLF")
		}
		if n == 0 {
			return body.String(), nil
		}
		body.WriteString(data[:n])
	}
}

// readN reads n bytes and believes no announcement until they are there.
func readN(br *bufio.Reader, n int) (string, error) {
	var b strings.Builder
	got, err := io.CopyN(&b, br, int64(n))
	if err == io.EOF && got < int64(n) {
		err = io.ErrUnexpectedEOF
	}
	return b.String(), err
}

// take returns what has arrived since the last call.
func (o *origin) take() (seen []request, faults []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen, faults = o.seen, o.faults
	o.seen, o.faults = nil, nil
	return seen, faults
}

func (o *origin) accepted() int { o.mu.Lock(); defer o.mu.Unlock(); return o.conns }
