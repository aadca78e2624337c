package upstream

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// counting counts how often a read deadline is set.
type counting struct {
	net.Conn
	set int
}

func (c *counting) SetReadDeadline(t time.Time) error {
	c.set++
	return c.Conn.SetReadDeadline(t)
}

// metered is a connection to an upstream that behaves as upstream does.
func metered(t *testing.T, timeouts Timeouts, limit time.Time, upstream func(net.Conn)) (*Conn, *counting) {
	ours, theirs := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() { upstream(theirs) })
	t.Cleanup(running.Wait)
	t.Cleanup(func() { _ = theirs.Close() })
	counted := &counting{Conn: ours}
	p := NewPool(plain, func(context.Context, string, string) (net.Conn, error) { return counted, nil })
	c, err := p.Get(timeouts, limit, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Release(false) })
	return c, counted
}

// A stream of 10,000 small reads, 1 ms apart, sets a deadline every d/8 only.
func TestBusyConnectionRarelySetsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const reads = 10_000
		c, counted := metered(t, Timeouts{Connect: 1, Send: 1, Read: 800 * time.Millisecond}, time.Time{}, func(peer net.Conn) {
			for range reads {
				time.Sleep(time.Millisecond) // virtual
				_, _ = peer.Write([]byte{'.'})
			}
		})
		for i := range reads {
			if _, err := c.R.ReadByte(); err != nil {
				t.Fatalf("read %d: %v", i, err)
			}
		}
		// 10 s of virtual time hold 100 spans of d/8 = 100 ms.
		if counted.set < 95 || counted.set > 101 {
			t.Errorf("%d deadlines were set in %d reads, want about 100", counted.set, reads)
		}
	})
}

func TestSilence(t *testing.T) {
	const d = 800 * time.Millisecond
	// The upstream says something, then nothing for a while. The first byte comes
	// at every point of the span for which a deadline is left alone.
	for before := time.Duration(0); before < d/2; before += d / 50 {
		for silence, survives := range map[time.Duration]bool{
			d / 2:     true,
			d - 1:     true,
			d*9/8 + 1: false,
			2 * d:     false,
		} {
			synctest.Test(t, func(t *testing.T) {
				c, _ := metered(t, Timeouts{Connect: 1, Send: 1, Read: d}, time.Time{}, func(peer net.Conn) {
					_, _ = peer.Write([]byte{'a'}) // arms the deadline
					time.Sleep(before)             // virtual
					_, _ = peer.Write([]byte{'b'})
					time.Sleep(silence) // virtual
					_, _ = peer.Write([]byte{'c'})
				})
				for range 2 {
					if _, err := c.R.ReadByte(); err != nil {
						t.Fatal(err)
					}
				}
				begin := time.Now()
				_, err := c.R.ReadByte()
				took := time.Since(begin)
				switch {
				case survives && err != nil:
					t.Errorf("%v of silence, %v after arming: %v after %v", silence, before, err, took)
				case !survives && Classify(err, true) != verdict.AttemptTimeout:
					t.Errorf("%v of silence, %v after arming: %v, want a timeout", silence, before, err)
				case !survives && (took < d || took > d*9/8):
					t.Errorf("timeout after %v, want %v to %v", took, d, d*9/8)
				}
			})
		}
	}
}

// The total limit ends the exchange, however busy, and costs one deadline.
func TestLimitEndsABusyExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c, counted := metered(t, Timeouts{Connect: 1, Send: 1, Read: time.Second}, begin.Add(500*time.Millisecond), func(peer net.Conn) {
			for {
				if _, err := peer.Write([]byte{'.'}); err != nil {
					return
				}
				time.Sleep(time.Millisecond) // virtual
			}
		})
		_, err := io.Copy(io.Discard, c.R)
		if took := time.Since(begin); Classify(err, true) != verdict.AttemptTimeout || took != 500*time.Millisecond {
			t.Errorf("%v after %v, want a timeout after 500ms", err, took)
		}
		if counted.set != 1 {
			t.Errorf("%d deadlines were set, want 1", counted.set)
		}
	})
}

// What one exchange armed must not end the next one early or late.
func TestNextExchangeHasItsOwnBounds(t *testing.T) {
	for name, row := range map[string]struct {
		first, second           time.Duration // read timeouts
		firstLimit, secondLimit time.Duration // after the begin; 0 = none
		wantAtLeast, wantAtMost time.Duration
	}{
		"a longer timeout": {first: 80 * time.Millisecond, second: 8 * time.Second, wantAtLeast: 8 * time.Second, wantAtMost: 9 * time.Second},
		"a shorter one":    {first: 8 * time.Second, second: 80 * time.Millisecond, wantAtLeast: 80 * time.Millisecond, wantAtMost: 90 * time.Millisecond},
		"a limit goes":     {first: 8 * time.Second, firstLimit: time.Second, second: 8 * time.Second, wantAtLeast: 8 * time.Second, wantAtMost: 9 * time.Second},
		"a limit comes":    {first: 8 * time.Second, second: 8 * time.Second, secondLimit: time.Second, wantAtLeast: time.Second, wantAtMost: time.Second},
		"nothing changes":  {first: 8 * time.Second, second: 8 * time.Second, wantAtLeast: 8 * time.Second, wantAtMost: 9 * time.Second},
	} {
		inBubble(t, func(t *testing.T, p *Pool, net *pipes) {
			exchange := func(read, limit time.Duration) *Conn {
				var until time.Time
				if limit > 0 {
					until = time.Now().Add(limit)
				}
				c, err := p.Get(Timeouts{Connect: 1, Send: 1, Read: read}, until, false)
				if err != nil {
					t.Fatal(err)
				}
				return c
			}
			c := exchange(row.first, row.firstLimit)
			go func() { _, _ = net.peers[0].Write([]byte{'.'}) }()
			if _, err := c.R.ReadByte(); err != nil {
				t.Fatal(err)
			}
			c.Release(true)
			if exchange(row.second, row.secondLimit) != c {
				t.Fatal("the connection was not reused")
			}
			begin := time.Now()
			_, err := c.R.ReadByte()
			took := time.Since(begin)
			if Classify(err, true) != verdict.AttemptTimeout || took < row.wantAtLeast || took > row.wantAtMost {
				t.Errorf("%s: %v after %v, want a timeout after %v to %v", name, err, took, row.wantAtLeast, row.wantAtMost)
			}
			c.Release(false)
		})
	}
}

// An upstream that takes a body slowly is not silent; one that stops taking it is.
func TestSendTimeout(t *testing.T) {
	const d = time.Second
	for name, row := range map[string]struct {
		pause   time.Duration // before each piece that the upstream takes
		pieces  int           // that it takes
		timeout bool
	}{
		"slow":    {pause: d - 1, pieces: 8},
		"stalled": {pause: 1, pieces: 3, timeout: true},
		"silent":  {pieces: 0, timeout: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, _ := metered(t, Timeouts{Connect: 1, Send: d, Read: d}, time.Time{}, func(peer net.Conn) {
				buf := make([]byte, maxPiece)
				for range row.pieces {
					time.Sleep(row.pause) // virtual
					_, _ = io.ReadFull(peer, buf)
				}
			})
			n, err := c.Write(make([]byte, 8*maxPiece))
			if row.timeout != (Classify(err, true) == verdict.AttemptTimeout) || n != row.pieces*maxPiece {
				t.Errorf("%s: wrote %d bytes, %v", name, n, err)
			}
			if c.Wrote() != (row.pieces > 0) {
				t.Errorf("%s: Wrote = %v after %d bytes", name, c.Wrote(), n)
			}
		})
	}
}

// Wrote and Received speak of the current exchange only.
func TestWhatAnExchangeDid(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, net *pipes) {
		c := get(t, p)
		go func() { _, _ = io.CopyN(net.peers[0], net.peers[0], 1) }()
		tell := func(when string, wrote, received bool) {
			t.Helper()
			if c.Wrote() != wrote || c.Received() != received {
				t.Errorf("%s: wrote %v, received %v; want %v, %v", when, c.Wrote(), c.Received(), wrote, received)
			}
		}
		tell("at first", false, false)
		_, _ = c.Write([]byte{'?'})
		tell("after the request", true, false)
		_, _ = c.R.ReadByte()
		tell("after the answer", true, true)
		c.Release(true)
		if get(t, p) != c {
			t.Fatal("the connection was not reused")
		}
		tell("in the next exchange", false, false)
	})
}
