package breakersim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	control "apiproxy.internal/controlplane/lab"
	data "apiproxy.internal/dataplane/lab"
	"apiproxy.internal/shared/wire"
)

// What the adapters of the planes do, in time.
const (
	reportEvery = int64(50 * time.Millisecond)
	coalesce    = int64(3 * time.Millisecond)
	silentAfter = int64(2 * time.Second) // a leader that is not heard for so long is silent
)

// BreakerSettings describe a BreakerWorld. Durations are nanoseconds.
type BreakerSettings struct {
	Nodes            int
	FailureThreshold int
	SuccessThreshold int
	HalfOpen         int
	Timeout          int64
	Attempt          int64   // an attempt takes up to this
	Gap              int64   // mean time between two requests at a node
	Delay            int64   // a message takes up to this
	Loss             float64 // of reports and answers
	Double           float64
	Seed             uint64
}

// BreakerWorld is one provider, the breakers of some nodes, and their leaders.
type BreakerWorld struct {
	BreakerSettings
	Now     int64
	Broken  string // the first promise that was not kept
	Strict  bool   // no probe without a permit is excused
	Fails   func(node int) bool
	Route   func() int // sends all requests to one node at a time; nil = each node has its own
	random  *rand.Rand
	events  events
	count   uint64
	nodes   []*simNode
	leaders []*simLeader // the last one leads, the others do not know it yet
	epoch   uint64
	entry   *wire.BreakerEntry // what is stored
	hold    *wire.Hold
	members map[string]bool

	Transitions []string // of the stored state, "state cause"
	Sent        int      // attempts
	Refused     int
	Probes      int // most at once
}

type simNode struct {
	i         int
	id        string
	life      int // incarnation; a stale event of an earlier one does nothing
	up, cut   bool
	breaker   *data.Breaker
	started   int64 // its clock starts anew with it
	epoch     uint64
	heard     int64
	urgent    bool
	watchedAt int64 // the watch delivers in order
}

type simLeader struct {
	machine *control.Breaker
	epoch   uint64
	up      bool
	lives   map[string]int // the incarnation of each node
	nonces  map[string]int64
}

// NewBreakerWorld starts all nodes and a leader.
func NewBreakerWorld(s BreakerSettings) *BreakerWorld {
	w := &BreakerWorld{
		BreakerSettings: s,
		random:          rand.New(rand.NewPCG(s.Seed, 0)),
		members:         map[string]bool{},
		Fails:           func(int) bool { return false },
		Now:             int64(time.Hour),
	}
	for i := range s.Nodes {
		w.nodes = append(w.nodes, &simNode{i: i, id: "n" + strconv.Itoa(i)})
		w.StartNode(i)
	}
	w.StartLeader(false)
	if s.Gap > 0 {
		w.after(w.pause(), w.arrive)
	}
	return w
}

// Run lets time pass.
func (w *BreakerWorld) Run(d time.Duration) {
	end := w.Now + int64(d)
	for len(w.events) > 0 && w.events[0].at <= end && w.Broken == "" {
		e := heap.Pop(&w.events).(event)
		w.Now = e.at
		e.do()
	}
	w.Now = end
}

// arrive is the stream of requests at all nodes together.
func (w *BreakerWorld) arrive() {
	i := w.random.IntN(len(w.nodes))
	if w.Route != nil {
		i = w.Route()
	}
	w.Request(i)
	w.after(w.pause(), w.arrive)
}

func (w *BreakerWorld) pause() int64 {
	return int64(w.random.ExpFloat64()*float64(w.Gap)/float64(len(w.nodes))) + 1
}

// Request sends one through a node; it may be refused there.
func (w *BreakerWorld) Request(i int) {
	n := w.nodes[i]
	if !n.up {
		return
	}
	permit, ok, _, _ := n.breaker.Acquire(w.Now - n.started)
	if !ok {
		w.Refused++
		return
	}
	w.Sent++
	w.look()
	life := n.life
	fails := w.Fails(i)
	w.after(w.random.Int64N(w.Attempt)+1, func() {
		if n.life != life || !n.up {
			return // it died with its process
		}
		outcome := data.BreakerSuccess
		if fails {
			outcome = data.BreakerFailure
		}
		if w.random.IntN(20) == 0 {
			outcome = data.BreakerReleased
		}
		n.breaker.Done(w.Now-n.started, permit, outcome)
	})
}

// look is the provider's view: how many probes it has to bear.
func (w *BreakerWorld) look() {
	leased, all := 0, 0
	for _, n := range w.nodes {
		if n.up {
			s := n.breaker.Stats(w.Now - n.started)
			leased += s.Leased
			all += s.SlotsInUse
		}
	}
	w.Probes = max(w.Probes, all)
	if leased > w.HalfOpen {
		w.fail("%d probes with permits at once, %d are allowed", leased, w.HalfOpen)
	}
	if w.Strict && w.State() == wire.BreakerHalfOpen && all > w.HalfOpen {
		w.fail("%d probes at once, %d are allowed", all, w.HalfOpen)
	}
}

func (w *BreakerWorld) fail(format string, args ...any) {
	if w.Broken == "" {
		w.Broken = fmt.Sprintf("at %v: ", time.Duration(w.Now)) + fmt.Sprintf(format, args...)
	}
}

// State is that of the entry stored.
func (w *BreakerWorld) State() string {
	if w.entry == nil {
		return wire.BreakerClosed
	}
	return w.entry.State
}

// NodeStates are the states that callers meet.
func (w *BreakerWorld) NodeStates() (states []string) {
	for _, n := range w.nodes {
		if n.up {
			states = append(states, n.breaker.State(w.Now-n.started).String())
		}
	}
	return states
}

// Settled says that every node that is up, the store and the leader are closed.
func (w *BreakerWorld) Settled() bool {
	for _, s := range w.NodeStates() {
		if s != wire.BreakerClosed {
			return false
		}
	}
	l := w.leaders[len(w.leaders)-1]
	return l.up && w.State() == wire.BreakerClosed && l.machine.View(w.date()).State == wire.BreakerClosed
}

// StartNode starts a node anew.
func (w *BreakerWorld) StartNode(i int) {
	n := w.nodes[i]
	n.life++
	n.up, n.epoch, n.urgent = true, 0, false
	n.started = w.Now - w.random.Int64N(int64(time.Hour)) // clocks differ
	n.heard = w.Now
	n.breaker = data.NewBreaker(data.BreakerConfig{
		FailureThreshold: w.FailureThreshold, SuccessThreshold: w.SuccessThreshold,
		HalfOpenRequests: w.HalfOpen, Timeout: time.Duration(w.Timeout),
	})
	life := n.life
	n.breaker.Join(func() {
		if !n.urgent {
			n.urgent = true
			w.after(coalesce, func() {
				if n.life == life && n.up {
					w.report(n)
				}
			})
		}
	})
	w.watch(n)
	var tick func()
	tick = func() {
		if n.life != life || !n.up {
			return
		}
		n.breaker.Follow(w.Now-n.heard < silentAfter, len(w.nodes))
		w.report(n)
		w.after(reportEvery, tick)
	}
	w.after(w.random.Int64N(reportEvery), tick)
}

// Crash ends a node's process. If proven, the leaders hear of it a little later.
func (w *BreakerWorld) Crash(i int, proven bool) {
	n := w.nodes[i]
	n.up = false
	life := n.life
	if proven {
		w.after(w.delay()+int64(100*time.Millisecond), func() {
			for _, l := range w.leaders {
				if l.up && l.lives[n.id] == life {
					w.effect(l, l.machine.Dead(w.date(), n.id))
				}
			}
		})
	}
}

// Cut breaks or mends the link of a node.
func (w *BreakerWorld) Cut(i int, cut bool) {
	n := w.nodes[i]
	n.cut = cut
	if !cut {
		w.watch(n)
	}
}

// StopLeader ends the leader; a zombie goes on until StopZombies.
func (w *BreakerWorld) StopLeader(zombie bool) {
	w.leaders[len(w.leaders)-1].up = zombie
}

// StopZombies ends the leaders that no longer lead.
func (w *BreakerWorld) StopZombies() {
	for _, l := range w.leaders[:len(w.leaders)-1] {
		l.up = false
	}
}

// StartLeader starts a new one, which finds the entry or, if lost, none.
func (w *BreakerWorld) StartLeader(lost bool) {
	w.epoch++
	if lost {
		w.entry = nil
	}
	var members []string
	for id := range w.members {
		members = append(members, id)
	}
	slices.Sort(members)
	m, eff := control.NewBreaker(w.date(), control.BreakerConfig{
		FailureThreshold: w.FailureThreshold, SuccessThreshold: w.SuccessThreshold, HalfOpenRequests: w.HalfOpen,
		Timeout: time.Duration(w.Timeout), Attempt: time.Duration(w.Attempt),
	}, control.BreakerRestored{Epoch: w.epoch, Entry: w.entry, Hold: w.hold, Nodes: members})
	l := &simLeader{machine: m, epoch: w.epoch, up: true, lives: map[string]int{}, nonces: map[string]int64{}}
	w.leaders = append(w.leaders, l)
	w.effect(l, eff)
	var tick func()
	tick = func() {
		if l.up {
			w.effect(l, l.machine.Tick(w.date()))
			w.after(reportEvery, tick)
		}
	}
	w.after(reportEvery, tick)
}

// Order gives the leader an operator's order.
func (w *BreakerWorld) Order(do func(m *control.Breaker, now time.Time) control.BreakerEffect) {
	if l := w.leaders[len(w.leaders)-1]; l.up {
		w.effect(l, do(l.machine, w.date()))
	}
}

func (w *BreakerWorld) date() time.Time { return time.Unix(0, w.Now) }
