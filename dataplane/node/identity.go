package node

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
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
	if b, err := os.ReadFile(path); err == nil {
		id := strings.TrimSpace(string(b))
		if validNodeID.MatchString(id) {
			return id, nil
		}
		return "", fmt.Errorf("%s does not hold a node id; delete it or set --node-id", path)
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "node"
	}
	host = notInNodeID.ReplaceAllString(host, "-")
	id := host[:min(len(host), 55)] + "-" + randomHex(4)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("cannot keep the node id: %w; check --data-dir and its permissions", err)
	}
	if err := os.WriteFile(path, []byte(id+"\n"), 0o640); err != nil {
		return "", fmt.Errorf("cannot keep the node id: %w; check --data-dir and its permissions", err)
	}
	return id, nil
}

// randomHex is n random bytes in hex.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
