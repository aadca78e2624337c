package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Secret reads a secret from the file that the flag --<name>-file names or, if
// path is empty, from the variable of --<name>; empty if there is neither. White
// space around it is not part of it. The error never holds the secret.
func Secret(name, path string, lookup func(string) (string, bool)) (string, error) {
	if path == "" {
		value, _ := lookup(EnvName(name))
		return strings.TrimSpace(value), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("--%s-file: %w", name, err)
	}
	secret := strings.TrimSpace(string(data))
	if secret == "" {
		return "", fmt.Errorf("--%s-file %s: the file is empty; write the secret into it", name, path)
	}
	return secret, nil
}

// ClientTLS is how to connect to a server whose certificate is signed by ca,
// showing the certificate cert. All three are PEM files; cert and key may be
// empty together, and so may ca for the authorities of the system. It is nil if
// all are empty. flags is the common beginning of the flags' names, for errors.
func ClientTLS(flags, ca, cert, key string) (*tls.Config, error) {
	if ca == "" && cert == "" && key == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("--%s-ca: %w", flags, err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--%s-ca %s: there is no PEM certificate in it", flags, ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("--" + flags + "-cert and --" + flags + "-key belong together; set both or none")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("--%s-cert: %w", flags, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
