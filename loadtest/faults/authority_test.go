package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority signs the certificates that a node trusts here.
var authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// withAuthority makes the authority and the roots of the system one.
func withAuthority(run func() int) int {
	dir, err := os.MkdirTemp("", "roots")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	der, key := sign(func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	}, true)
	authority.key = key
	authority.cert, _ = x509.ParseCertificate(der)
	file := filepath.Join(dir, "roots.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	_ = os.Setenv("SSL_CERT_FILE", file)
	_ = os.Setenv("SSL_CERT_DIR", dir)
	return run()
}

// certificate is valid for 127.0.0.1 unless change spoils it; one that is
// selfSigned nobody vouches for.
func certificate(change func(*x509.Certificate), selfSigned bool) tls.Certificate {
	der, key := sign(change, selfSigned)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func sign(change func(*x509.Certificate), selfSigned bool) ([]byte, *ecdsa.PrivateKey) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "faults"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	parent, signer := authority.cert, authority.key
	if selfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		panic(err)
	}
	return der, key
}

// serverTLS is what a good upstream uses; nil if it is not secure.
func serverTLS(secure bool) *tls.Config {
	if !secure {
		return nil
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate(nil, false)}, MinVersion: tls.VersionTLS12}
}
