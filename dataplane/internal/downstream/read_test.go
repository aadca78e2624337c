package downstream

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// What a server asks for by SetReadDeadline comes true between then and an
// eighth later, whatever it asked for before, and a busy connection rarely pays
// for it.
func TestReadDeadlines(t *testing.T) {
	for _, row := range []struct {
		name  string
		first time.Duration // an earlier deadline, under which a byte was read; 0 = none
		want  time.Duration // the deadline under test; 0 = no deadline at all
	}{
		{"the first deadline", 0, d},
		{"an equal one", d, d},
		{"a much later one", d, 10 * d},
		{"a much earlier one: the head after the idle wait", 10 * d, d},
		{"one in the past", d, -time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := accept(t, d, func(client net.Conn) {
					if row.first != 0 {
						_, _ = client.Write([]byte{'a'})
					}
				})
				if row.first != 0 {
					_ = c.SetReadDeadline(time.Now().Add(row.first))
					if _, err := c.Read(make([]byte, 1)); err != nil {
						t.Fatal(err)
					}
				}
				begin := time.Now()
				_ = c.SetReadDeadline(begin.Add(row.want))
				_, err := c.Read(make([]byte, 1))
				took := time.Since(begin)
				least := max(row.want, 0)
				if !errors.Is(err, os.ErrDeadlineExceeded) || took < least || took > least*9/8 {
					t.Errorf("%v after %v, want a timeout after %v to %v", err, took, least, least*9/8)
				}
			})
		})
	}
}

// ReadTimeout and KeepAlive are what the listener says when the wait begins.
func TestTimeoutsFollowTheListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := accept(t, d, func(client net.Conn) {
			for range 4 {
				_, _ = client.Write([]byte{'a'})
			}
		})
		var header, idle time.Duration
		l := c.(*conn).of
		l.HeaderTimeout, l.IdleTimeout = func() time.Duration { return header }, func() time.Duration { return idle }
		for range 2 {
			for _, row := range []struct{ asked, header, idle, want time.Duration }{
				{ReadTimeout, d, 10 * d, d},
				{KeepAlive, d, 10 * d, 10 * d},
				{ReadTimeout, 24 * time.Hour, d, 24 * time.Hour},
				{24 * time.Hour, d, d, 24 * time.Hour}, // a body's own
			} {
				header, idle = row.header, row.idle
				begin := time.Now()
				_ = c.SetReadDeadline(begin.Add(row.asked))
				var err error
				for err == nil { // what there is to read takes no time
					_, err = c.Read(make([]byte, 1))
				}
				if took := time.Since(begin); took < row.want || took > row.want*9/8 {
					t.Errorf("%v after %v, want a timeout after %v to %v", err, took, row.want, row.want*9/8)
				}
			}
		}
	})
}

type countingReads struct {
	net.Conn
	set int
}

func (c *countingReads) SetReadDeadline(time.Time) error { c.set++; return nil }
func (c *countingReads) Read(p []byte) (int, error)      { return len(p), nil }

// A keep-alive connection sets two deadlines a request; hardly any reach the
// network poller.
func TestBusyConnectionRarelySetsDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &countingReads{}
		c := &conn{Conn: below}
		for range 10_000 { // 1,000 requests a second for ten seconds
			_ = c.SetReadDeadline(time.Now().Add(75 * time.Second))
			_, _ = c.Read(nil)
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			time.Sleep(time.Millisecond) // virtual
		}
		if below.set > 3 {
			t.Errorf("%d deadlines were set in 10 s, want at most 3", below.set)
		}
	})
}

// LongLine looks for a line end in what was read last, in however many reads.
func TestLongLine(t *testing.T) {
	for _, row := range []struct {
		name  string
		reads []string
		want  bool
	}{
		{"nothing was read", nil, false},
		{"too little", []string{"abc"}, false},
		{"one long read", []string{"abcd"}, true},
		{"many short ones", []string{"a", "b", "c", "d"}, true},
		// The head may have begun behind the line end: then it is shorter.
		{"a line end in the last", []string{"abcd", "e\n"}, false},
		{"a line end before four bytes", []string{"a\n", "bcd", "e"}, true},
		{"a line end before three", []string{"abcd\n", "efg"}, false},
	} {
		c, _ := accept(t, d, func(client net.Conn) {
			for _, text := range row.reads {
				_, _ = client.Write([]byte(text))
			}
		})
		for range row.reads {
			if _, err := c.Read(make([]byte, 10)); err != nil {
				t.Fatal(err)
			}
		}
		if got := LongLine(c, 4); got != row.want {
			t.Errorf("%s: %v, want %v", row.name, got, row.want)
		}
	}
	if LongLine(&countingReads{}, 0) {
		t.Error("another connection has a long line")
	}
}
