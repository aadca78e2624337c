package node

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate makes a self-signed one and returns it for the client to
// trust.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{
		certFile: certPEM, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}

// The main port speaks TLS, the admin port does not; a reload takes a new
// certificate, and leaves the old one in force if it is none.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := writeCertificate(t, certFile, keyFile, 1)
	b := start(t, func(o *Options) {
		o.TLSCert, o.TLSKey, o.TLSMin, o.AdminListen = certFile, keyFile, "1.3", "127.0.0.1:0"
	})
	// serial is of the certificate that a new connection meets.
	serial := func(roots *x509.CertPool, newest uint16) (int64, string, error) {
		c, err := tls.Dial("tcp", b.Addr().String(), &tls.Config{RootCAs: roots, MaxVersion: newest})
		if err != nil {
			return 0, "", err
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET /up/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		answer, _ := io.ReadAll(c)
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64(), string(answer), nil
	}
	if n, answer, err := serial(roots, 0); n != 1 || err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Fatalf("%d %v %q", n, err, answer)
	}
	if _, _, err := serial(roots, tls.VersionTLS12); err == nil {
		t.Error("--tls-min 1.3 takes TLS 1.2")
	}
	if resp, _ := b.do("GET", "http://"+b.AdminAddr().String()+"/health"); resp.StatusCode != 200 {
		t.Errorf("the admin port: %d", resp.StatusCode)
	}

	roots = writeCertificate(t, certFile, keyFile, 2)
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := serial(roots, 0); n != 2 || err != nil {
		t.Errorf("after a reload: %d %v", n, err)
	}

	if err := os.WriteFile(certFile, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.yaml.set("rate_limit: {global: {rate: 0}}\n" + b.upstream.provider())
	if err := b.Reload(); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("a broken certificate: %v", err)
	}
	if n, answer, err := serial(roots, 0); n != 2 || err != nil || !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("after a refused reload: %d %v %.60q", n, err, answer)
	}

	// A connection that stays open is said goodbye to by the stop.
	idle := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer idle.CloseIdleConnections()
	resp, err := (&http.Client{Transport: idle}).Get("https://" + b.Addr().String() + "/up/x")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err := b.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestDiagnose(t *testing.T) {
	secure := newUpstream(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	yaml := new(text)
	yaml.set(`providers:
  plain: {upstream: "` + secure.URL + `"}
  tls: {upstream: "` + strings.Replace(secure.URL, "http:", "https:", 1) + `"}
  gone: {upstream: "http://` + nobody.Addr().String() + `"}
  nameless: {upstream: "http://no-such-host.invalid"}
`)
	o := DefaultOptions()
	o.Source = yaml.source
	var out bytes.Buffer
	err = Diagnose(context.Background(), o, &out)
	if err == nil || !strings.Contains(err.Error(), "3 of 4 providers") {
		t.Errorf("error: %v", err)
	}
	for _, want := range []string{"plain\n  dns  127.0.0.1 is 127.0.0.1", "  tcp  connected to ", "  tls  none", "FAILED: tls: ", "FAILED: tcp: ", "nameless\n  FAILED: dns: "} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

// A client may end its TLS cleanly between two chunks of a body: that is no end
// of the body.
func TestCutBodyOverTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := writeCertificate(t, certFile, keyFile, 1)
	b := start(t, func(o *Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
	c, err := tls.Dial("tcp", b.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "POST /up/x HTTP/1.1\r\nHost: p\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
	if err := c.CloseWrite(); err != nil { // close_notify
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 400 ")) || !bytes.Contains(answer, []byte("client_gone")) {
		t.Errorf("%v\n%s", err, answer)
	}
}

// A client that says good-bye in TLS and leaves is gone, although its good-bye
// lies there unread.
func TestTLSClientThatLeaves(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := writeCertificate(t, certFile, keyFile, 1)
	b := start(t, func(o *Options) { o.TLSCert, o.TLSKey = certFile, keyFile })
	c, err := tls.Dial("tcp", b.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(c, "GET /up/slow HTTP/1.1\r\nHost: p\r\n\r\n")
	<-b.upstream.entered
	_ = c.Close()
	eventually(t, "the request to be broken off", func() bool { return b.proxy.InFlight() == 0 })
}
