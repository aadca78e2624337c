package accuracy

import (
	"context"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/valyala/fasthttp"
)

// Loads are how requests arrive: a Poisson process over the nodes.
//
// uniform: all nodes alike. zipf: node i gets 1/i. flapping: each second 80 % of
// the load jumps to a random fifth of the nodes. bursty: half of it comes as 50 ms
// spikes on one random node, every half second. shift: half way through the whole
// load moves from the first half of the nodes to the second.
var Loads = []string{"uniform", "zipf", "flapping", "bursty"}

const (
	flapEvery  = time.Second
	spikeEvery = time.Second / 2
	spikeTime  = 50 * time.Millisecond
	// maxOpen bounds the requests in flight. What would be beyond is not sent and
	// counted: a figure with many of those says nothing.
	maxOpen = 4000
)

// load is the order in which requests come.
type load struct {
	kind   string
	rate   float64 // requests per second
	length time.Duration
	random *rand.Rand

	next   time.Duration // of the newest ordinary request
	held   bool          // it was not given out yet
	jump   time.Duration
	spike  time.Duration
	spikes []time.Duration
	target int // of the spike, in thousandths of the nodes

	nodes   int
	hot     []int
	moved   bool
	weights []float64 // cumulative
}

func newLoad(kind string, rate float64, length time.Duration, seed uint64) *load {
	return &load{kind: kind, rate: rate, length: length, random: rand.New(rand.NewPCG(seed, 5)), jump: flapEvery, spike: spikeEvery}
}

// request is when the next one comes, and whether it belongs to a spike.
func (l *load) request() (at time.Duration, spike, ok bool) {
	rate := l.rate
	if l.kind == "bursty" {
		rate /= 2
	}
	if !l.held {
		l.next += time.Duration(l.random.ExpFloat64() / rate * float64(time.Second))
		l.held = true
	}
	if l.kind == "bursty" && l.next >= l.spike && len(l.spikes) == 0 {
		l.target = l.random.IntN(1000)
		for range int(l.rate / 2 * spikeEvery.Seconds()) {
			l.spikes = append(l.spikes, l.spike+time.Duration(l.random.Int64N(int64(spikeTime))))
		}
		slices.Sort(l.spikes)
		l.spike += spikeEvery
	}
	if len(l.spikes) > 0 && l.spikes[0] <= l.next {
		at, l.spikes = l.spikes[0], l.spikes[1:]
		return at, true, at < l.length
	}
	l.held = false
	return l.next, false, l.next < l.length
}

// pick chooses among so many nodes.
func (l *load) pick(at time.Duration, spike bool, nodes int) int {
	if spike {
		return l.target * nodes / 1000
	}
	moved := l.kind == "shift" && at >= l.length/2
	if nodes != l.nodes || moved != l.moved || l.kind == "flapping" && at >= l.jump {
		if l.kind == "flapping" && at >= l.jump {
			l.hot = l.random.Perm(nodes)[:max(nodes/5, 1)]
			l.jump += flapEvery
		}
		l.moved = moved
		l.weigh(nodes)
	}
	return sort.SearchFloat64s(l.weights, l.random.Float64()*l.weights[nodes-1])
}

func (l *load) weigh(nodes int) {
	l.nodes, l.weights = nodes, make([]float64, nodes)
	sum := 0.0
	for i := range l.weights {
		x := 1.0
		switch {
		case l.kind == "zipf":
			x = 1 / float64(i+1)
		case slices.Contains(l.hot, i):
			x += 4 * float64(nodes) / float64(len(l.hot))
		case l.kind == "shift" && (i < nodes/2) == l.moved:
			x = 0
		}
		sum += x
		l.weights[i] = sum
	}
}

// client speaks to one node.
type client struct {
	process *process
	http    *fasthttp.HostClient
}

// balancer spreads the load over the nodes that it knows, as the one in front of
// a cluster does.
type balancer struct {
	mu      sync.Mutex
	clients []*client
}

func (b *balancer) add(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients = append(b.clients, &client{p, &fasthttp.HostClient{
		Addr: p.addr, MaxConns: maxOpen, ReadTimeout: 15 * time.Second, WriteTimeout: 15 * time.Second,
		MaxIdemponentCallAttempts: 1, NoDefaultUserAgentHeader: true, DisablePathNormalizing: true,
	}})
}

func (b *balancer) remove(p *process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients = slices.DeleteFunc(b.clients, func(c *client) bool {
		if c.process != p {
			return false
		}
		c.http.CloseIdleConnections()
		return true
	})
}

// close ends the connections to all nodes.
func (b *balancer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.clients {
		c.http.CloseIdleConnections()
	}
}

// choose gives the load the nodes there are now.
func (b *balancer) choose(l *load, at time.Duration, spike bool) *client {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.clients) == 0 {
		return nil
	}
	return b.clients[l.pick(at, spike, len(b.clients))]
}

// request is one that was sent.
type request struct {
	at     int64 // unix nanoseconds
	status int   // 0 = no answer
}

// trace is what the clients saw.
type trace struct {
	requests []request // by time
	unsent   int
}

// drive sends a load and waits for all answers.
func drive(ctx context.Context, b *balancer, l *load, path string) trace {
	var (
		t       trace
		mu      sync.Mutex
		flights sync.WaitGroup
		open    = make(chan struct{}, maxOpen)
	)
	begin := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		at, spike, ok := l.request()
		if !ok {
			break
		}
		if wait := at - time.Since(begin); wait > 0 {
			pause(ctx, wait)
		}
		to := b.choose(l, at, spike)
		if to == nil {
			t.unsent++
			continue
		}
		select {
		case open <- struct{}{}:
		default:
			t.unsent++
			continue
		}
		flights.Go(func() {
			r := to.get(path + "?n=" + strconv.Itoa(n))
			<-open
			mu.Lock()
			t.requests = append(t.requests, r)
			mu.Unlock()
		})
	}
	flights.Wait()
	slices.SortFunc(t.requests, func(a, b request) int { return int(a.at - b.at) })
	return t
}

// get asks a node once.
func (c *client) get(path string) request {
	req, resp := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
	defer fasthttp.ReleaseRequest(req)
	defer fasthttp.ReleaseResponse(resp)
	req.SetRequestURI("http://" + c.process.addr + path)
	r := request{at: time.Now().UnixNano()}
	if err := c.http.Do(req, resp); err == nil {
		r.status = resp.StatusCode()
	}
	return r
}
