// Package prober finds out for membership who answers at a node's address.
package prober

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"apiproxy.internal/controlplane/internal/membership"
)

// Prober asks nodes who they are. Safe for simultaneous use.
type Prober struct{ client *http.Client }

// New makes a prober that gives each node timeout to answer. Certificates are not
// verified: only the incarnation matters, which nobody else knows.
func New(timeout time.Duration) *Prober {
	return &Prober{&http.Client{
		Timeout: timeout,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}, //nolint:gosec // see above
			DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Probe connects and asks /health. It needs both no longer than the timeout.
func (p *Prober) Probe(ctx context.Context, probe membership.Probe) (found membership.Finding, incarnation string) {
	if _, _, err := net.SplitHostPort(probe.Address); err != nil {
		return membership.Unclear, ""
	}
	target := url.URL{Scheme: "http", Host: probe.Address, Path: "/health"}
	if probe.TLS {
		target.Scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return membership.Unclear, ""
	}
	resp, err := p.client.Do(req)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return membership.NobodyHome, ""
		}
		return membership.Unclear, ""
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as wanted
	var health struct {
		Incarnation string `json:"incarnation"`
	}
	if json.NewDecoder(io.LimitReader(resp.Body, 16<<10)).Decode(&health) != nil || health.Incarnation == "" {
		return membership.Unclear, ""
	}
	return membership.Answered, health.Incarnation
}
