package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"apiproxy.internal/shared/config"
)

// An idle connection is kept for maxIdle, so that a stale one is rare and a
// changed DNS answer is followed soon; one that is never idle is closed at its
// first release after maxAge, for the same reason.
const (
	maxIdle     = 10 * time.Second
	maxAge      = 2 * time.Minute
	maxIdleSize = 512 // connections
	bufferSize  = 4 << 10
)

// DialFunc opens a transport connection; net.Dialer.DialContext is one.
type DialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

// Pool holds the connections to one Target. Safe for simultaneous use.
type Pool struct {
	target Target
	dial   DialFunc
	tls    *tls.Config // nil for http

	active atomic.Int64

	mu     sync.Mutex
	idle   []*Conn // most recently used last
	closed bool
}

// NewPool makes an empty pool. dial opens its connections and is given the name
// each time, so that DNS is asked anew.
func NewPool(t Target, dial DialFunc) *Pool {
	p := &Pool{target: t, dial: dial}
	if t.Scheme == "https" {
		p.tls = t.tlsConfig()
	}
	return p
}

// Target returns what the pool connects to.
func (p *Pool) Target() Target { return p.target }

// Active is the number of connections that serve an exchange now.
func (p *Pool) Active() int64 { return p.active.Load() }

// Get returns a connection for one exchange: the idle one that was used last if
// fresh is false and there is one, else a new one. t must be positive. limit ends
// the whole exchange; zero means none. The caller must Release the connection;
// Classify names the error.
func (p *Pool) Get(t Timeouts, limit time.Time, fresh bool) (*Conn, error) {
	c, err := p.takeIdle(fresh), error(nil)
	if c == nil {
		if c, err = p.open(t, limit); err != nil {
			return nil, err
		}
	}
	c.begin(t, limit)
	p.active.Add(1)
	return c, nil
}

// takeIdle finds an idle connection on which nothing happened. One that the
// upstream closed would cost a request; one on which it said more than it was
// asked would give the next caller somebody else's answer.
func (p *Pool) takeIdle(fresh bool) *Conn {
	for !fresh {
		c := p.popIdle()
		if c == nil {
			return nil
		}
		if c.alive() {
			c.reused = true
			return c
		}
		_ = c.raw.Close()
	}
	return nil
}

func (p *Pool) popIdle() *Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	if time.Since(c.born)-c.idleFrom > maxIdle {
		return nil // all others are older still; the sweep closes them
	}
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return c
}

func (p *Pool) open(t Timeouts, limit time.Time) (*Conn, error) {
	deadline := time.Now().Add(t.Connect)
	if !limit.IsZero() && limit.Before(deadline) {
		deadline = limit
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	transport, err := p.dial(ctx, "tcp", p.target.Addr)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(transport.RemoteAddr()); err != nil {
		_ = transport.Close()
		return nil, fmt.Errorf("%s: %w", p.target.Addr, err)
	}
	if p.tls == nil {
		return newConn(transport, transport, p), nil
	}
	secure := tls.Client(abrupt{transport}, p.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = transport.Close()
		return nil, &TLSError{Err: err}
	}
	return newConn(transport, secure, p), nil
}

// errAbrupt is the end of a connection that the upstream did not announce.
var errAbrupt = errors.New("the connection ended without close_notify")

// abrupt is the transport below TLS. crypto/tls takes an end without
// close_notify for a clean one, as long as it comes between two records; a body
// that ends with its connection could then be cut short by anybody on the way
// and still look complete (RFC 9112 §9.8).
type abrupt struct{ net.Conn }

func (a abrupt) Read(p []byte) (int, error) {
	n, err := a.Conn.Read(p)
	if err == io.EOF {
		err = errAbrupt
	}
	return n, err
}

// checkPeer asks again what the configuration asked of a literal address: a name
// may resolve to anything, and the key must not go there.
func checkPeer(a net.Addr) error {
	peer, ok := a.(*net.TCPAddr)
	if !ok {
		return nil
	}
	if reason := config.RefusedUpstream(peer.AddrPort().Addr()); reason != "" {
		return fmt.Errorf("the name leads to %s, which is refused as an upstream; correct its DNS record", reason)
	}
	return nil
}

func (p *Pool) release(c *Conn, reusable bool) {
	p.active.Add(-1)
	age := time.Since(c.born)
	if !reusable || c.R.Buffered() > 0 || age > maxAge || !p.keep(c, age) {
		_ = c.raw.Close()
	}
}

func (p *Pool) keep(c *Conn, age time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdleSize {
		return false
	}
	c.idleFrom = age
	p.idle = append(p.idle, c)
	return true
}

// Sweep closes the connections that have been idle for more than 10 s at now. The
// node calls it every few seconds.
func (p *Pool) Sweep(now time.Time) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].born)-p.idle[n].idleFrom > maxIdle {
		n++
	}
	old := slices.Clone(p.idle[:n])
	p.idle = slices.Delete(p.idle, 0, n)
	p.mu.Unlock()
	closeAll(old)
}

// Close closes the idle connections and lets each active one be closed at its
// release. A Get after it still works, without reuse: requests that were routed
// before may come late. Idempotent.
func (p *Pool) Close() {
	p.mu.Lock()
	old := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	closeAll(old)
}

func closeAll(conns []*Conn) {
	for _, c := range conns {
		_ = c.raw.Close()
	}
}
