// Package lease is a node's side of one limit of the cluster: which part of it
// the node may spend, until when, and what it says to the leader. The request
// path sees a limit.Bucket and nothing else; everything here runs a few times a
// tick. Pure: times and messages are arguments, and nothing is sent from here.
//
// Why no message can make the node admit too much: it only ever adds what an
// answer hands it, once (the sums in it count up), and it hands back only what
// it has taken out of its bucket before. See package quota for the whole
// argument, and docs/MODEL.md.
package lease

import (
	"math"
	"sync"

	"apiproxy.internal/dataplane/internal/limit"
	"apiproxy.internal/shared/quota"
)

// Time is one moment on two clocks in nanoseconds. Mono is the clock of the
// request path; it may stand still while the machine sleeps. Boot goes on then,
// so ends are kept on it. On machines that never sleep both may be the same.
type Time struct{ Mono, Boot int64 }

// mono is a moment of the boot clock on the other, as of t.
func (t Time) mono(boot int64) int64 {
	left := boot - t.Boot
	if boot == quota.Forever || left > quota.Forever-max(t.Mono, 0) {
		return quota.Forever
	}
	return t.Mono + left
}

// Mode is how a lease stands.
type Mode uint8

// The modes of a lease.
const (
	None    Mode = iota // there has been no lease in this process
	Leased              // answered lately
	Holding             // no answer for some time: goes on earning its share
	Closed              // the share has ended, or was handed back: refuses
)

func (m Mode) String() string { return [...]string{"none", "leased", "holding", "closed"}[m] }

const (
	// early is how long before its tokens end a node without answers gives up
	// those that it could not keep, so that a late tick refuses no request.
	early = quota.Second / 5
	// retryGap is when an urgent report without an answer counts as lost, and
	// scarceGap what is between two when the pool has little to give anyway.
	retryGap = 2*quota.Delay + quota.Tick/5
	// Where requests wait for the answer, the next one asks almost at once too.
	scarceGap = quota.Tick / 2
	waitGap   = 2 * quota.Second / 1000
)

// Lease is the lease of one limit. All methods may be called at the same time.
type Lease struct {
	bucket *limit.Bucket

	mu       sync.Mutex
	start    int64 // boot clock: nonces before it are of another incarnation
	have     quota.Holding
	got      quota.Sum
	back     quota.Sum
	last     quota.Answer // newest in force
	reports  uint64
	leased   bool  // an answer or a saved lease was applied
	renewed  int64 // boot clock: the newest report that was answered
	until    int64 // boot clock: the end of the lease
	aged     bool  // have.Aged() since renewed
	asked    int64 // boot clock: the newest urgent report
	waiting  bool  // for its answer
	leaving  bool
	granted  int64 // boot clock: tokens came
	demand   demand
	arrivals chan struct{} // closed when tokens come; nil while nobody waits
}

// New returns a lease that holds nothing and refuses all. Its bucket rings bell
// when the node should look at Urgent.
func New(t Time, bell chan<- struct{}) *Lease {
	return &Lease{
		bucket: limit.NewShare(t.Mono, bell),
		start:  t.Boot,
		asked:  math.MinInt64 / 2,
		demand: demand{at: t.Boot, active: math.MinInt64 / 2},
	}
}

// Bucket is what requests take from. It is the same for the life of the lease.
func (l *Lease) Bucket() *limit.Bucket { return l.bucket }

// Urgent reports whether the bucket has run low and a report should be sent
// before the next tick. While it says no although the bell rang, ask again
// within 10 ms.
func (l *Lease) Urgent(t Time) bool {
	if !l.bucket.Rung() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	gap := int64(0)
	switch {
	case l.last.Wait > 0:
		gap = waitGap
	case l.last.Scarce:
		gap = scarceGap
	case l.waiting:
		gap = retryGap
	}
	return t.Boot-l.asked >= gap
}

// Report is the next report. At each tick, urgent is false. What it hands back
// is out of the bucket; if it must be lost it is lost, the next report carries
// it again. When Saved has changed to less, keep that before the report is sent.
func (l *Lease) Report(t Time, urgent bool) quota.Report {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(t)
	taken, refused := l.bucket.Counts()
	count := taken + int64(refused)*quota.Token
	now := max(l.demand.fast, l.demand.rate(t.Boot, count))
	if !urgent {
		l.demand.sample(t.Boot, count)
	} else {
		l.asked, l.waiting = t.Boot, true
	}
	l.tidy(t, urgent)
	l.bucket.Rearm()
	l.reports++
	return quota.Report{
		Term: l.last.Term, Seq: l.reports, Nonce: t.Boot,
		Got: l.got, Back: l.back,
		Level:    l.bucket.Level(t.Mono),
		Demand:   whole(l.demand.slow),
		Now:      whole(now),
		Urgent:   urgent,
		Admitted: uint64(max(taken, 0) / quota.Token),
		Refused:  refused,
	}
}

// tidy hands back what the leader asked for and what others need more.
func (l *Lease) tidy(t Time, urgent bool) {
	left := l.have
	left.Rate = min(left.Rate, l.last.Hand)
	keep := int64(quota.MaxRoom)
	if m := l.last.Most; m > 0 {
		keep = m
	}
	switch idle := l.demand.idle(t.Boot); {
	case urgent:
	case l.last.Wait > 0: // who waited for tokens has taken them by now
		if t.Boot-l.granted >= l.last.Wait {
			keep = 0
		}
	case l.last.Scarce && idle > quota.Second: // all but what its rate earns into, see Answer.Keep: a rate without room is worth nothing
		keep = min(keep, l.last.Keep)
	case l.last.Scarce:
		keep = min(keep, whole(l.demand.fast*float64(quota.Tick+2*quota.Delay)/quota.Second)+quota.Token)
	}
	tokens := l.bucket.Withdraw(t.Mono, keep)
	level := l.bucket.Level(t.Mono)
	if left.Rate == 0 { // a fraction that never becomes a token
		tokens += l.bucket.Withdraw(t.Mono, level-level%quota.Token)
		level -= level % quota.Token
	}
	left.Room = min(left.Room-tokens, level+l.last.Keep)
	l.handBack(t, left, tokens)
}

// handBack leaves the node with left; tokens are out of the bucket already.
func (l *Lease) handBack(t Time, left quota.Holding, tokens int64) {
	p := quota.Part{Holding: quota.Holding{Rate: l.have.Rate - left.Rate, Room: l.have.Room - left.Room}, Tokens: tokens}
	if p == (quota.Part{}) {
		return
	}
	l.back = l.back.Plus(p)
	l.have = left
	l.reshape(t, 0)
}

func (l *Lease) reshape(t Time, add int64) {
	low := l.last.Low
	if l.last.Wait == 0 {
		low = max(low, quota.Token)
	}
	l.bucket.Reshape(t.Mono, limit.Share{Rate: l.have.Rate, Room: l.have.Room, Low: low}, add)
}

// Apply takes an answer in and says whether a report should be sent at once.
// Answers that come too late, twice or out of order, or that are for another
// incarnation, change nothing that they should not.
func (l *Lease) Apply(t Time, a quota.Answer) (report bool) {
	a = a.Sane()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(t)
	if l.leaving || a.Term < l.last.Term || a.Nonce < l.start || a.Nonce > t.Boot || t.Boot-a.Nonce >= quota.Fresh {
		return false
	}
	switch p := a.Gave.Minus(l.got); {
	case a.Term > l.last.Term:
		first := l.last
		first.Term, first.Seq = a.Term, 0
		l.last = first
		if a.Drop {
			l.drop(t)
		}
		report = true
	case a.Seq > l.last.Seq:
		if !p.Possible() || !(quota.Part{Holding: quota.Holding{Rate: l.have.Rate + p.Rate, Room: l.have.Room + p.Room}}).Possible() {
			return false
		}
		lower := a.Low != l.last.Low
		l.last = a
		l.got = a.Gave
		l.have.Rate += p.Rate
		l.have.Room += p.Room
		if p != (quota.Part{}) || lower {
			l.reshape(t, p.Tokens)
		}
		if p.Tokens > 0 {
			l.granted = t.Boot
			l.wake()
		}
		report = a.Now
	}
	l.renew(t, a)
	return report
}

// renew lets the lease run from the report that was answered.
func (l *Lease) renew(t Time, a quota.Answer) {
	if a.Nonce >= l.asked {
		l.waiting = false
	}
	if l.leased && a.Nonce < l.renewed {
		return
	}
	l.leased, l.aged = true, false
	l.renewed = a.Nonce
	l.until = quota.Forever
	if a.Lease < quota.Forever-max(a.Nonce, 0) {
		l.until = a.Nonce + a.Lease
	}
	every := a.Every
	if every == 0 {
		every = limit.Never
	}
	l.bucket.TellAtMost(every)
	l.end(t)
}

// expire does what is due when no answer has come for long.
func (l *Lease) expire(t Time) {
	if !l.leased {
		return
	}
	if !l.aged && t.Boot >= l.renewed+quota.Fresh-early {
		l.shrink(t, l.have.Aged())
		l.aged = true
	}
	if t.Boot >= l.until {
		l.drop(t)
	}
	l.end(t)
}

// end tells the bucket when its tokens die, after it was reshaped.
func (l *Lease) end(t Time) {
	end := l.until
	if !l.aged {
		end = min(end, l.renewed+quota.Fresh)
	}
	l.bucket.End(t.mono(end))
}

func (l *Lease) drop(t Time) { l.shrink(t, quota.Holding{}) }

// shrink hands back all beyond left, and tokens beyond its room.
func (l *Lease) shrink(t Time, left quota.Holding) {
	l.handBack(t, left, l.bucket.Withdraw(t.Mono, left.Room))
}

// Return is the last report: everything unspent goes back, and nothing is taken
// in any more. It may be asked for again, in case it is lost.
func (l *Lease) Return(t Time) quota.Report {
	l.mu.Lock()
	l.leaving = true
	l.drop(t)
	l.until = t.Boot
	l.mu.Unlock()
	r := l.Report(t, false)
	r.Last = true
	return r
}

// MaxWait is how long a refused request may wait for the next answer; 0 = it is
// refused at once.
func (l *Lease) MaxWait() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.Wait
}

// Arrival is closed when the next tokens come. Ask for it, then try to take
// once more, then wait: so that none are missed.
func (l *Lease) Arrival() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arrivals == nil {
		l.arrivals = make(chan struct{})
	}
	return l.arrivals
}

func (l *Lease) wake() {
	if l.arrivals != nil {
		close(l.arrivals)
		l.arrivals = nil
	}
}
