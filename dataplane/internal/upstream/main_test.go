package upstream

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patient timeouts never end a test's exchange.
var patient = Timeouts{Connect: 10 * time.Second, Send: 10 * time.Second, Read: 10 * time.Second}

var plain = Target{Scheme: "http", Host: "api.test", Addr: "api.test:80"}

// listen serves each connection to a loopback port and closes it afterwards.
func listen(t testing.TB, serve func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			serve(c)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}

// dialTo connects to addr, whatever name is asked for.
func dialTo(addr string) DialFunc {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// pipes dials in-memory connections and keeps the upstream's ends of them.
type pipes struct {
	asked []string   // the addresses that were dialled
	peers []net.Conn // the upstream's ends
}

func (p *pipes) dial(_ context.Context, _, addr string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.asked = append(p.asked, addr)
	p.peers = append(p.peers, theirs)
	return ours, nil
}

func (p *pipes) close() {
	for _, c := range p.peers {
		_ = c.Close()
	}
}

func get(t testing.TB, p *Pool) *Conn {
	t.Helper()
	c, err := p.Get(patient, time.Time{}, false)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closed(c *Conn) bool { return c.raw.SetWriteDeadline(time.Time{}) != nil }
