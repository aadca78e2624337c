// Package node is one data-plane process: it wires the request path to the
// network, the logs and the configuration, and starts and stops it. Nothing is
// global; any number of nodes fit in one process.
package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"apiproxy.internal/dataplane/internal/upstream"
)

// Options are what a node starts with. Start from DefaultOptions.
type Options struct {
	// Source of the configuration; nil = the presets or, with NATSURL, nothing:
	// a node of a cluster runs what the controller publishes, else what it ran
	// last, else what Source gives.
	Source Source

	Listen      string // address of proxied requests
	AdminListen string // address of /metrics, /status, ...; empty = Listen serves them
	NodeID      string // [A-Za-z0-9_-]{1,64}; empty = host name and a suffix kept in DataDir
	DataDir     string
	LogDir      string // folder of access.log and error.log; "-" = standard output

	// NATSURL is where the controller is to be met, one or several addresses
	// separated by commas; empty = the node is on its own. NATSSecret is the
	// password; NATSTLS is nil for a connection in the clear.
	NATSURL, NATSSecret string
	NATSTLS             *tls.Config
	// Advertise is the host:port at which the controller can ask this node's
	// /health; empty = the port of Listen at the address used towards NATS.
	Advertise string

	// TLSCert and TLSKey are PEM files for Listen; empty = plain HTTP. TLSMin is
	// "1.2" or "1.3".
	TLSCert, TLSKey, TLSMin string

	DrainDelay   time.Duration // from "not ready" to closing the listener
	DrainTimeout time.Duration // for requests in flight after that

	// DebugAdmittedAt sends X-Proxy-Admitted-At upstream; refused unless every
	// upstream is loopback or private.
	DebugAdmittedAt bool

	Version string
	Lookup  func(string) (string, bool) // finds environment variables
	Dial    upstream.DialFunc           // opens upstream connections
	Log     slog.Handler                // besides error.log, from level info; nil = nothing
}

// DefaultOptions are the defaults of the dataplane command.
func DefaultOptions() Options {
	return Options{
		Listen:       ":8080",
		DataDir:      "./data",
		LogDir:       "./logs",
		TLSMin:       "1.2",
		DrainDelay:   5 * time.Second,
		DrainTimeout: 30 * time.Second,
		Version:      "devel",
		Lookup:       os.LookupEnv,
		Dial:         (&net.Dialer{}).DialContext,
	}
}

var validNodeID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func (o *Options) validate() error {
	o.NodeID = strings.ReplaceAll(o.NodeID, ".", "-")
	var errs []error
	if o.NodeID != "" && !validNodeID.MatchString(o.NodeID) {
		errs = append(errs, fmt.Errorf("--node-id %q: use 1 to 64 letters, digits, dashes and underscores", o.NodeID))
	}
	if o.DrainDelay < 0 || o.DrainTimeout < 0 {
		errs = append(errs, errors.New("--drain-delay and --drain-timeout must not be negative"))
	}
	if o.Listen == "" {
		errs = append(errs, errors.New("--listen must not be empty; \":8080\" is the default"))
	}
	errs = append(errs, o.validateTLS())
	if o.NATSURL == "" && o.NATSTLS != nil {
		errs = append(errs, errors.New("there is a certificate for NATS, but no --nats-url"))
	}
	if o.Lookup == nil || o.Dial == nil {
		errs = append(errs, errors.New("node: Options.Lookup and Dial must be set; begin with DefaultOptions"))
	}
	if o.Source == nil && o.NATSURL == "" {
		o.Source = presets
	}
	return errors.Join(errs...)
}
