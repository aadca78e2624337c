// Package downstream is the callers' side of the network: it bounds how long a
// client may stop taking its answer.
package downstream

import (
	"net"
	"time"
)

// Listener hands out connections whose writes time out one by one, not the whole
// answer, so that a live stream is never cut. The server must not set write
// deadlines of its own.
type Listener struct {
	net.Listener
	// WriteTimeout bounds each write; it is asked at each accept and positive.
	WriteTimeout func() time.Duration
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, timeout: l.WriteTimeout()}, nil
}

type conn struct {
	net.Conn
	timeout time.Duration
	armed   time.Time
}

// Write arms the deadline an eighth too long and leaves it alone until less
// than the timeout remains, so that a busy connection rarely pays for setting
// it: a timeout comes between d and d*9/8.
func (c *conn) Write(p []byte) (int, error) {
	if now := time.Now(); c.armed.Sub(now) < c.timeout {
		c.armed = now.Add(c.timeout + c.timeout/8)
		if err := c.SetWriteDeadline(c.armed); err != nil {
			return 0, err
		}
	}
	return c.Conn.Write(p)
}
