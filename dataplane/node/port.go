package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/shared/config"
)

// port is a listener, the server behind it and its connections.
type port struct {
	listener net.Listener
	server   *fasthttp.Server
	conns    *conns
	clients  *downstream.Listener
	served   chan struct{} // closed when the server has got its last connection
}

func (p *port) addr() net.Addr {
	if p == nil {
		return nil
	}
	return p.listener.Addr()
}

// listen opens the port that a flag names.
func listen(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w; stop what uses the port or choose another address", flag, addr, err)
	}
	return l, nil
}

// maxConcurrency is the most that max_connections may say; the caps are the
// listener's affair, because it can follow a changed configuration.
const maxConcurrency = 1_000_000

// serve serves l in the background. A nil certificate means plain HTTP.
func (n *Node) serve(l net.Listener, certificate *tls.Config, equip func(*fasthttp.Server)) *port {
	p := &port{listener: l, conns: newConns(), served: make(chan struct{})}
	p.server = &fasthttp.Server{
		ReadTimeout: downstream.ReadTimeout,
		IdleTimeout: downstream.KeepAlive,
		Concurrency: maxConcurrency,
		Logger:      serverLog{n.log},
	}
	n.proxy.Equip(p.server)
	equip(p.server)
	l = &capped{Listener: l, conns: p.conns, limits: n.limits, log: n.log, refuse: func(c net.Conn) {
		n.refuseConn(c, certificate == nil)
	}}
	p.clients = &downstream.Listener{
		Listener:      l,
		WriteTimeout:  func() time.Duration { return time.Duration(n.limits().WriteTimeout) },
		HeaderTimeout: func() time.Duration { return time.Duration(n.limits().HeaderTimeout) },
		IdleTimeout:   func() time.Duration { return time.Duration(n.limits().IdleTimeout) },
	}
	l = p.clients
	if certificate != nil {
		l = downstream.Secure(l, certificate)
	}
	go func() {
		defer close(p.served)
		if err := p.server.Serve(l); err != nil && !n.draining.Load() {
			n.serveErr <- err
		}
	}()
	return p
}

func (n *Node) limits() config.Server { return n.inForce().Document.Server }

// shutdown closes the port and the idle connections and waits for the others.
// It reports whether all ended before ctx did.
func (p *port) shutdown(ctx context.Context) bool {
	_ = p.listener.Close()
	<-p.served // before that the server might not know its listener yet
	err := p.server.ShutdownWithContext(ctx)
	return err == nil || ctx.Err() == nil // else it says that the listener was closed before
}
