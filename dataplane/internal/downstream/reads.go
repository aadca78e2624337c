package downstream

import (
	"bytes"
	"crypto/tls"
	"net"
)

// reads is what a connection remembers of the bytes that the server has read. It
// belongs to the goroutine that uses the connection.
type reads struct {
	ended    bool // the client sends no more
	lineless int  // bytes since the last read that held a LF
}

func (r *reads) note(b []byte, err error) {
	r.ended = r.ended || err != nil
	if r.lineless += len(b); bytes.IndexByte(b, '\n') >= 0 {
		r.lineless = 0
	}
}

// Ended reports whether a read of c, a connection of a Listener or of Secure, has
// met its end or failed. fasthttp takes an end between two chunks of a request
// for that of the body; whoever reads a body asks here. Like Read, it belongs to
// the goroutine that uses the connection.
func Ended(c net.Conn) bool {
	r := readsOf(c)
	return r != nil && r.ended
}

// LongLine reports that the last n bytes read from c hold no line end: a head
// that does not fit into n bytes is then all request line. Like Read, it belongs
// to the goroutine that uses the connection.
func LongLine(c net.Conn, n int) bool {
	r := readsOf(c)
	return r != nil && r.lineless >= n
}

func readsOf(c net.Conn) *reads {
	switch c := c.(type) {
	case *conn:
		return &c.reads
	case *secure:
		return &c.reads
	}
	return nil
}

// Secure speaks TLS on the connections of l. It does what tls.NewListener does,
// and remembers the decrypted reads besides: a client may end its TLS cleanly in
// the middle of a body.
func Secure(l net.Listener, config *tls.Config) net.Listener { return &secureListener{l, config} }

type secureListener struct {
	net.Listener
	config *tls.Config
}

// Accept waits for the next connection; the handshake comes with its first read.
func (l *secureListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &secure{Conn: tls.Server(c, l.config)}, nil
}

type secure struct {
	*tls.Conn
	reads
}

func (s *secure) Read(p []byte) (int, error) {
	n, err := s.Conn.Read(p)
	s.note(p[:n], err)
	return n, err
}
