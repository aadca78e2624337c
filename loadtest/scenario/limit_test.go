package scenario

import (
	"strconv"
	"testing"
	"time"

	"apiproxy.internal/loadtest/fakeprovider"
)

// 400 requests at once against 50/s with burst 100: the oracle sees the burst
// and what was earned meanwhile, everything else is refused, and what was
// refused cost the global limit nothing.
func TestProviderLimitUnderBurst(t *testing.T) {
	b := start(t, 1, `
rate_limit:
  global: {rate: 1/h, burst: 1000}
  per_ip: {rate: 1/h, burst: 1000}
  per_provider: {zerion: {rate: 50, burst: 100}, coingecko: {rate: 1000}, alchemy: {rate: 1000}}
`)
	begin := time.Now()
	statuses, answers := b.volley(400, "GET", "/zerion/test")
	elapsed := time.Since(begin)
	arrived := b.Provider.Stats(fakeprovider.Zerion).Arrivals
	if int(arrived) != statuses[200] || statuses[200]+statuses[429] != 400 {
		t.Errorf("statuses %v, but %d arrived", statuses, arrived)
	}
	if most := 100 + int64(50*elapsed.Seconds()) + 1; arrived < 100 || arrived > most {
		t.Errorf("%d arrived, want 100 to %d (%v elapsed)", arrived, most, elapsed)
	}
	var admitted []int64
	for _, a := range b.Provider.Arrivals(fakeprovider.Zerion) {
		admitted = append(admitted, a.AdmittedNS)
	}
	if excess, _, _ := fakeprovider.Excess(admitted, 50, 100); excess > 1e-3 {
		t.Errorf("%.3f requests above rate*T+burst in some window", excess)
	}

	// Whoever waits as told is admitted.
	var refused answer
	for _, a := range answers {
		if a.status == 429 {
			refused = a
		}
	}
	wait, err := strconv.Atoi(refused.header.Get("Retry-After"))
	if err != nil || wait < 1 {
		t.Fatalf("Retry-After %q of %d", refused.header.Get("Retry-After"), refused.status)
	}
	<-time.After(time.Duration(wait) * time.Second)
	if a := b.get("/zerion/test"); a.status != 200 {
		t.Errorf("after Retry-After: %d %s", a.status, a.body)
	}
	arrived = b.Provider.Stats(fakeprovider.Zerion).Arrivals
	s := b.Nodes[0].Status()
	if got := s.Limits.Global.Available; got != 1000-arrived {
		t.Errorf("global has %d left, want 1000 less the %d that arrived", got, arrived)
	}
}

// A refusal by the provider's limit also gives back what the per-address limit
// took: a client that is refused there can still reach another provider.
func TestRefusalGivesBackFairness(t *testing.T) {
	b := start(t, 1, `
rate_limit:
  per_ip: {rate: 1/h, burst: 20}
  global: {rate: 1/h, burst: 20}
  per_provider: {zerion: {rate: 1/h, burst: 5}, coingecko: {rate: 1/h, burst: 100}, alchemy: {rate: 0}}
`)
	if statuses, _ := b.volley(50, "GET", "/zerion/test"); statuses[200] != 5 || statuses[429] != 45 {
		t.Errorf("zerion: %v, want 5 × 200 and 45 × 429", statuses)
	}
	if statuses, _ := b.volley(40, "GET", "/coingecko/test"); statuses[200] != 15 || statuses[429] != 25 {
		t.Errorf("coingecko: %v, want the 15 that are left of 20", statuses)
	}
	a := b.get("/alchemy/test")
	if a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("rate 0: %d, Retry-After %q, want 429 and a wait", a.status, a.header.Get("Retry-After"))
	}
}
