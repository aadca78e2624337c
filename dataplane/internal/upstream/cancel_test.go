package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"testing"

	"apiproxy.internal/dataplane/internal/verdict"
)

// An exchange that is cancelled ends at once, in words that hold nothing against
// the upstream.
func TestCancel(t *testing.T) {
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, &x509.Certificate{DNSNames: []string{"api.test"}}, newKey(t))}}
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }
	for name, p := range map[string]*Pool{
		"plain": NewPool(plain, dialTo(listen(t, silent))),
		"tls": ca.pool(listen(t, func(c net.Conn) {
			s := tls.Server(c, config)
			if s.Handshake() == nil {
				_, _ = s.Read(make([]byte, 1))
			}
		})),
	} {
		t.Run(name, func(t *testing.T) {
			defer p.Close()
			c := get(t, p)
			defer c.Release(false)
			done := make(chan error, 1)
			go func() {
				_, err := c.R.ReadByte()
				done <- err
			}()
			c.Cancel()
			if err := <-done; Classify(err, true) != verdict.AttemptCanceled {
				t.Errorf("%v counts as %s", err, Classify(err, true))
			}
		})
	}
}
