package node

import (
	"context"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
)

// Beyond the caps a connection is answered, counted and closed; a reload changes
// the caps, and one that closes makes room.
func TestConnectionCaps(t *testing.T) {
	for _, field := range []string{"max_connections", "max_connections_per_ip"} {
		b := start(t, nil)
		document := func(n string) string {
			return unlimited + "server: {" + field + ": " + n + "}\n" + b.upstream.provider()
		}
		b.yaml.set(document("2"))
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
		dial := func() net.Conn {
			t.Helper()
			c, err := net.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			return c
		}
		open := func() int { return b.main.conns.count() }
		first, second := dial(), dial()
		eventually(t, "two connections", func() bool { return open() == 2 })

		refused, _ := io.ReadAll(dial())
		for _, want := range []string{"HTTP/1.1 503 ", problemType, "Connection: close", "Retry-After: 1", `"error_type":"overload"`} {
			if !strings.Contains(string(refused), want) {
				t.Errorf("%s: the third got %q without %q", field, refused, want)
			}
		}
		_ = first.Close()
		eventually(t, "room for another", func() bool { return open() == 1 })
		third := dial()
		eventually(t, "the other", func() bool { return open() == 2 })

		b.yaml.set(document("3"))
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
		if resp, _ := b.get("/up/x"); resp.StatusCode != 200 {
			t.Errorf("%s: with a higher cap: %d", field, resp.StatusCode)
		}
		for _, c := range []net.Conn{second, third} {
			_ = c.Close()
		}
		refusedID := regexp.MustCompile(`"request_id":"([0-9a-f]+)"`).FindStringSubmatch(string(refused))
		_, metrics := b.get("/metrics")
		if !strings.Contains(metrics, `api_proxy_requests_error_total{provider="none",error_type="overload"} 1`) {
			t.Errorf("%s: the refusal was not counted once", field)
		}
		if err := b.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		line := `"request_id":"` + refusedID[1] + `","node":"n1","provider":"none","method":"","path":"","status":503,`
		if log := b.logFile("access.log"); strings.Count(log, line) != 1 || !strings.Contains(log, `"error_type":"overload"`) {
			t.Errorf("%s: no line %s in\n%s", field, line, log)
		}
		if strings.Count(b.stderr.get(), "connection refused by server.max_connections") != 1 {
			t.Errorf("%s: the operator was not told once:\n%s", field, b.stderr.get())
		}
	}
}

func (s *conns) count() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.open) }

// peer is a connection from a given address.
type peer struct {
	net.Conn
	addr net.Addr
}

func (p peer) RemoteAddr() net.Addr { return p.addr }
func (peer) Close() error           { return nil }

func from(ip string) net.Conn { return peer{addr: &net.TCPAddr{IP: net.ParseIP(ip), Port: 1}} }

func TestConnsCountPeers(t *testing.T) {
	s := newConns()
	add := func(ip string) bool { _, ok := s.add(from(ip), 0, 1); return ok }
	for _, row := range []struct {
		ip   string
		want bool
	}{
		{"192.0.2.1", true}, {"192.0.2.1", false}, {"192.0.2.2", true},
		{"::ffff:192.0.2.2", false}, // the same one
		{"2001:db8::1", true}, {"2001:db8::2", false}, {"2001:db8:0:1::1", true},
	} {
		if got := add(row.ip); got != row.want {
			t.Errorf("%s: %t, want %t", row.ip, got, row.want)
		}
	}
	c, _ := s.add(from("192.0.2.9"), 0, 1)
	_ = c.Close()
	_ = c.Close() // does not give the slot back twice
	if !add("192.0.2.9") || add("192.0.2.9") {
		t.Error("a closed connection still counts, or counts twice")
	}
	s.cut()
	if s.count() != 0 || len(s.peers) != 0 || add("192.0.2.10") {
		t.Error("cut left a connection or took one")
	}
	dial := s.dialer(func(context.Context, string, string) (net.Conn, error) { return from("192.0.2.11"), nil })
	if _, err := dial(context.Background(), "tcp", ""); err == nil {
		t.Error("a connection to the upstream was opened after the end")
	}
}

// scripted is a listener that answers with errors, then with connections.
type scripted struct {
	net.Listener
	errors []error
}

func (s *scripted) Accept() (net.Conn, error) {
	if len(s.errors) == 0 {
		return from("192.0.2.1"), nil
	}
	err := s.errors[0]
	s.errors = s.errors[1:]
	return nil, &net.OpError{Op: "accept", Err: err}
}

// Without a free file descriptor the node waits; it does not end.
func TestAcceptOutlivesShortages(t *testing.T) {
	out := new(lines)
	l := &capped{
		Listener: &scripted{errors: []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EBADF}},
		conns:    newConns(),
		limits:   func() config.Server { return config.Server{} },
		log:      slog.New(slog.NewTextHandler(out, nil)),
	}
	if _, err := l.Accept(); err == nil || !strings.Contains(err.Error(), "bad file descriptor") {
		t.Errorf("the listener is broken, and Accept says %v", err)
	}
	if c, err := l.Accept(); c == nil || err != nil {
		t.Errorf("%v %v", c, err)
	}
	if got := out.get(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "ulimit -n") {
		t.Errorf("logged, not once: %s", got)
	}
}
