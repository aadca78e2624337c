package downstream

import (
	"net"
	"sync"
	"syscall"
)

// Canceler is what a client waits for and may be spared: its Cancel ends it at
// once, from any goroutine.
type Canceler interface{ Cancel() }

// watch is what a connection's client waits for.
type watch struct {
	mu    sync.Mutex // guards the two below
	what  Canceler   // nil = nothing
	swept bool       // seen by a sweep before
}

// Watch makes c, a connection of a Listener or of Secure, tell what when its
// client is gone: nobody reads the connection meanwhile. Sweep looks.
func Watch(c net.Conn, what Canceler) {
	if own := ownConn(c); own != nil {
		own.watch.mu.Lock()
		own.watch.what, own.watch.swept = what, false
		own.watch.mu.Unlock()
	}
}

// Unwatch ends a Watch. After it what is not cancelled any more.
func Unwatch(c net.Conn) { Watch(c, nil) }

// Gone reports whether the client closed c, or its half of it: a client that
// sends no more counts as gone, as it does with most proxies.
func Gone(c net.Conn) bool {
	own := ownConn(c)
	return own != nil && own.gone()
}

func ownConn(c net.Conn) *conn {
	if s, ok := c.(*secure); ok {
		c = s.NetConn()
	}
	own, _ := c.(*conn)
	return own
}

// Sweep cancels what clients wait for that are gone. What began after the sweep
// before is left alone, so that a short wait costs no look at its socket.
func (l *Listener) Sweep() {
	l.mu.Lock()
	open := make([]*conn, 0, len(l.open))
	for c := range l.open {
		open = append(open, c)
	}
	l.mu.Unlock()
	for _, c := range open {
		c.watch.sweep(c)
	}
}

func (w *watch) sweep(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.what != nil && w.swept && c.gone() {
		w.what.Cancel()
		w.what = nil
	}
	w.swept = true
}

// gone looks at the state of the socket. What the client sent before it left, a
// TLS good-bye for one, may still lie there unread.
func (c *conn) gone() bool {
	sc, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return true // it is closed
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		gone = ended(int(fd))
	})
	return gone || err != nil
}

// known is the set of a listener's open connections.
type known struct {
	mu   sync.Mutex
	open map[*conn]struct{}
}

func (k *known) add(c *conn) *conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.open == nil {
		k.open = make(map[*conn]struct{})
	}
	k.open[c] = struct{}{}
	return c
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.linger()
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
