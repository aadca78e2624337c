package browser

import (
	"maps"
	"os"
	"testing"
	"time"

	"apiproxy.internal/loadtest/process"
	"apiproxy.internal/shared/config"
)

// What an operator does with a real cluster: three nodes are seen, a limit is
// changed and seen applied, a breaker tripped and seen open, a node killed and
// seen gone.
func TestRealCluster(t *testing.T) {
	t.Parallel()
	b := browser(t)
	doc := config.Default()
	f, err := process.StartFleet(t.TempDir(), token, 3, doc)
	must(t, err)
	t.Cleanup(func() {
		if err := f.Stop(); err != nil {
			t.Error(err)
		}
	})
	p, err := b.OpenStatus(f.ControlURL, Screen{})
	must(t, err)
	t.Cleanup(func() {
		for _, complaint := range p.Complaints() {
			t.Errorf("the browser complains: %s", complaint)
		}
		p.Close()
	})
	for _, id := range []string{"node-1", "node-2", "node-3"} {
		must(t, p.WaitNode(id, "live"))
	}
	nodes, err := p.Nodes()
	must(t, err)
	if want := map[string]string{"node-1": "live", "node-2": "live", "node-3": "live"}; !maps.Equal(nodes, want) {
		t.Errorf("the page shows %v, want %v", nodes, want)
	}

	balanced := startBalancer(t, proxyTo(t, f.ControlURL), proxyTo(t, f.NodeURLs[0]))
	tab := openElsewhere(t, balanced)
	must(t, tab.WaitNode("node-3", "live"))
	if n := balanced.calls.Load(); n != 0 {
		t.Errorf("through a balancer the page asked a node %d times for the API", n)
	}

	by := Change{Token: token, Author: "kim", Reason: "busier today"}
	// On a loaded machine two seconds may be short: then the form says so, and once
	// more is no change.
	result := ""
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline) && result != "Applied on 3 of 3 nodes, revision 2."; {
		result, err = p.ChangeLimit("zerion", "250", "400", by)
		must(t, err)
	}
	if result != "Applied on 3 of 3 nodes, revision 2." {
		t.Errorf("the form says %q", result)
	}
	must(t, p.WaitLimit("zerion", "of 250/s"))
	must(t, p.WaitEvent("revision 2"))

	result, err = p.ChangeBreaker("coingecko", "trip", "10m", by)
	must(t, err)
	if result != "Tripped: nothing is sent to it." {
		t.Errorf("the form says %q", result)
	}
	must(t, p.WaitBreaker("coingecko", "open"))

	f.Nodes[1].Kill()
	must(t, p.WaitNode("node-2", "gone"))
	must(t, p.WaitEvent("connection refused"))
	if file := os.Getenv("APIPROXY_SCREENSHOT"); file != "" {
		picture, err := p.Screenshot()
		must(t, err)
		must(t, os.WriteFile(file, picture, 0o600))
	}
}
