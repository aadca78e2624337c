// Package upstream keeps the connections to one upstream: it dials (resolving
// the name each time, verifying TLS), keeps idle connections for a short while,
// and watches the phases of an exchange, so that the caller knows what failed:
// connecting, sending or receiving. It does no HTTP.
package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"
)

// Target says where a provider's upstream is and how long it may take.
// Targets are compared with ==: an equal one may share connections.
type Target struct {
	Scheme   string // "http" or "https"
	Host     string // value of the Host header: name, with the port if it is not the scheme's own
	Addr     string // what is dialled: name:port
	BasePath string // without a trailing slash; often empty
}

// ParseTarget reads an upstream URL that passed the configuration's checks.
func ParseTarget(raw string) (Target, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		// Without the text: keys turn up in URLs.
		return Target{}, errors.New(`is not an http or https URL; write "https://host"`)
	}
	name, port, standard := u.Hostname(), u.Port(), "80"
	if u.Scheme == "https" {
		standard = "443"
	}
	t := Target{Scheme: u.Scheme, Host: u.Host, BasePath: strings.TrimRight(u.EscapedPath(), "/")}
	if port == "" || port == standard {
		port = standard
		if t.Host = name; strings.Contains(name, ":") {
			t.Host = "[" + name + "]"
		}
	}
	t.Addr = net.JoinHostPort(name, port)
	return t, nil
}

// tlsConfig verifies the certificate against the host name; there is no way to
// turn that off.
func (t Target) tlsConfig() *tls.Config {
	name, _, _ := net.SplitHostPort(t.Addr)
	return &tls.Config{
		ServerName:         name,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(64),
	}
}

// Timeouts bound the phases of an exchange; each is positive. Connect covers DNS,
// TCP and TLS together; Send and Read are the longest silence between two writes
// or two reads, so a live stream is never cut.
type Timeouts struct {
	Connect, Send, Read time.Duration
}
