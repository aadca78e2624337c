package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"apiproxy.internal/dataplane/internal/snapshot"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// clustered reports whether a controller says what is in force here.
func (n *Node) clustered() bool { return n.options.NATSURL != "" }

// revision is that of the configuration in force; 0 = none published.
func (n *Node) revision() uint64 { return n.inForce().Document.Revision }

// loadFirst finds the configuration to start with. In a cluster that is the one
// that was in force last, else that of the source, else none: the node waits for
// the controller and is not ready.
func (n *Node) loadFirst() error {
	if !n.clustered() {
		return n.load()
	}
	err := n.loadLast()
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		n.log.Warn("the last configuration cannot be used", "path", n.lastPath(), "error", err.Error())
	}
	if n.options.Source != nil {
		return n.load()
	}
	cert, err := n.options.loadCertificate()
	n.certificate.current.Store(cert)
	return err
}

// unconfigured is what a node looks like from outside before it has a
// configuration.
var unconfigured = &published{Snapshot: &snapshot.Snapshot{Document: &config.Document{Server: config.Default().Server}}}

// inForce is the configuration in force, never nil.
func (n *Node) inForce() *published {
	if p := n.current.Load(); p != nil {
		return p
	}
	return unconfigured
}

func (n *Node) lastPath() string { return filepath.Join(n.options.DataDir, "config.json") }

// loadLast puts the last known good configuration in force.
func (n *Node) loadLast() error {
	data, err := os.ReadFile(n.lastPath())
	if err != nil {
		return err
	}
	entry, err := wire.Decode[wire.ConfigEntry](data)
	if err != nil {
		return err
	}
	return n.applyEntry(entry)
}

// applyEntry compiles a published configuration completely, then swaps.
func (n *Node) applyEntry(e wire.ConfigEntry) error {
	doc, warnings, err := config.Parse(e.Config)
	if err != nil {
		return err
	}
	if err := n.options.acceptable(doc); err != nil {
		return err
	}
	doc.Revision = e.Revision
	return n.apply(doc, warnings, published{at: e.Time, author: e.Author})
}

// loadAgain applies what is in force once more, with the keys and certificates
// as they are now.
func (n *Node) loadAgain() error {
	p := n.current.Load()
	if p == nil {
		return nil
	}
	return n.apply(p.Document, nil, *p)
}

// follow takes up what the controller has published. One that this node cannot
// use leaves the old one in force, and the controller is told why.
func (n *Node) follow(e wire.ConfigEntry) {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	if e.Revision <= n.revision() {
		return
	}
	if err := n.applyEntry(e); err != nil {
		n.refused.Store(&wire.Refusal{Revision: e.Revision, Reason: err.Error()})
		n.refusals.Add(1)
		n.log.Error("published configuration refused, the old one stays in force", "revision", e.Revision, "error", err.Error())
		n.urge()
		return
	}
	n.refused.Store(nil)
	n.log.Info("configuration applied", "revision", e.Revision, "author", e.Author)
	n.urge()
	if err := keep(n.options.DataDir, n.lastPath(), string(wire.Encode(e))); err != nil {
		n.log.Error("cannot keep the configuration for a restart without the controller; check --data-dir",
			"error", fmt.Sprint(err))
	}
}
