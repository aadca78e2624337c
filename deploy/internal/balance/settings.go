package balance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Settings say what to balance and how.
type Settings struct {
	Nodes   string // host:port of the nodes; the host's name has an address for each
	Control string // host:port of the control plane

	// ByClient sends a client's requests to one node as long as the set of nodes
	// lasts: per_ip is exact then, but one busy client is one node's work. Without
	// it the node with the fewest open requests gets the next one.
	ByClient bool

	Listen, ListenTLS string // ADDR:PORT or PORT, as nginx has it
	TLSCert, TLSKey   string // PEM files; empty = no HTTPS

	Dir   string // of the files made here; of this process alone
	Nginx string // the program

	lookup func(ctx context.Context, network, host string) ([]netip.Addr, error) // nil = the system's
}

// FromEnv reads the settings from variables.
func FromEnv(getenv func(string) string) (Settings, error) {
	s := Settings{
		Nodes:     cmp.Or(getenv("LB_NODES"), "api-proxy:8080"),
		Control:   cmp.Or(getenv("LB_CONTROL"), "control-plane:8090"),
		Listen:    cmp.Or(getenv("LB_LISTEN"), "8080"),
		ListenTLS: cmp.Or(getenv("LB_LISTEN_TLS"), "8443"),
		TLSCert:   getenv("LB_TLS_CERT"),
		TLSKey:    getenv("LB_TLS_KEY"),
		Dir:       cmp.Or(getenv("LB_DIR"), "/tmp/balancer"),
		Nginx:     cmp.Or(getenv("LB_NGINX"), "nginx"),
	}
	var errs []error
	for name, addr := range map[string]string{"LB_NODES": s.Nodes, "LB_CONTROL": s.Control} {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w; use HOST:PORT", name, err))
		}
	}
	switch method := cmp.Or(getenv("LB_METHOD"), "least_conn"); method {
	case "least_conn":
	case "hash":
		s.ByClient = true
	default:
		errs = append(errs, fmt.Errorf("LB_METHOD %q: use least_conn, or hash for one node per client address", method))
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		errs = append(errs, errors.New("LB_TLS_CERT and LB_TLS_KEY belong together; set both or none"))
	}
	return s, errors.Join(errs...)
}
