// Package downstream is the callers' side of the network: connections whose
// deadlines cost little.
package downstream

import (
	"net"
	"sync/atomic"
	"time"
)

// Listener hands out connections whose writes time out one by one, not the whole
// answer, so that a live stream is never cut. The server must not set write
// deadlines of its own; the read deadlines that it sets are kept, see conn.
type Listener struct {
	net.Listener
	// WriteTimeout bounds each write; it is asked at each accept and positive.
	WriteTimeout func() time.Duration
	// HeaderTimeout and IdleTimeout are what ReadTimeout and KeepAlive stand for;
	// they are asked for each request and must be set if the server uses those.
	HeaderTimeout, IdleTimeout func() time.Duration

	known // for Sweep
}

// A fasthttp server has its timeouts for life. One that is given these, which are
// longer than any that a configuration may hold, gets those of its Listener: the
// ones in force when the wait begins.
const (
	ReadTimeout = 1000 * time.Hour // for Server.ReadTimeout
	KeepAlive   = 2000 * time.Hour // for Server.IdleTimeout
)

// shift is what turns a deadline that is left away into the one meant.
func (l *Listener) shift(left time.Duration) time.Duration {
	switch {
	case left > (ReadTimeout+KeepAlive)/2:
		return l.IdleTimeout() - KeepAlive
	case left > ReadTimeout/2:
		return l.HeaderTimeout() - ReadTimeout
	}
	return 0
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.add(&conn{Conn: c, of: l, timeout: l.WriteTimeout(), born: time.Now()}), nil
}

// conn sets deadlines late and seldom, because setting one costs as much as the
// rest of a small read or write. A deadline d away is armed an eighth too far
// and left alone while it serves: a timeout comes between d and d*9/8.
//
// One goroutine uses a connection, as fasthttp's servers do; only Close and what
// watches it may be called by another one.
type conn struct {
	net.Conn
	of         *Listener
	timeout    time.Duration // of a write
	born       time.Time
	writeArmed time.Duration // since born; the monotonic clock alone is half the price

	readWant  time.Time // what the server asked for; zero = no deadline
	readArmed time.Time // what the connection has
	reads

	watch   watch
	lingers atomic.Bool // see Linger
}

// SetReadDeadline notes the deadline for the reads to come. A server sets two
// for each request, for the wait before it and for its head, but most requests
// arrive in one read.
func (c *conn) SetReadDeadline(t time.Time) error {
	c.readWant = t
	return nil
}

// SetDeadline sets both deadlines, the reading one for the reads to come.
func (c *conn) SetDeadline(t time.Time) error {
	c.readWant = t
	return c.SetWriteDeadline(t)
}

// SetWriteDeadline sets a deadline that the next Write may replace. None at all
// changes nothing, because each Write sees to its own.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		return nil
	}
	c.writeArmed = 0
	return c.Conn.SetWriteDeadline(t)
}

// Read implements io.Reader with the deadline that was asked for.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.armRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	c.note(p[:n], err)
	return n, err
}

func (c *conn) armRead() error {
	want := c.readWant
	if want.IsZero() {
		if c.readArmed.IsZero() {
			return nil
		}
	} else {
		left := time.Until(want)
		if shift := c.of.shift(left); shift != 0 {
			want, left = want.Add(shift), left+shift
			c.readWant = want
		}
		slack := left / 8
		if early := c.readArmed.Sub(want); 0 <= early && early <= slack {
			return nil
		}
		want = want.Add(max(slack, 0))
	}
	c.readArmed = want
	return c.Conn.SetReadDeadline(want)
}

// Write implements io.Writer with the write timeout.
func (c *conn) Write(p []byte) (int, error) {
	if want := time.Since(c.born) + c.timeout; c.writeArmed < want {
		c.writeArmed = want + c.timeout/8
		if err := c.Conn.SetWriteDeadline(c.born.Add(c.writeArmed)); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}
