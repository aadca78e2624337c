package node

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"apiproxy.internal/dataplane/internal/lease"
	"apiproxy.internal/shared/quota"
)

// keptLeases is what the file of leases says.
type keptLeases struct {
	at    int64 // the clock at the last writing
	saved map[string]quota.Saved
}

// leaseFile is that file: what a node may go on with that is started again while
// the controller is away. The boot id tells whether its times still mean
// something.
type leaseFile struct {
	Boot   string                 `json:"boot"`
	Leases map[string]quota.Saved `json:"leases"`
}

func (n *Node) leasePath() string { return filepath.Join(n.options.DataDir, "leases.json") }

// leaseTime is now on both clocks of the leases.
func (n *Node) leaseTime() lease.Time { return lease.Time{Mono: n.clock(), Boot: bootClock()} }

// savedLeases are the leases of the process before; none without a file or after
// the machine was started anew.
func (n *Node) savedLeases() (map[string]quota.Saved, error) {
	data, err := os.ReadFile(n.leasePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var file leaseFile
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if boot := bootID(); err != nil || boot == "" || file.Boot != boot {
		return nil, err
	}
	return file.Leases, nil
}

const (
	// keepEvery is how often the file follows leases that have grown.
	keepEvery = 1e9 // nanoseconds
	// margin is the part of a rate that is not kept, so that the small cuts of
	// every day need no writing.
	margin = 10
)

// keepLeases writes the file before a report leaves that hands back what the file
// still names, and from time to time. A disk that fails costs no more than the
// right to go on after a restart: then the file is removed.
func (c *coordination) keepLeases() {
	saved := c.leases.Saved()
	now := c.clock()
	less := false
	for name, kept := range c.kept.saved {
		less = less || lease.Less(saved[name], kept)
	}
	if !less && now-c.kept.at < keepEvery {
		return
	}
	for name, s := range saved {
		s.Rate -= s.Rate / margin
		saved[name] = s
	}
	if !less && maps.Equal(saved, c.kept.saved) {
		return
	}
	c.kept = keptLeases{at: now, saved: saved}
	text, _ := json.Marshal(leaseFile{bootID(), saved}) // of types that can be encoded
	if err := keep(c.options.DataDir, c.leasePath(), string(text)); err != nil {
		c.troubled("cannot keep the leases for a restart; check --data-dir", err)
		c.forgetLeases()
	}
}

// forgetLeases makes sure that no later process goes on with what was handed
// back.
func (c *coordination) forgetLeases() {
	c.kept.saved = nil
	if err := os.Remove(c.leasePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.troubled("cannot remove the file of leases; remove it by hand before this node starts again", err)
	}
}

// bootID is the machine's name for the time since it was started; empty where
// there is none.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// addrKey is the key of client addresses on the wire. All nodes share the secret,
// and nobody learns it from a hash.
func addrKey(secret string) (key [16]byte) {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("client addresses"))
	copy(key[:], mac.Sum(nil))
	return key
}
