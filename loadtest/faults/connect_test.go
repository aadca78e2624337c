package faults

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// Certificates that nobody should trust and servers that do not get as far as
// one. A TLS failure is not retried: it would come again.
func TestTLS(t *testing.T) {
	config := func(c tls.Certificate, change func(*tls.Config)) *tls.Config {
		conf := &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS10}
		if change != nil {
			change(conf)
		}
		return conf
	}
	valid := certificate(nil, false)
	fine := forHead(ok("Content-Length: 2\r\n", "{}"))
	for _, f := range []struct {
		secure *tls.Config // nil: the script has the plain port
		fault
	}{
		{config(valid, nil), fault{name: "trusted", serve: fine, get: good(200, "{}", true), head: good(200, "", false)}},
		{config(valid, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), fault{name: "TLS 1.2", serve: fine, get: good(200, "{}", true), head: good(200, "", false)}},
		{config(certificate(func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"other.test"} }, false), nil), fault{name: "wrong name", serve: fine, get: untrusted}},
		{config(certificate(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }, false), nil), fault{name: "expired", serve: fine, get: untrusted}},
		{config(certificate(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }, false), nil), fault{name: "not yet valid", serve: fine, get: untrusted}},
		{config(certificate(nil, true), nil), fault{name: "self-signed", serve: fine, get: untrusted}},
		{config(valid, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS10 }), fault{name: "TLS 1.0 only", serve: fine, get: untrusted}},
		{config(valid, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS11 }), fault{name: "TLS 1.1 only", serve: fine, get: untrusted}},
		{config(valid, nil), fault{name: "close after handshake", serve: func(p *peer) { _ = p.Close() }, get: broken}},
		{config(valid, nil), fault{name: "no close_notify", serve: after(closeHead+"12345", cutTransport), get: cutShort, head: good(200, "", false)}},
		{config(valid, nil), fault{name: "extra bytes in TLS", serve: answers(ok("Content-Length: 2\r\n", "{}") + ok("Content-Length: 6\r\n", "poison")), get: good(200, "{}", false)}},
		{nil, fault{name: "plain text", serve: func(p *peer) { p.say("HTTP/1.1 400 Bad Request\r\n\r\n"); p.hang() }, get: untrusted}},
		{nil, fault{name: "alert", serve: func(p *peer) { p.say("\x15\x03\x01\x00\x02\x02\x46"); p.hang() }, get: untrusted}},
		{nil, fault{name: "close in handshake", serve: func(p *peer) { _, _ = p.r.ReadByte(); _ = p.Close() }, get: untrusted}},
		{nil, fault{name: "reset in handshake", serve: func(p *peer) { _, _ = p.r.ReadByte(); p.reset() }, get: untrusted}},
		{nil, fault{name: "hang in handshake", serve: (*peer).hang, dial: readTimeout, get: silent, resend: true}},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, f.secure, f.serve)
			f.try(t, up, "https://"+up.Addr().String(), nil)
		})
	}
}

// cutTransport closes the connection below TLS, as somebody in between could.
func cutTransport(p *peer) { _ = p.Conn.(*tls.Conn).NetConn().Close() }

// Faults before there is a connection: no byte left, so even a POST goes again.
func TestConnect(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		up := newUpstream(t, nil, (*peer).hang)
		up.stop()
		(&fault{get: refused, resend: true}).try(t, nil, up.url(), nil)
	})
	t.Run("never accepted", func(t *testing.T) {
		t.Parallel()
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		(&fault{get: silent, read: readTimeout}).try(t, nil, "http://"+l.Addr().String(), nil)
	})
	t.Run("full backlog", func(t *testing.T) {
		t.Parallel()
		(&fault{get: silent, dial: readTimeout, resend: true}).try(t, nil, "http://"+fullBacklog(t), nil)
	})
	t.Run("unknown name", func(t *testing.T) {
		t.Parallel()
		unknown := outcome{status: 502, kinds: []string{"connect_failure"}, attempts: 3, counted: "connect_failure", failed: true}
		dial := func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true}
		}
		(&fault{get: unknown, resend: true}).try(t, nil, "http://api.test", dial)
	})
	t.Run("slow resolver", func(t *testing.T) {
		t.Parallel()
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.DNSError{Err: "i/o timeout", Name: "api.test", IsTimeout: true}
		}
		(&fault{get: silent, dial: readTimeout, resend: true}).try(t, nil, "http://api.test", dial)
	})
	// The name is asked for at each connection, so one that comes back is used by
	// the very next attempt.
	t.Run("name comes back", func(t *testing.T) {
		t.Parallel()
		up := newUpstream(t, nil, forHead(ok("Content-Length: 2\r\n", "{}")))
		var asked atomic.Int64
		b := start(t, canaryDocument(t, "http://api.test", patient, patient), canaryKeys, func(ctx context.Context, network, _ string) (net.Conn, error) {
			if asked.Add(1) <= 4 {
				return nil, &net.DNSError{Err: "server misbehaving", Name: "api.test", IsTemporary: true}
			}
			return new(net.Dialer).DialContext(ctx, network, up.Addr().String())
		})
		if a := b.do(request("POST", "k0")); a.status != 502 {
			t.Errorf("without the name: %d, want 502", a.status)
		}
		if a := b.do(request("POST", "k0")); a.status != 200 {
			t.Errorf("with the name: %d, want 200", a.status)
		}
		lines := b.accessLog(2)
		if lines[0].Attempts != 3 || lines[1].Attempts != 2 {
			t.Errorf("attempts %d and %d, want 3 and 2", lines[0].Attempts, lines[1].Attempts)
		}
		b.sinks(up.seen())
	})
}

// fullBacklog listens without accepting, with no room for one more connection:
// the next handshake gets no answer.
func fullBacklog(t *testing.T) (addr string) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	bound := net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*syscall.SockaddrInet4).Port}
	for range 8 {
		c, err := net.DialTimeout("tcp", bound.String(), 200*time.Millisecond)
		if err != nil {
			return bound.String()
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	t.Skip("SKIP: this kernel takes connections beyond the backlog")
	return ""
}

// A node that is out of descriptors or ports itself says so. The provider is not
// blamed, nor charged, and the operator is told.
func TestShortageIsTheNodesOwn(t *testing.T) {
	up := newUpstream(t, nil, answers(ok("Content-Length: 2\r\n", "{}")))
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.EADDRNOTAVAIL} {
		var short atomic.Bool
		short.Store(true)
		b := start(t, document(t, "rate_limit: {per_provider: {api: {rate: 1/h, burst: 1}}}\nproviders: {api: {prefix: /api/, auth: {type: none}, upstream: "+up.url()+"}}"), noKeys,
			func(ctx context.Context, network, addr string) (net.Conn, error) {
				if short.Load() {
					return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("socket", errno)}
				}
				return new(net.Dialer).DialContext(ctx, network, addr)
			})
		for range 10 {
			if a := b.get("/api/x"); a.status != 503 || !strings.Contains(a.body, `"error_type":"overload"`) || a.header.Get("Retry-After") == "" {
				t.Errorf("%v: %d %s", errno, a.status, a.body)
			}
		}
		if got := b.series()[`api_proxy_circuit_breaker_failures{provider="api"}`]; got != 0 {
			t.Errorf("%v: the breaker counts %v failures", errno, got)
		}
		short.Store(false)
		if a := b.get("/api/x"); a.status != 200 {
			t.Errorf("%v, then the only token: %d %s", errno, a.status, a.body)
		}
		if log := b.log.String(); !strings.Contains(log, errno.Error()) || !strings.Contains(log, "ulimit -n") {
			t.Errorf("%v is not in the log:\n%s", errno, b.log.String())
		}
	}
}
