package downstream

import (
	"net"
	"testing"
	"time"
)

type canceled chan struct{}

func (c canceled) Cancel() { close(c) }

// What a client waits for is cancelled by the second sweep after it left, and
// never while it is there or once nothing is watched any more.
func TestSweepCancelsForClientsThatLeft(t *testing.T) {
	for _, row := range []struct {
		name    string
		leave   func(*net.TCPConn)
		unwatch bool
		want    bool
	}{
		{"it stays", func(*net.TCPConn) {}, false, false},
		{"it sends its next request early", func(c *net.TCPConn) { _, _ = c.Write([]byte("GET")) }, false, false},
		{"it closes", func(c *net.TCPConn) { _ = c.Close() }, false, true},
		{"it closes its half", func(c *net.TCPConn) { _ = c.CloseWrite() }, false, true},
		{"it resets", func(c *net.TCPConn) { _ = c.SetLinger(0); _ = c.Close() }, false, true},
		{"it closes behind unread bytes", func(c *net.TCPConn) { _, _ = c.Write([]byte("GET")); _ = c.Close() }, false, true},
		{"it closes its half behind unread bytes", func(c *net.TCPConn) { _, _ = c.Write([]byte("GET")); _ = c.CloseWrite() }, false, true},
		{"it closes, but was answered before", func(c *net.TCPConn) { _ = c.Close() }, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			l, c, client := connect(t)
			gone := make(canceled)
			Watch(c, gone)
			row.leave(client)
			left := row.want || row.unwatch
			for deadline := time.Now().Add(10 * time.Second); left && !Gone(c); {
				if time.Now().After(deadline) {
					t.Fatal("the end of the connection is not seen")
				}
			}
			if row.unwatch {
				Unwatch(c)
			}
			l.Sweep() // the first one spares what has only just begun
			l.Sweep()
			select {
			case <-gone:
				if !row.want {
					t.Error("cancelled")
				}
			default:
				if row.want {
					t.Error("not cancelled")
				}
			}
		})
	}
}

// A closed connection is forgotten.
func TestClosedConnectionsAreForgotten(t *testing.T) {
	l, c, _ := connect(t)
	_ = c.Close()
	if len(l.open) != 0 {
		t.Error("the listener keeps a closed connection")
	}
}

// connect returns both ends of a connection over loopback.
func connect(t *testing.T) (l *Listener, ours net.Conn, client *net.TCPConn) {
	t.Helper()
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = &Listener{Listener: below, WriteTimeout: func() time.Duration { return time.Minute }}
	c, err := net.Dial("tcp", below.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if ours, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = ours.Close(), c.Close(), l.Close() })
	return l, ours, c.(*net.TCPConn)
}
