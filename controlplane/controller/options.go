// Package controller is one control-plane process: it wires the leader to NATS,
// to the store of the configuration and to the API, and starts and stops it.
// Nothing is global; several fit in one process.
package controller

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"apiproxy.internal/shared/config"
)

// Options are what a controller starts with. Start from DefaultOptions.
type Options struct {
	// Source gives the configuration that is published if nothing has been
	// published before, and by Reload if it differs; nil = the presets.
	Source Source

	Listen string // address of the API, /status and /metrics

	// NATSListen is the address of the embedded NATS server. With NATSURL, one or
	// several addresses separated by commas, an external one is used.
	NATSListen, NATSURL       string
	NATSSecret                string // the password of nodes; empty = loopback only, no password
	NATSCA, NATSCert, NATSKey string // PEM files, of the embedded server or of this client

	AdminToken string // for changes; empty = only from loopback
	DataDir    string
	LogDir     string // folder of control.log; "-" = standard output

	// TLSCert and TLSKey are PEM files for Listen; empty = plain HTTP. TLSMin is
	// "1.2" or "1.3".
	TLSCert, TLSKey, TLSMin string

	Version string
	Log     slog.Handler // besides control.log; nil = nothing
}

// DefaultOptions are the defaults of the controlplane command.
func DefaultOptions() Options {
	return Options{
		Listen:     ":8090",
		NATSListen: "127.0.0.1:4222",
		DataDir:    "./data",
		LogDir:     "./logs",
		TLSMin:     "1.2",
		Version:    "devel",
	}
}

var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

func (o *Options) validate() error {
	var errs []error
	if o.Listen == "" {
		errs = append(errs, errors.New("--listen must not be empty; \":8090\" is the default"))
	}
	if o.DataDir == "" {
		errs = append(errs, errors.New("--data-dir must not be empty; what is published would be lost"))
	}
	if (o.TLSCert == "") != (o.TLSKey == "") {
		errs = append(errs, errors.New("--tls-cert and --tls-key belong together; set both or none"))
	}
	if tlsVersions[o.TLSMin] == 0 {
		errs = append(errs, fmt.Errorf("--tls-min %q: use 1.2 or 1.3", o.TLSMin))
	}
	if o.Source == nil {
		o.Source = presets
	}
	return errors.Join(errs...)
}

// Source reads a configuration and what is odd about it.
type Source func() (doc *config.Document, warnings []config.Problem, err error)

// FileSource reads a YAML or JSON file.
func FileSource(path string) Source {
	return func() (*config.Document, []config.Problem, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read the configuration: %w; check --config", err)
		}
		doc, warnings, err := config.Parse(data)
		if err != nil {
			return nil, warnings, fmt.Errorf("%s:\n%w", path, err)
		}
		return doc, warnings, nil
	}
}

// presets is the source of a controller without a configuration of its own.
func presets() (*config.Document, []config.Problem, error) { return config.Default(), nil, nil }

// Check reads what a controller with these options would publish first and
// returns what is odd about it; the error is for what would be refused. Keys are
// the nodes' affair and are not looked for.
func Check(o Options) ([]config.Problem, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	_, warnings, err := o.Source()
	return warnings, err
}
