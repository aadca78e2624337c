package faults

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// upstream is a raw server that hands each connection to a script.
type upstream struct {
	net.Listener
	serve  func(*peer)
	secure *tls.Config // nil for plain TCP

	wg       sync.WaitGroup
	mu       sync.Mutex
	stopped  bool
	ended    chan struct{} // closed by stop
	accepted int
	open     map[net.Conn]bool
	requests []string // heads, and bodies of a known length
}

// peer is the upstream's end of a connection.
type peer struct {
	net.Conn
	r  *bufio.Reader
	up *upstream
}

func newUpstream(t testing.TB, secure *tls.Config, serve func(*peer)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upstream{Listener: l, serve: serve, secure: secure, open: map[net.Conn]bool{}, ended: make(chan struct{})}
	u.wg.Go(u.run)
	t.Cleanup(u.stop)
	return u
}

func (u *upstream) run() {
	for {
		c, err := u.Accept()
		if err != nil {
			return
		}
		u.mu.Lock()
		u.accepted++
		u.open[c] = true
		if u.stopped {
			_ = c.Close()
		}
		u.mu.Unlock()
		u.wg.Go(func() { u.handle(c) })
	}
}

func (u *upstream) handle(transport net.Conn) {
	defer func() {
		_ = transport.Close()
		u.mu.Lock()
		delete(u.open, transport)
		u.mu.Unlock()
	}()
	c := transport
	if u.secure != nil {
		secure := tls.Server(transport, u.secure)
		if secure.HandshakeContext(context.Background()) != nil {
			return
		}
		c = secure
	}
	u.serve(&peer{Conn: c, r: bufio.NewReader(c), up: u})
}

func (u *upstream) stop() {
	_ = u.Close()
	u.mu.Lock()
	if !u.stopped {
		close(u.ended)
	}
	u.stopped = true
	for c := range u.open {
		_ = c.Close()
	}
	u.mu.Unlock()
	u.wg.Wait()
}

// url is where a node finds it.
func (u *upstream) url() string {
	if u.secure != nil {
		return "https://" + u.Addr().String()
	}
	return "http://" + u.Addr().String()
}

// counts tells how many connections came in all and how many are open.
func (u *upstream) counts() (accepted, open int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.accepted, len(u.open)
}

func (u *upstream) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.requests...)
}

// request reads one request; false at the end of the connection.
func (p *peer) request() (string, bool) {
	head, length, ok := p.head()
	if !ok {
		return "", false
	}
	body := make([]byte, max(length, 0))
	if _, err := io.ReadFull(p.r, body); err != nil {
		return "", false
	}
	return p.note(head + string(body)), true
}

// head reads the head of a request and leaves its body.
func (p *peer) head() (head string, length int, ok bool) {
	var text strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		if err != nil {
			return "", 0, false
		}
		text.WriteString(line)
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "content-length") {
			length, _ = strconv.Atoi(strings.TrimSpace(value))
		}
		if line == "\r\n" {
			return text.String(), length, true
		}
	}
}

func (p *peer) note(request string) string {
	p.up.mu.Lock()
	defer p.up.mu.Unlock()
	p.up.requests = append(p.up.requests, request)
	return request
}

func (p *peer) say(text string) bool {
	_, err := io.WriteString(p, text)
	return err == nil
}

// hang waits until the node gives up.
func (p *peer) hang() { _, _ = io.Copy(io.Discard, p.r) }

// reset ends the connection as a crashed or overloaded server does.
func (p *peer) reset() {
	if tcp, ok := p.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = p.Close()
}

// trickle says text in equal pieces with pauses between them.
func (p *peer) trickle(text string, pieces int, pause time.Duration) bool {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	size := (len(text) + pieces - 1) / pieces
	for len(text) > 0 {
		n := min(size, len(text))
		if !p.say(text[:n]) {
			return false
		}
		text = text[n:]
		<-tick.C
	}
	return true
}

// answers is a script that answers every request with the same text.
func answers(text string) func(*peer) {
	return func(p *peer) {
		for {
			if _, ok := p.request(); !ok || !p.say(text) {
				return
			}
		}
	}
}
