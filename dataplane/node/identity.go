package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

var notInNodeID = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// identify returns the node's id: the configured one, or the host name with a
// suffix that is made once and kept in dir, so that a restart is recognised and
// two nodes on one host differ.
func identify(configured, dir string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	path := filepath.Join(dir, "node-id")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newIdentity(dir, path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot read the node id: %w; check --data-dir and its permissions, or set --node-id", err)
	}
	id := strings.TrimSpace(string(text))
	if !validNodeID.MatchString(id) {
		return "", fmt.Errorf("%s does not hold a node id; delete it or set --node-id", path)
	}
	return id, nil
}

func newIdentity(dir, path string) (string, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host = notInNodeID.ReplaceAllString(host, "-")
	id := host[:min(len(host), 55)] + "-" + randomHex(4)
	if err := keep(dir, path, id+"\n"); err != nil {
		return "", fmt.Errorf("cannot keep the node id: %w; check --data-dir and its permissions, or set --node-id", err)
	}
	return id, nil
}

// keep writes a file that after a crash is there as a whole or not at all.
func keep(dir, path, text string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	unfinished := path + ".new"
	if err := os.WriteFile(unfinished, []byte(text), 0o640); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}

// randomHex is n random bytes in hex.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
