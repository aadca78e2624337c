package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

// patience is how long a health check waits; the container's own timeout is
// longer, so that the reason can be printed.
const patience = 3 * time.Second

// health asks this container's own program. The address is the program's, from
// its environment, because an operator may have changed it there.
func health(args []string, getenv func(string) string) error {
	addr := "127.0.0.1:8080"
	if len(args) == 2 {
		addr = args[1]
	}
	if listen := getenv("APIPROXY_LISTEN"); listen != "" {
		addr = listen
	}
	url, err := local(addr, args[0], getenv("APIPROXY_TLS_CERT") != "")
	if err != nil {
		return err
	}
	// The certificate names the outside; what is asked here is whether the
	// process on this very machine is alive.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // loopback, and nothing secret is sent
	client := &http.Client{Transport: transport, Timeout: patience}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// local is the URL of path at a listening address, which may have no host.
func local(listen, path string, secure bool) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("address %q: %w; use HOST:PORT or :PORT", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + path, nil
}
