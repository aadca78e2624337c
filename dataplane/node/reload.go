package node

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"

	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/config"
)

// Reload reads the configuration again and puts it in force. Buckets, breakers
// and connections keep their state. On an error the old configuration stays.
func (n *Node) Reload() error {
	doc, warnings, author, err := n.options.Source()
	for _, w := range warnings {
		n.log.Warn("configuration", "path", w.Path, "problem", w.Message, "remedy", w.Remedy)
	}
	if err == nil && n.options.DebugAdmittedAt {
		err = onlyLocalUpstreams(doc)
	}
	if err != nil {
		n.log.Error("configuration refused, the old one stays in force", "error", err.Error())
		return err
	}
	for _, p := range doc.SecretProblems(n.options.Lookup) {
		n.log.Warn("a key is missing: the provider answers 503 on this node", "path", p.Path, "problem", p.Message, "remedy", p.Remedy)
	}
	return n.state.Apply(doc, n.clock(), func(s *snapshot.Snapshot) {
		n.current.Store(&published{Snapshot: s, at: time.Now(), author: author})
	})
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

// Check reads what a node with these options would start with and returns every
// problem, keys included; the error is for a document that would be refused.
func Check(o Options) ([]config.Problem, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	doc, warnings, _, err := o.Source()
	if err == nil && o.DebugAdmittedAt {
		err = onlyLocalUpstreams(doc)
	}
	if err != nil {
		return warnings, err
	}
	return append(warnings, doc.SecretProblems(o.Lookup)...), nil
}
