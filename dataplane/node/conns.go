package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"

	"apiproxy.internal/dataplane/internal/upstream"
)

// conns are open connections: counted, so that they can be held to a cap, and
// known, so that a stop can cut off what does not end by itself. Safe for
// simultaneous use.
type conns struct {
	mu    sync.Mutex // guards the fields below
	open  map[*conn]struct{}
	peers map[netip.Prefix]int // open connections by peer
	ended bool                 // no connection is taken any more
}

// conn is a connection that its set knows until it is closed.
type conn struct {
	net.Conn
	set  *conns
	peer netip.Prefix
}

func newConns() *conns {
	return &conns{open: make(map[*conn]struct{}), peers: make(map[netip.Prefix]int)}
}

// add takes c in, unless most connections are open, or mostPerPeer from the
// peer of c; 0 is no cap.
func (s *conns) add(c net.Conn, most, mostPerPeer int) (net.Conn, bool) {
	peer := peerOf(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended || most > 0 && len(s.open) >= most || mostPerPeer > 0 && s.peers[peer] >= mostPerPeer {
		return nil, false
	}
	known := &conn{c, s, peer}
	s.open[known] = struct{}{}
	s.peers[peer]++
	return known, true
}

// cut closes all connections, and every later one is refused.
func (s *conns) cut() {
	s.mu.Lock()
	s.ended = true
	left := make([]*conn, 0, len(s.open))
	for c := range s.open {
		left = append(left, c)
	}
	s.mu.Unlock()
	for _, c := range left {
		_ = c.Close()
	}
}

// Close closes the connection and forgets it.
func (c *conn) Close() error {
	c.set.forget(c)
	return c.Conn.Close()
}

func (s *conns) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.open[c]; !ok {
		return // closed before
	}
	delete(s.open, c)
	if s.peers[c.peer]--; s.peers[c.peer] == 0 {
		delete(s.peers, c.peer)
	}
}

// CloseWrite ends the half of the connection that this side sends on.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// SyscallConn lets the upstream pool look at an idle connection.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	if sc, ok := c.Conn.(syscall.Conn); ok {
		return sc.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// peerOf is whom a cap per address counts: an IPv4 address, an IPv6 network of
// 64 bits. What is not TCP is one peer.
func peerOf(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr, bits := tcp.AddrPort().Addr().Unmap(), 32
	if addr.Is6() {
		bits = 64
	}
	peer, _ := addr.Prefix(bits) // fails for the zero Addr only
	return peer
}

// dialer makes the connections of dial known to s.
func (s *conns) dialer(dial upstream.DialFunc) upstream.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		known, ok := s.add(c, 0, 0)
		if !ok {
			_ = c.Close()
			return nil, net.ErrClosed // the node has stopped
		}
		return known, nil
	}
}
