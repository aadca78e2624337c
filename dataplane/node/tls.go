package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"sync/atomic"
)

// certificate is what Listen shows its clients; empty for plain HTTP. A Reload
// replaces it for the connections that come after.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
}

// loadCertificate reads the TLS files; nil if there are none.
func (o *Options) loadCertificate() (*tls.Certificate, error) {
	if o.TLSCert == "" {
		return nil, nil
	}
	c, err := tls.LoadX509KeyPair(o.TLSCert, o.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("cannot use the TLS certificate: %w; check --tls-cert and --tls-key", err)
	}
	return &c, nil
}

// config is nil without a certificate.
func (c *certificate) config(minimum string) *tls.Config {
	if c.current.Load() == nil {
		return nil
	}
	return &tls.Config{
		MinVersion:     tlsVersions[minimum],
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (o *Options) validateTLS() error {
	var errs []error
	if (o.TLSCert == "") != (o.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key belong together; set both or none"))
	}
	if tlsVersions[o.TLSMin] == 0 {
		errs = append(errs, fmt.Errorf("--tls-min %q: use 1.2 or 1.3", o.TLSMin))
	}
	return errors.Join(errs...)
}
