package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// exchange sends a line and waits for one, and names how that ended.
func exchange(p *Pool, t Timeouts) verdict.AttemptOutcome {
	c, err := p.Get(t, time.Time{}, true)
	if err != nil {
		return Classify(err, false)
	}
	defer c.Release(false)
	if _, err = c.Write([]byte("hello\n")); err == nil {
		_, err = c.R.ReadString('\n')
	}
	return Classify(err, true)
}

func TestOutcomesOnSockets(t *testing.T) {
	readLine := func(c net.Conn) { _, _ = c.Read(make([]byte, 6)) }
	for name, row := range map[string]struct {
		serve func(net.Conn)
		want  verdict.AttemptOutcome
	}{
		"an answer":               {func(c net.Conn) { readLine(c); _, _ = c.Write([]byte("hello\n")) }, verdict.AttemptSuccess},
		"silence":                 {func(net.Conn) {}, verdict.AttemptTimeout},
		"closed before an answer": {func(c net.Conn) { readLine(c); _ = c.Close() }, verdict.AttemptConnectionBroken},
		"reset": {func(c net.Conn) {
			readLine(c)
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}, verdict.AttemptConnectionBroken},
		"half an answer": {func(c net.Conn) { readLine(c); _, _ = c.Write([]byte("hel")); _ = c.Close() }, verdict.AttemptConnectionBroken},
	} {
		t.Run(name, func(t *testing.T) {
			timeouts := patient
			if row.want == verdict.AttemptTimeout {
				timeouts.Read = 20 * time.Millisecond
			}
			if got := exchange(NewPool(plain, dialTo(listen(t, row.serve))), timeouts); got != row.want {
				t.Errorf("outcome %s, want %s", got, row.want)
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	if got := exchange(NewPool(plain, dialTo(addr)), patient); got != verdict.AttemptConnectionRefused {
		t.Errorf("outcome %s, want connection_refused", got)
	}
}

func TestClassify(t *testing.T) {
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, row := range map[string]struct {
		err       error
		connected bool
		want      verdict.AttemptOutcome
	}{
		"nothing":                 {nil, true, verdict.AttemptSuccess},
		"refused":                 {refused, false, verdict.AttemptConnectionRefused},
		"no such host":            {&net.DNSError{IsNotFound: true}, false, verdict.AttemptConnectFailure},
		"slow DNS":                {&net.DNSError{IsTimeout: true}, false, verdict.AttemptTimeout},
		"no route":                {syscall.EHOSTUNREACH, false, verdict.AttemptConnectFailure},
		"no descriptors":          {&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, false, verdict.AttemptCanceled},
		"no local ports":          {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}, false, verdict.AttemptCanceled},
		"no descriptors for DNS":  {&net.DNSError{Err: "dial udp 192.0.2.1:53: socket: " + syscall.EMFILE.Error(), IsTemporary: true}, false, verdict.AttemptCanceled},
		"no memory later":         {syscall.ENOMEM, true, verdict.AttemptConnectionBroken},
		"kernel gave up":          {syscall.ETIMEDOUT, false, verdict.AttemptTimeout},
		"deadline":                {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), true, verdict.AttemptTimeout},
		"context":                 {context.DeadlineExceeded, false, verdict.AttemptTimeout},
		"handshake":               {&TLSError{Err: io.EOF}, false, verdict.AttemptSSLError},
		"handshake took too long": {&TLSError{Err: context.DeadlineExceeded}, false, verdict.AttemptTimeout},
		"alert after handshake":   {&net.OpError{Op: "remote error", Err: errors.New("tls: bad certificate")}, true, verdict.AttemptSSLError},
		"closed":                  {io.EOF, true, verdict.AttemptConnectionBroken},
		"reset":                   {syscall.ECONNRESET, true, verdict.AttemptConnectionBroken},
		"broken pipe":             {syscall.EPIPE, true, verdict.AttemptConnectionBroken},
		"not HTTP":                {errors.New("malformed status line"), true, verdict.AttemptConnectionBroken},
	} {
		if got := Classify(row.err, row.connected); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// waitReadable waits until the upstream did something that its client can see, without
// looking through the connection under test.
func waitReadable(t *testing.T, c *Conn) {
	t.Helper()
	err := c.socket.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err != syscall.EAGAIN
	})
	if err != nil {
		t.Fatal(err)
	}
}

// An idle connection on which anything happened is not used again.
func TestAlive(t *testing.T) {
	for name, row := range map[string]struct {
		act   func(net.Conn)
		alive bool
	}{
		"nothing happens": {nil, true},
		"closed":          {func(c net.Conn) { _ = c.Close() }, false},
		"half closed":     {func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() }, false},
		"reset":           {func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); _ = c.Close() }, false},
		"unasked bytes":   {func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 408 Request Timeout\r\n")) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			peers := make(chan net.Conn, 2)
			p := NewPool(plain, dialTo(listen(t, func(c net.Conn) { peers <- c })))
			defer p.Close()
			c := get(t, p)
			defer func() { c.Release(false) }()
			peer := <-peers
			c.Release(true)
			if row.act != nil {
				row.act(peer)
				waitReadable(t, c)
			}
			if c = get(t, p); c.Reused() != row.alive {
				t.Errorf("reused: %v, want %v", c.Reused(), row.alive)
			}
		})
	}
}

// The deadline of the last exchange says nothing about the connection.
func TestAliveAfterDeadline(t *testing.T) {
	p := NewPool(plain, dialTo(listen(t, func(net.Conn) {})))
	c := get(t, p)
	defer c.Release(false)
	if err := c.raw.SetDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !c.alive() {
		t.Error("a healthy idle connection is taken for a closed one")
	}
}
