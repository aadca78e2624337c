package cluster

import (
	"net"
	"sync"
)

// Relay carries TCP connections to another address until it is told to break
// them: the link between one node and NATS. Safe for simultaneous use.
type Relay struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	cut   bool                  // new connections are closed at once
	held  chan struct{}         // closed when bytes may pass; nil = they pass
	conns map[net.Conn]struct{} // of both sides
	done  sync.WaitGroup
}

// NewRelay listens on a free loopback port and connects to target.
func NewRelay(target string) (*Relay, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Relay{listener: l, target: target, conns: make(map[net.Conn]struct{})}
	r.done.Go(r.accept)
	return r, nil
}

// Addr is where the relay listens.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Retarget leads later connections elsewhere.
func (r *Relay) Retarget(target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.target = target
}

// Cut closes all connections and refuses new ones.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for c := range r.conns {
		_ = c.Close()
	}
}

// Hold keeps all connections open and lets no byte through, as a network does
// that swallows packets.
func (r *Relay) Hold() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held == nil {
		r.held = make(chan struct{})
	}
}

// Swallow closes all connections and lets nothing through on new ones, as the
// address of a machine does that was switched off.
func (r *Relay) Swallow() {
	r.Hold()
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		_ = c.Close()
	}
}

// Heal lets everything pass again, what was held back first.
func (r *Relay) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
	if r.held != nil {
		close(r.held)
		r.held = nil
	}
}

// Close ends the relay.
func (r *Relay) Close() {
	_ = r.listener.Close()
	r.Heal()
	r.Cut()
	r.done.Wait()
}

func (r *Relay) accept() {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.done.Go(func() { r.serve(c) })
	}
}

func (r *Relay) serve(from net.Conn) {
	defer func() { _ = from.Close() }()
	r.mu.Lock()
	target := r.target
	r.mu.Unlock()
	if !r.enter(from) {
		return
	}
	defer r.leave(from)
	to, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	if !r.enter(to) {
		return
	}
	defer r.leave(to)
	var both sync.WaitGroup
	both.Go(func() { r.pass(to, from) })
	both.Go(func() { r.pass(from, to) })
	both.Wait()
}

func (r *Relay) enter(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		return false
	}
	r.conns[c] = struct{}{}
	return true
}

func (r *Relay) leave(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
}

func (r *Relay) pass(to, from net.Conn) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		held := r.held
		r.mu.Unlock()
		if held != nil {
			<-held
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
