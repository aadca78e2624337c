// Package sim drives the real limit machines of both planes through simulated
// time: nodes and leaders with clocks that differ, messages that are lost,
// repeated, late and out of order, processes that crash, stop and come back. It
// checks at every step that the limit is kept, and measures how much of it is
// used. A run is a function of its Config: the same seed gives the same run.
package sim

import (
	"container/heap"
	"math/rand/v2"

	"apiproxy.internal/shared/quota"
)

const (
	ms     = int64(1e6)
	second = int64(1e9)
)

// Config is one run. Times in nanoseconds of true time, from 0.
type Config struct {
	Kind     Kind
	Nodes    int
	Params   quota.Params
	Demand   float64 // offered load as a multiple of the rate
	Load     string  // uniform, zipf, flap, burst, shift
	Length   int64   // of the load; it begins at Start
	DelayMin int64   // one way
	DelayMax int64
	Seed     uint64

	Loss, Twice, Late float64 // probability of each for a single message; late = up to 5 s
	Drift             bool    // clocks run up to 1/2000 too fast or too slow
	NoPark            bool    // refused requests never wait
	Broken            bool    // the leader frees a cut when it asks for it: the negative control
	CheckEvery        int64   // 0 = never
	Faults            []Fault
	From, To          int64 // the window that Result.During is about
}

// Start is when the load begins; nodes join before.
const Start = 2 * second

// Fault happens at a moment of the run.
type Fault struct {
	At int64
	Do func(*World)
}

// World is a run in progress.
type World struct {
	Config
	now    int64
	queue  events
	random *rand.Rand

	nodes   []*node
	leaders []*leader
	store   store
	params  quota.Params // in force at the leaders
	fresh   bool         // no leader was ever there

	messages int
	result   Result
	meter    meter
	loose    quota.Params // the wider of old and new limit while a change is under way
}

// store is what is durable: the leader's epoch and the list of members.
type store struct {
	epoch   uint64
	members map[string]member
	down    bool
}

// member is a node in the durable list. An incarnation that is written down as
// dead stays dead, however late its last messages come: only a later one clears
// that.
type member struct {
	incarnation uint64
	dead        bool
}

type event struct {
	at int64
	id uint64
	do func()
}

type events struct {
	list []event
	next uint64
}

func (q *events) Len() int { return len(q.list) }
func (q *events) Less(i, j int) bool {
	a, b := &q.list[i], &q.list[j]
	return a.at < b.at || a.at == b.at && a.id < b.id
}
func (q *events) Swap(i, j int) { q.list[i], q.list[j] = q.list[j], q.list[i] }
func (q *events) Push(x any)    { q.list = append(q.list, x.(event)) }
func (q *events) Pop() any {
	e := q.list[len(q.list)-1]
	q.list[len(q.list)-1].do = nil
	q.list = q.list[:len(q.list)-1]
	return e
}

func (w *World) at(t int64, do func()) {
	w.queue.next++
	heap.Push(&w.queue, event{max(t, w.now), w.queue.next, do})
}

func (w *World) after(d int64, do func()) { w.at(w.now+d, do) }

// runTo runs all events up to t.
func (w *World) runTo(t int64) {
	for len(w.queue.list) > 0 && w.queue.list[0].at <= t {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = t
}

// clock is a machine's: true time, shifted and a little fast or slow.
type clock struct{ offset, drift int64 } // drift in millionths

func (w *World) newClock() clock {
	c := clock{offset: 1000*second + w.random.Int64N(1000*second)}
	if w.Drift {
		c.drift = w.random.Int64N(1001) - 500
	}
	return c
}

func (c clock) read(now int64) int64 { return c.offset + now + now/1_000_000*c.drift }

// process is what nodes and leaders have in common.
type process struct {
	clock
	up      bool
	cut     bool  // from the network
	stopped int64 // until then, as by SIGSTOP
	pending []func()
}

// handle runs do in the process: now, when it goes on, or never.
func (w *World) handle(p *process, do func()) {
	switch {
	case !p.up:
	case p.stopped > w.now:
		p.pending = append(p.pending, do)
	default:
		do()
	}
}

// stop stops a process for a time.
func (w *World) stop(p *process, d int64) {
	p.stopped = max(p.stopped, w.now+d)
	w.at(p.stopped, func() {
		if p.stopped > w.now {
			return
		}
		pending := p.pending
		p.pending = nil
		for _, do := range pending {
			if p.up {
				do()
			}
		}
	})
}

// send carries a message from one process to another.
func (w *World) send(from, to *process, do func()) {
	w.messages++
	copies := 1
	if w.Loss > 0 && w.random.Float64() < w.Loss {
		copies = 0
	}
	if w.Twice > 0 && w.random.Float64() < w.Twice {
		copies++
	}
	for range copies {
		d := w.DelayMin + w.random.Int64N(w.DelayMax-w.DelayMin+1)
		if w.Late > 0 && w.random.Float64() < w.Late {
			d += w.random.Int64N(5 * second)
		}
		if from.cut || to.cut {
			continue
		}
		w.after(d, func() {
			if !to.cut {
				w.handle(to, do)
			}
		})
	}
}

// Run runs a Config.
func Run(c Config) Result {
	w := &World{Config: c, random: rand.New(rand.NewPCG(c.Seed, 1)), params: c.Params, loose: c.Params, fresh: true}
	w.store.members = make(map[string]member)
	w.meter = newMeter(w)
	w.StartLeader()
	for range c.Nodes {
		w.AddNode()
	}
	for _, f := range c.Faults {
		w.at(f.At, func() { f.Do(w) })
	}
	if c.CheckEvery > 0 {
		var check func()
		check = func() { w.check(); w.after(c.CheckEvery, check) }
		w.at(1, check)
	}
	next := newLoad(c, w.nodeCount)
	for {
		t, n, ok := next.request()
		if !ok {
			break
		}
		w.runTo(t)
		w.request(n)
	}
	w.runTo(Start + c.Length)
	return w.finish()
}

// nodeCount is how many nodes the balancer knows.
func (w *World) nodeCount() int {
	n := 0
	for _, x := range w.nodes {
		if x.balanced {
			n++
		}
	}
	return n
}
