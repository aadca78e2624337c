package node

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/config"
)

// Reload reads the keys and the TLS files again and, in a node that is on its
// own, the configuration. Buckets, breakers and connections keep their state. On
// an error, which is logged, everything stays as it was.
func (n *Node) Reload() error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	load := n.load
	if n.clustered() {
		load = n.loadAgain
	}
	if err := load(); err != nil {
		n.log.Error("configuration refused, the old one stays in force", "error", err.Error())
		return err
	}
	n.log.Info("configuration reloaded")
	return nil
}

// load puts what the source gives in force.
func (n *Node) load() error {
	doc, warnings, author, err := n.options.read()
	if err != nil {
		return err
	}
	return n.apply(doc, warnings, published{at: time.Now(), author: author})
}

// apply does all that can fail, then swaps. origin says where doc comes from.
func (n *Node) apply(doc *config.Document, warnings []config.Problem, origin published) error {
	cert, err := n.options.loadCertificate()
	if err != nil {
		return err
	}
	err = n.state.Apply(doc, n.clock(), func(s *snapshot.Snapshot) {
		origin.Snapshot = s
		n.current.Store(&origin)
	})
	if err != nil {
		return err
	}
	n.certificate.current.Store(cert)
	for _, p := range append(warnings, environmentProblems(doc, n.options.Lookup)...) {
		n.log.Warn("configuration", "path", p.Path, "problem", p.Message, "remedy", p.Remedy)
	}
	return nil
}

// read asks the source for an acceptable document.
func (o *Options) read() (*config.Document, []config.Problem, string, error) {
	doc, warnings, author, err := o.Source()
	if err == nil {
		err = o.acceptable(doc)
	}
	return doc, warnings, author, err
}

// acceptable refuses what these options cannot work with.
func (o *Options) acceptable(doc *config.Document) error {
	if o.DebugAdmittedAt {
		return onlyLocalUpstreams(doc)
	}
	return nil
}

// Check reads what a node with these options would start with and returns every
// problem, keys included; the error is for what would be refused.
func Check(o Options) ([]config.Problem, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Source == nil {
		_, err := o.loadCertificate() // the controller checks what it publishes
		return nil, err
	}
	doc, warnings, _, err := o.read()
	if err != nil {
		return warnings, err
	}
	warnings = append(warnings, environmentProblems(doc, o.Lookup)...)
	_, err = o.loadCertificate()
	return warnings, err
}

// environmentProblems are what the environment lacks, and what it holds in vain.
func environmentProblems(doc *config.Document, lookup func(string) (string, bool)) []config.Problem {
	problems := keyProblems(doc, lookup)
	if enabled, _ := lookup("REDIS_ENABLED"); strings.EqualFold(enabled, "true") || enabled == "1" {
		problems = append(problems, config.Problem{
			Path:    "REDIS_ENABLED",
			Message: "Redis is not used: nodes share limits, breakers and the configuration over NATS JetStream, which is built into the control plane",
			Remedy:  "set --nats-url if the nodes should be one proxy, and remove the variable",
		})
	}
	return problems
}

// keyProblems are the keys that are missing or unusable here: their providers
// answer 503.
func keyProblems(doc *config.Document, lookup func(string) (string, bool)) []config.Problem {
	problems := doc.SecretProblems(lookup)
	for _, name := range slices.Sorted(maps.Keys(doc.Providers)) {
		path := "providers." + name + ".auth"
		told := slices.ContainsFunc(problems, func(p config.Problem) bool { return strings.HasPrefix(p.Path, path+".") })
		if _, err := credential.Compile(doc.Providers[name].Auth, lookup); err != nil && !told {
			problems = append(problems, config.Problem{Path: path, Message: err.Error()})
		}
	}
	return problems
}

// Source reads a configuration: the document, what is odd about it, and who
// gave it. It is asked at the start and at each reload.
type Source func() (doc *config.Document, warnings []config.Problem, author string, err error)

// FileSource reads a YAML or JSON file.
func FileSource(path string) Source {
	return func() (*config.Document, []config.Problem, string, error) {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, "", fmt.Errorf("cannot read the configuration: %w; check --config", err)
		}
		doc, warnings, err := config.Parse(data)
		if err != nil {
			return nil, warnings, "", fmt.Errorf("%s:\n%w", path, err)
		}
		return doc, warnings, "file", nil
	}
}

// presets is the source of a node without a configuration of its own.
func presets() (*config.Document, []config.Problem, string, error) {
	return config.Default(), nil, "presets", nil
}

// onlyLocalUpstreams keeps a measuring aid away from real providers.
func onlyLocalUpstreams(doc *config.Document) error {
	for name, p := range doc.Providers {
		u, err := url.Parse(p.Upstream)
		if err != nil {
			return err
		}
		host := u.Hostname()
		if addr, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !addr.IsLoopback() && !addr.IsPrivate()) {
			return fmt.Errorf("--debug-admitted-at: the upstream of %s is %q; the flag needs upstreams that are loopback or private addresses", name, host)
		}
	}
	return nil
}
