package scenario

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/config"
)

// A rolling restart behind a balancer that looks at /ready every 50 ms: two
// nodes, each stopped gracefully and started anew on its port, twice, under 300
// requests a second. No request may fail, and none is sent twice.
func TestRollingRestartLosesNothing(t *testing.T) {
	doc, _, err := config.Parse([]byte(openLimits))
	if err != nil {
		t.Fatal(err)
	}
	doc.Proxy.CacheSize = 0 // every request must get to a provider
	dir := t.TempDir()
	options := make([]node.Options, 2)
	c, err := cluster.Start(cluster.Options{
		Nodes: len(options), Listen: "127.0.0.1:0", ProviderListen: "127.0.0.1:0", Config: doc, Dir: dir, LogDir: dir,
		Node: func(i int, o *node.Options) {
			o.DrainDelay = 500 * time.Millisecond
			options[i] = *o
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	// Answers take a while, so that each stop finds requests in flight.
	for _, provider := range []string{"zerion", "alchemy"} {
		if err := c.Provider.SetFault(fakeprovider.Fault{Provider: provider, Latency: "20ms"}); err != nil {
			t.Fatal(err)
		}
	}
	lb := newBalancer(t, c)
	defer lb.close()
	lb.await(0, true)
	lb.await(1, true)

	stopLoad := lb.load(300)
	for range 2 {
		for i := range options {
			options[i].Listen = c.Nodes[i].Addr().String()
			if err := c.Nodes[i].Stop(context.Background()); err != nil {
				t.Errorf("stop: %v", err)
			}
			lb.await(i, false)
			n, err := node.New(options[i])
			if err != nil {
				t.Fatal(err)
			}
			c.Nodes[i] = n // for Stop at the end
			if err := n.Start(); err != nil {
				t.Fatal(err)
			}
			lb.await(i, true)
		}
	}
	stopLoad()

	sent, failed := lb.sent.Load(), lb.failed.Load()
	t.Logf("%d requests over 4 restarts, %d on new connections, %d failed", sent, lb.fresh.Load(), failed)
	if failed != 0 || sent < 300 {
		t.Errorf("%d of %d requests failed", failed, sent)
	}
	if arrived := c.Provider.Stats(fakeprovider.Zerion).Arrivals + c.Provider.Stats(fakeprovider.Alchemy).Arrivals; arrived != sent {
		t.Errorf("%d requests were sent, %d arrived", sent, arrived)
	}
}

// balancer spreads requests over the nodes that say that they are ready. It is
// written on bare connections because net/http would send some requests again
// without a word.
type balancer struct {
	t                   *testing.T
	backends            []*backend
	sent, fresh, failed atomic.Int64
	stopPolling         context.CancelFunc
	polling             sync.WaitGroup
}

type backend struct {
	addr  string
	mu    sync.Mutex // guards the fields below
	ready bool
	idle  []*clientConn
}

type clientConn struct {
	net.Conn
	r *bufio.Reader
}

func newBalancer(t *testing.T, c *cluster.Cluster) *balancer {
	ctx, cancel := context.WithCancel(context.Background())
	lb := &balancer{t: t, stopPolling: cancel}
	for i := range c.Nodes {
		b := &backend{addr: strings.TrimPrefix(c.URL(i), "http://")}
		lb.backends = append(lb.backends, b)
		lb.polling.Go(func() { b.poll(ctx) })
	}
	return lb
}

func (lb *balancer) close() {
	lb.stopPolling()
	lb.polling.Wait()
	for _, b := range lb.backends {
		b.set(false)
	}
}

// poll looks at /ready every 50 ms.
func (b *backend) poll(ctx context.Context) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := b.roundTrip("GET", "/ready", "", true)
		b.set(err == nil && resp.StatusCode == http.StatusOK)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// set takes the backend in or out; one that is out loses its idle connections.
func (b *backend) set(ready bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ready = ready
	if ready {
		return
	}
	for _, c := range b.idle {
		_ = c.Close()
	}
	b.idle = nil
}

func (b *backend) isReady() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.ready }

func (lb *balancer) await(i int, ready bool) {
	lb.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if lb.backends[i].isReady() == ready {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	lb.t.Fatalf("node %d: ready is not %t", i, ready)
}

// load sends requests at a rate, whether answers come or not, until stop is
// called, which waits for the last ones.
func (lb *balancer) load(perSecond int) (stop func()) {
	done := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		begin := time.Now()
		for i := 0; ; i++ {
			select {
			case <-time.After(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(perSecond)))):
				all.Go(func() { lb.one(i) })
			case <-done:
				return
			}
		}
	})
	return func() { close(done); all.Wait() }
}

// one sends the nth request: GET and POST by turns, every third on a new
// connection.
func (lb *balancer) one(n int) {
	method, path, body := "GET", "/zerion/test", ""
	if n%2 == 1 {
		method, path = "POST", "/alchemy"
		body = fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":"eth_blockNumber","params":[]}`, n)
	}
	b := lb.pick(n)
	lb.sent.Add(1)
	if n%3 == 0 {
		lb.fresh.Add(1)
	}
	resp, err := b.roundTrip(method, path, body, n%3 == 0)
	if err != nil || resp.StatusCode != http.StatusOK {
		lb.failed.Add(1)
		lb.t.Errorf("request %d, %s to %s: %v %v", n, method, b.addr, resp, err)
	}
}

// pick takes the nodes in turn and passes over those that are out; with none it
// takes its chance.
func (lb *balancer) pick(n int) *backend {
	for i := range lb.backends {
		if b := lb.backends[(n/2+i)%len(lb.backends)]; b.isReady() {
			return b
		}
	}
	return lb.backends[0]
}

func (b *backend) roundTrip(method, path, body string, fresh bool) (*http.Response, error) {
	c, err := b.connect(fresh)
	if err != nil {
		return nil, err
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: proxy\r\nContent-Length: %d\r\n\r\n%s", method, path, len(body), body); err != nil {
		_ = c.Close()
		return nil, err
	}
	resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	b.release(c, err == nil && !resp.Close && !fresh)
	return resp, err
}

func (b *backend) connect(fresh bool) (*clientConn, error) {
	b.mu.Lock()
	if n := len(b.idle); n > 0 && !fresh {
		c := b.idle[n-1]
		b.idle = b.idle[:n-1]
		b.mu.Unlock()
		return c, nil
	}
	b.mu.Unlock()
	c, err := net.Dial("tcp", b.addr)
	if err != nil {
		return nil, err
	}
	return &clientConn{c, bufio.NewReader(c)}, nil
}

// release keeps a connection that the node did not ask to close.
func (b *backend) release(c *clientConn, reusable bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if reusable && b.ready {
		b.idle = append(b.idle, c)
		return
	}
	_ = c.Close()
}
