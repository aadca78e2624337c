package endurance

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// reload sends SIGHUP and waits until the configuration was read again.
func (p *program) reload() {
	p.t.Helper()
	reloads := func() int { return strings.Count(p.stderr.String(), `msg="configuration reloaded"`) }
	before := reloads()
	p.signal(syscall.SIGHUP)
	eventually(p.t, "a reload", func() bool { return reloads() > before })
}

// A hundred reloads while requests go on at a rate above the provider's limit:
// nobody notices, and nothing that a node remembers is forgotten.
func TestReloadStorm(t *testing.T) {
	const reloads, perSecond, rate, burst = 100, 300, 200, 50
	provider := startProvider(t)
	p := run(t, fmt.Sprintf(`
rate_limit:
  per_provider: {zerion: {rate: %d, burst: %d}}
circuit_breaker: {failure_threshold: 5, timeout: 1h}
proxy: {cache_size: 0}
providers:
  zerion: {upstream: "http://%s/zerion", auth: {type: basic, username_env: ZERION_API_KEY}}
  coingecko: {upstream: "http://%[3]s/coingecko", retry: {times: 0}, auth: {type: header, header: x-cg-pro-api-key, value_env: COINGECKO_API_KEY}}
`, rate, burst, provider.Addr()), t.TempDir(), "--debug-admitted-at")

	for range 5 {
		if status, _, err := p.get("/coingecko/status/500"); status != http.StatusInternalServerError {
			t.Fatalf("status %d, %v", status, err)
		}
	}
	l := p.load(perSecond, "/zerion/test")
	for range reloads {
		p.reload()
		l.after(t, perSecond/100)
	}
	l.stop()

	var admitted []int64
	conns := map[uint32]bool{}
	for _, a := range provider.Arrivals(fakeprovider.Zerion) {
		admitted = append(admitted, a.AdmittedNS)
		conns[a.Conn] = true
	}
	excess, _, _ := fakeprovider.Excess(admitted, rate, burst)
	t.Logf("%d reloads: %v; worst window %.2f below rate*T+burst; %d upstream connections", reloads, l, -excess, len(conns))
	if len(l.failed) > 0 || l.statuses[http.StatusOK]+l.statuses[http.StatusTooManyRequests] != l.answered() {
		t.Errorf("want only 200 and 429; failures: %v", errors.Join(l.failed...))
	}
	if l.statuses[http.StatusTooManyRequests] == 0 || len(admitted) != l.statuses[http.StatusOK] {
		t.Errorf("%d arrived; want as many as got 200, and some refused", len(admitted))
	}
	if excess > 1e-3 {
		t.Errorf("%.3f requests above rate*T+burst in some window: a reload refilled the bucket", excess)
	}
	if len(conns) > workers {
		t.Errorf("%d upstream connections for %d callers: a reload dropped some", len(conns), workers)
	}
	if status, _, _ := p.get("/coingecko/test"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d of the provider whose breaker had opened, want 503", status)
	}
}
