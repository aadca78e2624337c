package accuracy

import (
	"context"
	"syscall"
	"time"

	"apiproxy.internal/loadtest/fakeprovider"
)

// Fault is a run with something going wrong, and what is promised about it.
type Fault struct {
	Name  string
	Nodes int
	Load  string
	Limit Limit
	// Demand as a multiple of the rate, Length of the load.
	Demand   float64
	Length   time.Duration
	From, To time.Duration // the window of Least and Within
	Least    float64       // utilisation in the window, %
	Within   float64       // back over 95 % after so many milliseconds; 0 = not promised
	Short    bool          // part of the short run, with 3 nodes
	Global   bool          // measure the limit of all requests
	Extra    string        // further settings of the limit
	Steps    []step

	// Sim names the same fault in the simulation, for the figures of others.
	Sim string
}

// faultLimit is that of the simulation, so that the figures compare.
var faultLimit = Limit{1000, 2000}

const sec = time.Second

// Faults are all of them. The load begins at 0 with a full bucket, which at 2x
// is empty after 2 s.
func Faults() []Fault {
	return []Fault{
		{Name: "all load moves to the other nodes, 2x", Load: "shift", Length: 10 * sec, From: 5 * sec, To: 6 * sec, Within: 200, Sim: "all load moves to the other nodes, 2x"},
		{Name: "all load moves to the other nodes, 0.9x", Load: "shift", Demand: 0.9, Length: 10 * sec, From: 5 * sec, To: 6 * sec, Within: 200, Sim: "all load moves to the other nodes, 0.9x"},
		{Name: "node kill -9", Length: 11 * sec, From: 4 * sec, To: 10 * sec, Within: 3000, Short: true, Sim: "node killed, proof of death",
			Steps: []step{{4 * sec, killNode(2)}}},
		{Name: "node kill -9, started again after 0.5 s", Length: 8 * sec, From: 4 * sec, To: 8 * sec, Within: 3000, Sim: "node killed and started again after 0.5 s",
			Steps: []step{{4 * sec, killNode(2)}, {4*sec + sec/2, restartNode(2)}}},
		{Name: "node kill -9, started again after its share was given away", Length: 12 * sec, From: 4 * sec, To: 9 * sec, Within: 3000,
			Steps: []step{{4 * sec, killNode(2)}, {9 * sec, restartNode(2)}}},
		{Name: "node SIGSTOP 2 s, its clients stay", Length: 10 * sec, From: 4 * sec, To: 10 * sec, Short: true, Sim: "node stopped 5 s",
			Steps: []step{{4 * sec, signalNode(2, syscall.SIGSTOP)}, {6 * sec, signalNode(2, syscall.SIGCONT)}}},
		{Name: "NATS and controller SIGSTOP 10 s", Length: 17 * sec, From: 4 * sec, To: 14 * sec, Least: 98, Sim: "NATS down 10 s",
			Steps: []step{{4 * sec, signalController(syscall.SIGSTOP)}, {14 * sec, signalController(syscall.SIGCONT)}}},
		{Name: "the same, on_disconnect closed", Length: 17 * sec, From: 4 * sec, To: 14 * sec, Extra: ", on_disconnect: closed",
			Steps: []step{{4 * sec, signalController(syscall.SIGSTOP)}, {14 * sec, signalController(syscall.SIGCONT)}}},
		{Name: "controller kill -9, restarted after 5 s", Length: 12 * sec, From: 4 * sec, To: 9 * sec, Least: 98, Short: true, Sim: "leader away 5 s",
			Steps: []step{{4 * sec, killController}, {9 * sec, restartController}}},
		{Name: "controller kill -9, restarted after 5 s, Zipf", Load: "zipf", Length: 12 * sec, From: 4 * sec, To: 9 * sec, Least: 98, Sim: "leader away 5 s, Zipf",
			Steps: []step{{4 * sec, killController}, {9 * sec, restartController}}},
		{Name: "controller kill -9, a node too, both restarted", Length: 14 * sec, From: 4 * sec, To: 14 * sec,
			Steps: []step{{4 * sec, killController}, {5 * sec, killNode(2)}, {6 * sec, restartNode(2)}, {9 * sec, restartController}}},
		{Name: "scale 1 to 10 to 3", Nodes: 1, Length: 16 * sec, From: 4 * sec, To: 16 * sec,
			Steps: []step{{4 * sec, scale(10)}, {10 * sec, scale(3)}}},
		{Name: "limit halved, then doubled and more", Length: 13 * sec, From: 4 * sec, To: 13 * sec, Short: true, Sim: "limit halved",
			Steps: []step{{4 * sec, change(0.5)}, {8 * sec, change(1.3)}}},
		{Name: "a third of the answers are 503 and retried", Length: 8 * sec, From: 4 * sec, To: 8 * sec, Steps: []step{{sec / 2, failing(1.0 / 3)}}},
		{Name: "global limit, 2x", Global: true, Length: 8 * sec, From: 4 * sec, To: 8 * sec, Least: 99.5},
		{Name: "global limit, Zipf 10x", Global: true, Load: "zipf", Demand: 10, Limit: Limit{200, 400}, Length: 8 * sec, From: 3 * sec, To: 8 * sec, Least: 99.5},
	}
}

// filled has the defaults put in.
func (f Fault) filled() Fault {
	if f.Nodes == 0 {
		f.Nodes = 10
	}
	if f.Load == "" {
		f.Load = "uniform"
	}
	if f.Limit == (Limit{}) {
		f.Limit = faultLimit
	}
	if f.Demand == 0 {
		f.Demand = 2
	}
	return f
}

// killNode is kill -9; the balancer sees it at once.
func killNode(i int) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error {
		p := r.node(i)
		p.kill()
		r.balancer.remove(p)
		return nil
	}
}

func restartNode(i int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		if err := r.startNode(ctx, i); err != nil {
			return err
		}
		r.balancer.add(r.node(i))
		return nil
	}
}

func signalNode(i int, s syscall.Signal) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error { r.node(i).signal(s); return nil }
}

func signalController(s syscall.Signal) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error { r.control.signal(s); return nil }
}

func killController(_ context.Context, r *run) error { r.control.kill(); return nil }

func restartController(ctx context.Context, r *run) error { return r.startController(ctx) }

// scale starts or drains nodes until there are n.
func scale(n int) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		for len(r.nodes) < n {
			if err := r.addNode(ctx); err != nil {
				return err
			}
			r.balancer.add(r.node(len(r.nodes) - 1))
		}
		for i := len(r.nodes) - 1; i >= n; i-- {
			p := r.node(i)
			r.balancer.remove(p)
			p.signal(syscall.SIGTERM)
		}
		for i := len(r.nodes) - 1; i >= n; i-- {
			r.node(i).terminate(10 * sec)
		}
		return nil
	}
}

// change sets the limit to a multiple of what it was at the beginning.
func change(factor float64) func(context.Context, *run) error {
	return func(ctx context.Context, r *run) error {
		l := Limit{r.limit.Rate * factor, r.limit.Burst * factor}
		begin := time.Now().UnixNano()
		if err := r.change(ctx, r.provider, l); err != nil {
			return err
		}
		at := time.Now().UnixNano()
		if l.Rate > r.limits[len(r.limits)-1].Rate {
			at = begin // a raise may help at once
		}
		r.limits = append(r.limits, limitAt{l, at})
		return nil
	}
}

// failing lets a part of the answers be 503.
func failing(part float64) func(context.Context, *run) error {
	return func(_ context.Context, r *run) error {
		return r.cluster.provider.SetFault(fakeprovider.Fault{Provider: r.provider.String(), ErrorRate: part, Status: 503})
	}
}
