package scenario

import (
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// Attempts that the oracle sees, by method and fault; zerion retries twice.
func TestRetriesAsTheOracleSeesThem(t *testing.T) {
	for _, row := range []struct {
		name     string
		method   string
		fault    fakeprovider.Fault
		attempts int64
		status   int
	}{
		{"a GET is tried three times on 503", "GET", fakeprovider.Fault{ErrorRate: 1, Status: 503}, 3, 503},
		{"and succeeds if the second attempt does", "GET", fakeprovider.Fault{ErrorRate: 1, Status: 502, Count: 1}, 2, 200},
		{"a PUT is idempotent too", "PUT", fakeprovider.Fault{ErrorRate: 1, Status: 504}, 3, 504},
		{"a POST is sent once", "POST", fakeprovider.Fault{ErrorRate: 1, Status: 503}, 1, 503},
		{"500 is an answer, not a missing one", "GET", fakeprovider.Fault{ErrorRate: 1, Status: 500}, 1, 500},
		{"429 is the provider's word", "GET", fakeprovider.Fault{ErrorRate: 1, Status: 429, RetryAfter: "1"}, 1, 429},
		{"a reset connection is retried", "GET", fakeprovider.Fault{ResetRate: 1}, 3, 502},
		{"but not for a POST", "POST", fakeprovider.Fault{ResetRate: 1}, 1, 502},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, 1, openLimits)
			row.fault.Provider = "zerion"
			b.fault(row.fault)
			a := b.send(row.method, b.URL(0)+"/zerion/test", "")
			if got := b.Provider.Stats(fakeprovider.Zerion).Arrivals; got != row.attempts || a.status != row.status {
				t.Errorf("%d attempts and status %d, want %d and %d", got, a.status, row.attempts, row.status)
			}
		})
	}
}

// With everything failing, retries stay within the budget: 30 in ten seconds
// for little traffic, ten percent beyond.
func TestRetryBudgetHolds(t *testing.T) {
	b := start(t, 1, openLimits+`
circuit_breaker: {failure_threshold: 1000000, success_threshold: 1, timeout: 1s, half_open_requests: 1}
`)
	b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1, Status: 503})
	const requests = 200
	b.volley(requests, "GET", "/zerion/test")
	if got := b.Provider.Stats(fakeprovider.Zerion).Arrivals; got != requests+30 {
		t.Errorf("%d attempts for %d failing requests, want 30 retries", got, requests)
	}
}
