package downstream

import (
	"io"
	"net"
	"time"
)

const (
	// lingerTime and lingerMost bound what is read of a body that nobody wants.
	lingerTime = 2 * time.Second
	lingerMost = 64 << 20
)

// Linger makes the closing of c wait, for two seconds at most, for the rest of a
// body that was refused. A connection that is closed over unread bytes is reset,
// and the reset may overtake the answer that says why (RFC 9112 §9.6): a balancer
// in front would then make up one of its own.
func Linger(c net.Conn) {
	if own := ownConn(c); own != nil {
		own.lingers.Store(true)
	}
}

// linger reads on if Linger asked for it, once.
func (c *conn) linger() {
	if !c.lingers.CompareAndSwap(true, false) {
		return
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.Conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c.Conn, lingerMost)
}
