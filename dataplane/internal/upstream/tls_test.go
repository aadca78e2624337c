package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

var secure = Target{Scheme: "https", Host: "api.test", Addr: "api.test:443"}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	a.cert, a.key = nil, newKey(t)
	a.cert = a.issue(t, &x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
	}, a.key).Leaf
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue signs what, by itself if a has no certificate yet.
func (a *authority) issue(t *testing.T, what *x509.Certificate, key *ecdsa.PrivateKey) tls.Certificate {
	what.SerialNumber = big.NewInt(1)
	what.NotBefore = time.Now().Add(-48 * time.Hour)
	if what.NotAfter.IsZero() {
		what.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = what, key
	}
	der, err := x509.CreateCertificate(rand.Reader, what, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) pool(addr string) *Pool {
	p := NewPool(secure, dialTo(addr))
	p.tls.RootCAs = x509.NewCertPool()
	p.tls.RootCAs.AddCert(a.cert)
	return p
}

// handshake serves one TLS connection with cert and then answers a line.
func handshake(config *tls.Config) func(net.Conn) {
	return func(c net.Conn) {
		s := tls.Server(c, config)
		if s.Handshake() == nil {
			_, _ = s.Read(make([]byte, 6))
			_, _ = s.Write([]byte("hello\n"))
		}
	}
}

func TestOutcomesOfTLS(t *testing.T) {
	ca := newAuthority(t)
	leaf := func(signer *authority, name string, notAfter time.Time) *tls.Config {
		cert := signer.issue(t, &x509.Certificate{DNSNames: []string{name}, NotAfter: notAfter}, newKey(t))
		return &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	good := leaf(ca, "api.test", time.Time{})
	old := good.Clone()
	old.MaxVersion = tls.VersionTLS11
	other := good.Clone()
	other.NextProtos = []string{"spdy"}
	mutual := good.Clone()
	mutual.ClientAuth = tls.RequireAnyClientCert

	for name, row := range map[string]struct {
		serve func(net.Conn)
		want  verdict.AttemptOutcome
	}{
		"a valid certificate":        {handshake(good), verdict.AttemptSuccess},
		"for another name":           {handshake(leaf(ca, "other.test", time.Time{})), verdict.AttemptSSLError},
		"signed by itself":           {handshake(leaf(&authority{}, "api.test", time.Time{})), verdict.AttemptSSLError},
		"by an unknown authority":    {handshake(leaf(newAuthority(t), "api.test", time.Time{})), verdict.AttemptSSLError},
		"expired":                    {handshake(leaf(ca, "api.test", time.Now().Add(-time.Hour))), verdict.AttemptSSLError},
		"TLS 1.1":                    {handshake(old), verdict.AttemptSSLError},
		"no common protocol":         {handshake(other), verdict.AttemptSSLError},
		"wants a client certificate": {handshake(mutual), verdict.AttemptSSLError}, // an alert after the handshake
		"plain HTTP": {func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		}, verdict.AttemptSSLError},
		"closes in the handshake": {func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)); _ = c.Close() }, verdict.AttemptSSLError},
		"hangs in the handshake":  {func(net.Conn) {}, verdict.AttemptTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			timeouts := patient
			if row.want == verdict.AttemptTimeout {
				timeouts.Connect = 20 * time.Millisecond
			}
			p := ca.pool(listen(t, row.serve))
			if got := exchange(p, timeouts); got != row.want {
				t.Errorf("outcome %s, want %s", got, row.want)
			}
			if p.Active() != 0 {
				t.Error("the connection counts as active for ever")
			}
		})
	}
}

func TestAliveOnTLS(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{
		Certificates:                []tls.Certificate{ca.issue(t, &x509.Certificate{DNSNames: []string{"api.test"}}, newKey(t))},
		DynamicRecordSizingDisabled: true, // one write, one record
	}
	for name, row := range map[string]struct {
		behind string          // what follows the answer in its record
		act    func(*tls.Conn) // what the upstream does afterwards
		alive  bool
	}{
		"nothing happens":       {alive: true},
		"close_notify":          {act: func(c *tls.Conn) { _ = c.CloseWrite() }},
		"closed without notice": {act: func(c *tls.Conn) { _ = c.NetConn().Close() }},
		"unasked bytes":         {act: func(c *tls.Conn) { _, _ = c.Write([]byte("HTTP/1.1 200 OK\r\n")) }},
		// These are decrypted already and lie in neither the socket nor R.
		"unasked bytes in the record of the answer": {behind: "HTTP/1.1 200 OK\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			peers := make(chan *tls.Conn, 2)
			p := ca.pool(listen(t, func(c net.Conn) {
				s := tls.Server(c, config)
				if s.Handshake() == nil {
					_, _ = s.Read(make([]byte, 1))
				}
				peers <- s
			}))
			defer p.Close()
			c := get(t, p)
			defer func() { c.Release(false) }()
			_, _ = c.Write([]byte{'?'})
			peer := <-peers
			const size = 8 << 10 // more than R's buffer, less than a record
			_, _ = peer.Write(append(make([]byte, size), row.behind...))
			if _, err := io.ReadFull(c.R, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			c.Release(true)
			if row.act != nil {
				row.act(peer)
				waitReadable(t, c)
			}
			if c = get(t, p); c.Reused() != row.alive {
				t.Fatalf("reused: %v, want %v", c.Reused(), row.alive)
			}
			if row.alive { // and it must still work
				go func() { _, _ = peer.Write([]byte{'!'}) }()
				if b, err := c.R.ReadByte(); b != '!' || err != nil {
					t.Errorf("read %q, %v on the connection used again", b, err)
				}
			}
		})
	}
}

// A body that ends with its connection is complete only if the upstream says so
// (RFC 9112 §9.8); anybody on the way can end the connection.
func TestEndOfTLS(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, &x509.Certificate{DNSNames: []string{"api.test"}}, newKey(t))}}
	for name, row := range map[string]struct {
		end  func(*tls.Conn) error
		want error
	}{
		"close_notify":          {(*tls.Conn).Close, nil},
		"closed without notice": {func(c *tls.Conn) error { return c.NetConn().Close() }, errAbrupt},
	} {
		t.Run(name, func(t *testing.T) {
			p := ca.pool(listen(t, func(c net.Conn) {
				s := tls.Server(c, config)
				_, _ = s.Write([]byte("all"))
				_ = row.end(s)
			}))
			c := get(t, p)
			defer c.Release(false)
			if body, err := io.ReadAll(c.R); string(body) != "all" || !errors.Is(err, row.want) {
				t.Errorf("read %q, %v; want %v", body, err, row.want)
			}
		})
	}
}

// A second connection resumes the session of the first.
func TestSessionsAreResumed(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{
		ca.issue(t, &x509.Certificate{DNSNames: []string{"api.test"}}, newKey(t)),
	}}
	p := ca.pool(listen(t, handshake(config)))
	defer p.Close()
	for n := range 2 {
		c, err := p.Get(patient, time.Time{}, true)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello\n"))
		_, _ = c.R.ReadString('\n')
		if resumed := c.raw.(*tls.Conn).ConnectionState().DidResume; resumed != (n > 0) {
			t.Errorf("connection %d: resumed = %v", n+1, resumed)
		}
		c.Release(false)
	}
}

// The handshake counts as connecting, so the connect timeout covers it, whatever
// the dialler took.
func TestConnectTimeoutCoversTheHandshake(t *testing.T) {
	addr := listen(t, func(net.Conn) {})
	p := NewPool(secure, func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := dialTo(addr)(ctx, network, "")
		<-ctx.Done() // all of the time is gone
		return c, err
	})
	_, err := p.Get(Timeouts{Connect: time.Millisecond}, time.Time{}, false)
	if got := Classify(err, false); got != verdict.AttemptTimeout {
		t.Errorf("outcome %s (%v), want timeout", got, err)
	}
}
