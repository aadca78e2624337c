package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/shared/config"
)

// Diagnose tries DNS, TCP and TLS to each provider of the configuration and
// writes what it finds, no request sent. The error counts the providers that
// cannot be reached.
func Diagnose(ctx context.Context, o Options, w io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	doc, _, _, err := o.read()
	if err != nil {
		return err
	}
	failed := 0
	for _, name := range slices.Sorted(maps.Keys(doc.Providers)) {
		fmt.Fprintln(w, name)
		if err := o.diagnose(ctx, doc.Providers[name], w); err != nil {
			fmt.Fprintln(w, "  FAILED:", err)
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d providers cannot be reached from here", failed, len(doc.Providers))
	}
	return nil
}

// diagnose stops at the first step that fails: the later ones need it.
func (o *Options) diagnose(ctx context.Context, p config.Provider, w io.Writer) error {
	target, err := upstream.ParseTarget(p.Upstream)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(p.Timeout.Connect))
	defer cancel()
	host, _, _ := net.SplitHostPort(target.Addr)
	begin := time.Now()
	took := func() time.Duration { return time.Since(begin).Round(time.Millisecond) }

	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return fmt.Errorf("dns: %w; check the name and this machine's resolver", err)
	}
	fmt.Fprintf(w, "  dns  %s is %s (%v)\n", host, strings.Join(addrs, ", "), took())

	conn, err := o.Dial(ctx, "tcp", target.Addr)
	if err != nil {
		return fmt.Errorf("tcp: %w; check the route and the firewalls", err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(w, "  tcp  connected to %s (%v)\n", conn.RemoteAddr(), took())
	if target.Scheme != "https" {
		fmt.Fprintln(w, "  tls  none: the upstream is plain http")
		return nil
	}
	secure := tls.Client(conn, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
	if err := secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("tls: %w; check the clock, the root certificates and what is in between", err)
	}
	state := secure.ConnectionState()
	fmt.Fprintf(w, "  tls  %s, certificate valid until %s (%v)\n",
		tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter.Format(time.DateOnly), took())
	return nil
}
