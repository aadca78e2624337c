package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// cutPatience is how long a stop waits for requests whose connections it has
// cut off to notice and be recorded.
const cutPatience = 2 * time.Second

// Start opens the ports and serves until Stop. A node starts once.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.main != nil || n.draining.Load() {
		return errors.New("the node was started or stopped before; make a new one")
	}
	main, err := listen("listen", n.options.Listen)
	if err != nil {
		return err
	}
	var admin net.Listener
	if n.options.AdminListen != "" {
		if admin, err = listen("admin-listen", n.options.AdminListen); err != nil {
			_ = main.Close()
			return err
		}
	}
	if n.clustered() {
		if err := n.coordinate(); err != nil {
			_ = main.Close()
			if admin != nil {
				_ = admin.Close()
			}
			return err
		}
	}
	// Nothing below can fail.
	n.main = n.serve(main, n.certificate.config(n.options.TLSMin), n.equipMain)
	if admin != nil {
		n.admin = n.serve(admin, nil, n.equipAdmin)
	}
	ctx, retire := context.WithCancel(context.Background())
	n.retire = retire
	n.housekeeper.Go(func() { n.housekeep(ctx) })
	n.log.Info("node started", "address", main.Addr().String(), "version", n.options.Version)
	return nil
}

// Failed delivers the error of a listener that broke, or ErrRejected.
func (n *Node) Failed() <-chan error { return n.serveErr }

// ErrCutOff is in the error of a Stop that was clean but for requests that took
// longer than they were given.
var ErrCutOff = errors.New("requests were cut off")

// Stop drains the node: it is not ready any more and asks its clients to leave,
// waits DrainDelay for the balancer to notice, closes the listener and the idle
// connections, lets requests in flight finish for at most DrainTimeout, and
// closes everything. The end of ctx makes it hurry. Idempotent; the error says
// that requests were cut off or log lines lost.
func (n *Node) Stop(ctx context.Context) error {
	n.stopOnce.Do(func() { n.stopErr = n.stop(ctx) })
	return n.stopErr
}

func (n *Node) stop(ctx context.Context) error {
	n.mu.Lock()
	n.draining.Store(true) // and no Start comes after
	n.mu.Unlock()
	n.urge()
	var err error
	if main, admin := n.ports(); main != nil {
		n.log.Info("draining", "in_flight", n.proxy.InFlight())
		wait(ctx, n.options.DrainDelay)
		err = n.drain(ctx, main, admin)
	}
	if c := n.cluster.Load(); c != nil {
		c.leave()
	}
	n.retire()
	n.housekeeper.Wait()
	n.state.Close()
	n.log.Info("stopped")
	return errors.Join(err, n.closeLogs(logPatience))
}

// drain closes the ports, the operator's last so that a drain can be watched.
func (n *Node) drain(ctx context.Context, main, admin *port) error {
	limit := n.options.DrainTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("they took longer than --drain-timeout %v", limit))
	defer cancel()
	ended := main.shutdown(ctx)
	if admin != nil {
		ended = admin.shutdown(ctx) && ended
	}
	if ended {
		return nil
	}
	left := n.proxy.InFlight()
	close(n.cutOff)
	main.conns.cut()
	if admin != nil {
		admin.conns.cut()
	}
	n.upstreams.cut()
	for end := time.Now().Add(cutPatience); n.proxy.InFlight() > 0 && time.Now().Before(end); {
		wait(context.Background(), time.Millisecond)
	}
	if left == 0 {
		return nil // only connections without a request
	}
	err := fmt.Errorf("%d %w: %w", left, ErrCutOff, context.Cause(ctx))
	n.log.Error("stopped before all requests were served", "error", err.Error())
	return err
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// equipMain gives a server the proxy and, on their paths, the endpoints.
func (n *Node) equipMain(s *fasthttp.Server) {
	s.Handler = n.handle
	judge := s.ExpectHandler
	s.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
		if n.endpoint(ctx) == nil {
			return judge(ctx)
		}
		n.handle(ctx) // an endpoint takes no body, so none is asked for
		return ctx.Response.StatusCode()
	}
}

// equipAdmin gives a server the endpoints and nothing of the proxy.
func (n *Node) equipAdmin(s *fasthttp.Server) {
	s.Handler = n.handleAdmin
	s.ExpectHandler = func(ctx *fasthttp.RequestCtx) int {
		n.handleAdmin(ctx)
		return ctx.Response.StatusCode()
	}
}
