package controller

import (
	"crypto/tls"
	"fmt"
	"net"
	"sync/atomic"
)

// certificate is what Listen shows its clients; empty for plain HTTP.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

func (c *certificate) load(o *Options) error {
	if o.TLSCert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return fmt.Errorf("cannot use the TLS certificate: %w; check --tls-cert and --tls-key", err)
	}
	c.current.Store(&pair)
	return nil
}

// listener speaks TLS if there is a certificate.
func (c *certificate) listener(l net.Listener, minimum string) net.Listener {
	if c.current.Load() == nil {
		return l
	}
	return tls.NewListener(l, &tls.Config{
		MinVersion:     tlsVersions[minimum],
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	})
}
