package broker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"apiproxy.internal/shared/wire"
)

// authority signs certificates for 127.0.0.1.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", nil)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

func (a *authority) issue(name string, parent *authority) (*x509.Certificate, *ecdsa.PrivateKey) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	signer, signKey := template, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, signKey))
	a.write(name+".pem", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	return must(x509.ParseCertificate(der)), key
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.path(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	ca := newAuthority(t)
	ca.issue("server", ca)
	ca.issue("node", ca)
	server := TLS{Cert: ca.path("server.pem"), Key: ca.path("server.key")}
	trust, show := nats.RootCAs(ca.path("ca.pem")), nats.ClientCert(ca.path("node.pem"), ca.path("node.key"))

	s := open(t, Options{Listen: "127.0.0.1:0", Secret: secret, TLS: server})
	if _, err := dial(s.url, "node-1", secret); err == nil {
		t.Fatal("a client that does not know the authority")
	}
	c, err := dial(s.url, "node-1", secret, trust)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if must(s.Bucket(wire.ConfigBucket).Put(within(t), "k", nil)) == 0 {
		t.Fatal("the controller's own connection needs none")
	}

	server.CA = ca.path("ca.pem")
	s = open(t, Options{Listen: "127.0.0.1:0", Secret: secret, TLS: server})
	if _, err := dial(s.url, "node-1", secret, trust); err == nil {
		t.Fatal("a client without a certificate")
	}
	if c, err = dial(s.url, "node-1", secret, trust, show); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := dial(s.url, "node-1", "wrong", trust, show); err == nil {
		t.Fatal("a certificate is no secret")
	}

	_, err = Open(within(t), Options{Listen: "127.0.0.1:0", Secret: secret, DataDir: t.TempDir(), TLS: TLS{Cert: "absent", Key: "absent"}})
	if err == nil || !strings.Contains(err.Error(), "--nats-tls-cert") {
		t.Fatalf("no such file: %v", err)
	}
}
