package node

import (
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"apiproxy.internal/shared/quota"
)

// leaving writes what a process leaves that was killed while it had a tenth of a
// limit of 1000/s.
func leaving(t *testing.T, o *Options) {
	t.Helper()
	boot := bootID()
	if boot == "" {
		t.Skip("this system has no boot id, and keeps no leases")
	}
	saved := quota.Saved{Holding: quota.Holding{Rate: 100 * quota.PerSecond, Room: quota.Token}, Until: bootClock() + 600*quota.Second}
	text, err := json.Marshal(leaseFile{boot, map[string]quota.Saved{"global": saved}})
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{options: *o}
	if err := os.WriteFile(n.leasePath(), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// A node that is started again and finds no leader goes on with what it had. What
// is kept for the next start goes when it stops as it should.
func TestResumesWithoutLeader(t *testing.T) {
	up := newUpstream(t)
	b := start(t, func(o *Options) {
		doc := new(text)
		doc.set("rate_limit: {global: {rate: 1000}}\n" + up.provider())
		o.NATSURL, o.Source = "nats://127.0.0.1:1", doc.source
		leaving(t, o)
	})
	eventually(t, "the node to go on with its lease", func() bool {
		resp, _ := b.get("/up/x")
		return resp.StatusCode == http.StatusOK
	})
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(b.leasePath()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of leases after the stop: %v, want none", err)
	}
}
