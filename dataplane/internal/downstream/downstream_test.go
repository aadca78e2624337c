package downstream

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipeListener accepts the server's end of one in-memory connection and counts
// how often its write deadline is set.
type pipeListener struct {
	net.Listener
	accepts net.Conn
	set     int
}

type counting struct {
	net.Conn
	l *pipeListener
}

func (l *pipeListener) Accept() (net.Conn, error) {
	if l.accepts == nil {
		return nil, net.ErrClosed
	}
	return counting{l.accepts, l}, nil
}

func (c counting) SetWriteDeadline(t time.Time) error {
	c.l.set++
	return c.Conn.SetWriteDeadline(t)
}

// accept returns a connection to a client that behaves as client does.
func accept(t *testing.T, timeout time.Duration, client func(net.Conn)) (net.Conn, *pipeListener) {
	t.Helper()
	ours, theirs := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() { client(theirs) })
	below := &pipeListener{accepts: ours}
	l := &Listener{Listener: below, WriteTimeout: func() time.Duration { return timeout }}
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = theirs.Close(), c.Close()
		running.Wait()
	})
	return c, below
}

const d = 800 * time.Millisecond

// A client that takes a piece from time to time keeps its stream for ever, at
// the price of one deadline per d/8.
func TestLiveStreamIsNeverCut(t *testing.T) {
	for pause, most := range map[time.Duration]int{
		time.Millisecond: 101, // 10,000 writes in 10 s
		d - 1:            10_000,
	} {
		synctest.Test(t, func(t *testing.T) {
			c, below := accept(t, d, func(client net.Conn) {
				for {
					time.Sleep(pause) // virtual
					if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
						return
					}
				}
			})
			for n := range 10_000 {
				if _, err := c.Write([]byte{'.'}); err != nil {
					t.Fatalf("write %d to a client that reads every %v: %v", n, pause, err)
				}
			}
			if below.set > most {
				t.Errorf("%d deadlines were set with %v between writes, want at most %d", below.set, pause, most)
			}
		})
	}
}

// A client that stops taking its answer is cut between d and d*9/8, at whatever
// moment after the last deadline it stops.
func TestStalledClientIsCut(t *testing.T) {
	for since := time.Duration(0); since < d/2; since += d / 50 {
		synctest.Test(t, func(t *testing.T) {
			c, _ := accept(t, d, func(client net.Conn) { _, _ = io.ReadFull(client, make([]byte, 2)) })
			_, _ = c.Write([]byte{'a'}) // arms the deadline
			time.Sleep(since)           // virtual
			_, _ = c.Write([]byte{'b'})
			begin := time.Now()
			n, err := c.Write([]byte{'c'})
			took := time.Since(begin)
			if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || took < d || took > d*9/8 {
				t.Errorf("stalled %v after arming: %d, %v after %v; want a timeout after %v to %v", since, n, err, took, d, d*9/8)
			}
		})
	}
}

// Pauses of the server do not count: only writing does.
func TestQuietServerIsNotCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := accept(t, d, func(client net.Conn) { _, _ = io.Copy(io.Discard, client) })
		for range 3 {
			if _, err := c.Write([]byte{'.'}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour) // virtual
		}
	})
}

func TestTimeoutIsAskedAtEachAccept(t *testing.T) {
	timeout := time.Second
	l := &Listener{Listener: &pipeListener{accepts: &net.TCPConn{}}, WriteTimeout: func() time.Duration { return timeout }}
	for _, want := range []time.Duration{time.Second, time.Minute} {
		timeout = want
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if got := c.(*conn).timeout; got != want {
			t.Errorf("the connection has the timeout %v, want %v", got, want)
		}
	}
}

// The server must see the listener's own error, to know whether it was closed.
func TestAcceptError(t *testing.T) {
	l := &Listener{Listener: &pipeListener{}}
	if c, err := l.Accept(); c != nil || err != net.ErrClosed {
		t.Errorf("Accept = %v, %v; want the listener's error", c, err)
	}
}
