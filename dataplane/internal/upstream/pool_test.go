package upstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// inBubble runs f on a pool of in-memory connections, in virtual time.
func inBubble(t *testing.T, f func(t *testing.T, p *Pool, net *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		var net pipes
		p := NewPool(plain, net.dial)
		defer net.close()
		defer p.Close()
		f(t, p, &net)
	})
}

func TestReuseIsLIFO(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		a, b := get(t, p), get(t, p)
		if a.Reused() || b.Reused() {
			t.Error("a new connection says that it served before")
		}
		a.Release(true)
		b.Release(true)
		if got := get(t, p); got != b || !got.Reused() {
			t.Error("the connection used last must be taken first")
		}
		if got := get(t, p); got != a {
			t.Error("the other idle connection must be taken next")
		}
		if got := get(t, p); got == a || got == b || got.Reused() {
			t.Error("with none idle there must be a new one")
		}
	})
}

func TestFreshLeavesIdleAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		idle := get(t, p)
		idle.Release(true)
		fresh, err := p.Get(patient, time.Time{}, true)
		if err != nil || fresh == idle || fresh.Reused() {
			t.Fatalf("Get(fresh) = reused %v, %v", fresh.Reused(), err)
		}
		if get(t, p) != idle {
			t.Error("the idle connection is gone")
		}
	})
}

// Each new connection is dialled by name, so that DNS is asked anew.
func TestDialsTheName(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, net *pipes) {
		get(t, p).Release(false)
		get(t, p).Release(true)
		get(t, p).Release(false)
		get(t, p)
		if len(net.asked) != 3 {
			t.Fatalf("dialled %d times, want 3: one connection could be reused", len(net.asked))
		}
		for _, addr := range net.asked {
			if addr != "api.test:80" {
				t.Errorf("dialled %q, want the name", addr)
			}
		}
	})
}

func TestIdleExpiry(t *testing.T) {
	// After each idle time: is the connection taken again, and does it survive a
	// sweep at that moment?
	for _, row := range []struct {
		idle time.Duration
		kept bool
	}{
		{0, true},
		{maxIdle, true},
		{maxIdle + 1, false},
		{time.Hour, false},
	} {
		inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
			c := get(t, p)
			c.Release(true)
			p.Sweep(time.Now().Add(row.idle)) // the time is an argument: nothing waits here
			if closed(c) == row.kept {
				t.Errorf("idle for %v: closed by the sweep = %v", row.idle, !row.kept)
			}
		})
		inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
			c := get(t, p)
			c.Release(true)
			time.Sleep(row.idle) // virtual
			if got := get(t, p); (got == c) != row.kept {
				t.Errorf("idle for %v: taken = %v", row.idle, got == c)
			}
		})
	}
}

// A sweep closes the oldest and leaves the youngest.
func TestSweepPart(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		old, young := get(t, p), get(t, p)
		old.Release(true)
		time.Sleep(maxIdle / 2) // virtual
		young.Release(true)
		p.Sweep(time.Now().Add(maxIdle/2 + 1))
		if !closed(old) || closed(young) {
			t.Errorf("closed: old %v, young %v; want the old one only", closed(old), closed(young))
		}
		if get(t, p) != young {
			t.Error("the young connection is lost")
		}
	})
}

func TestMaxAge(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		c := get(t, p)
		time.Sleep(maxAge) // virtual
		c.Release(true)
		if get(t, p) != c {
			t.Fatal("a connection of exactly the maximal age must serve on")
		}
		time.Sleep(time.Nanosecond) // virtual
		c.Release(true)
		if !closed(c) || get(t, p) == c {
			t.Error("a connection beyond the maximal age must be closed at its release")
		}
	})
}

func TestIdleIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		conns := make([]*Conn, maxIdleSize+1)
		for i := range conns {
			conns[i] = get(t, p)
		}
		for _, c := range conns {
			c.Release(true)
		}
		if n := len(p.idle); n != maxIdleSize || !closed(conns[maxIdleSize]) {
			t.Errorf("%d idle connections are kept, want %d", n, maxIdleSize)
		}
	})
}

func TestRelease(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		c := get(t, p)
		if p.Active() != 1 {
			t.Errorf("Active = %d with one exchange, want 1", p.Active())
		}
		c.Release(true)
		c.Release(false) // must neither close it nor count twice
		c.Release(true)  // must not put it there twice
		if p.Active() != 0 || closed(c) {
			t.Errorf("after three releases of one exchange: active %d, closed %v", p.Active(), closed(c))
		}
		if a, b := get(t, p), get(t, p); a != c || b == c {
			t.Error("a connection released twice serves two exchanges")
		}
	})
}

// Bytes after the answer would pass for the next one.
func TestReleaseWithLeftover(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, net *pipes) {
		c := get(t, p)
		go func() { _, _ = net.peers[0].Write([]byte("answer and more")) }()
		if _, err := c.R.Peek(len("answer and more")); err != nil {
			t.Fatal(err)
		}
		_, _ = c.R.Discard(len("answer"))
		c.Release(true)
		if !closed(c) {
			t.Error("the connection is kept for reuse")
		}
	})
}

func TestClose(t *testing.T) {
	inBubble(t, func(t *testing.T, p *Pool, _ *pipes) {
		active, idle := get(t, p), get(t, p)
		idle.Release(true)
		p.Close()
		p.Close()
		if !closed(idle) || closed(active) {
			t.Errorf("closed: idle %v, active %v; want the idle one only", closed(idle), closed(active))
		}
		active.Release(true)
		if !closed(active) || p.Active() != 0 {
			t.Error("an active connection must be closed at its release")
		}
		// A request that was routed before the pool was closed still gets through.
		late := get(t, p)
		late.Release(true)
		if !closed(late) {
			t.Error("a closed pool keeps connections")
		}
	})
}

func TestConnectTimeout(t *testing.T) {
	for name, row := range map[string]struct {
		connect, total, want time.Duration
	}{
		"connect alone":         {connect: 5 * time.Second, want: 5 * time.Second},
		"total is the shorter":  {connect: 5 * time.Second, total: time.Second, want: time.Second},
		"connect is":            {connect: time.Second, total: 5 * time.Second, want: time.Second},
		"total is over already": {connect: time.Second, total: -1, want: 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			hang := func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			begin, limit := time.Now(), time.Time{}
			if row.total != 0 {
				limit = begin.Add(row.total)
			}
			p := NewPool(plain, hang)
			_, err := p.Get(Timeouts{Connect: row.connect}, limit, false)
			if got := time.Since(begin); got != row.want || Classify(err, false) != verdict.AttemptTimeout {
				t.Errorf("%s: %v after %v, want a timeout after %v", name, err, got, row.want)
			}
			if p.Active() != 0 {
				t.Errorf("%s: a connection that never was counts as active", name)
			}
		})
	}
}

// addressed is a connection to some address.
type addressed struct {
	net.Conn
	peer net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.peer }

// A name may resolve to what the configuration refuses as a literal address.
func TestRefusesMetadataAddress(t *testing.T) {
	for ip, refused := range map[string]bool{
		"169.254.169.254":        true,
		"::ffff:169.254.169.254": true,
		"fe80::1":                true,
		"fd00:ec2::254":          true,
		"127.0.0.1":              false,
		"10.0.0.1":               false,
		"2001:db8::1":            false,
	} {
		var ours net.Conn
		p := NewPool(plain, func(context.Context, string, string) (net.Conn, error) {
			var theirs net.Conn
			ours, theirs = net.Pipe()
			t.Cleanup(func() { _ = theirs.Close() })
			return addressed{ours, &net.TCPAddr{IP: net.ParseIP(ip), Port: 80}}, nil
		})
		c, err := p.Get(patient, time.Time{}, false)
		if (err != nil) != refused {
			t.Errorf("%s: %v, want refused = %v", ip, err, refused)
		}
		if err == nil {
			c.Release(false)
		} else if Classify(err, false) != verdict.AttemptConnectFailure {
			t.Errorf("%s: classified as %s", ip, Classify(err, false))
		}
		if ours.SetDeadline(time.Time{}) == nil {
			t.Errorf("%s: the connection stays open", ip)
		}
	}
}

// Under -race: simultaneous exchanges, sweeps and a close; nothing leaks and the
// count ends at 0.
func TestPoolIsRaceFree(t *testing.T) {
	addr := listen(t, func(net.Conn) {})
	p := NewPool(plain, dialTo(addr))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				c, err := p.Get(patient, time.Time{}, n%50 == 0)
				if err != nil {
					t.Error(err)
					return
				}
				if n%7 == 0 {
					c.alive()
				}
				c.Release((n+i)%3 != 0)
				if n%20 == 0 {
					p.Sweep(time.Now().Add(maxIdle * time.Duration(n%40)))
				}
			}
		})
	}
	all.Wait()
	p.Close()
	if p.Active() != 0 || len(p.idle) != 0 {
		t.Errorf("at the end %d active and %d idle connections, want none", p.Active(), len(p.idle))
	}
}

func TestDialErrorIsReturned(t *testing.T) {
	broken := errors.New("no route")
	p := NewPool(plain, func(context.Context, string, string) (net.Conn, error) { return nil, broken })
	if _, err := p.Get(patient, time.Time{}, false); !errors.Is(err, broken) {
		t.Errorf("Get = %v, want the dialler's error", err)
	}
}
