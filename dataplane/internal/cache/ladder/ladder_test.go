package ladder

import (
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/dataplane/internal/verdict"
)

const second = int64(time.Second)

// The copies of a table: none, fresh, stale in all degrees, and one that must
// not be used.
var (
	fresh       = cache.Judgement{Use: cache.Fresh, TTL: 30 * second, Fallback: true}
	acceptable  = cache.Judgement{Use: cache.Acceptable, TTL: -5 * second, Fallback: true}
	refreshable = cache.Judgement{Use: cache.Refreshable, TTL: -5 * second, Fallback: true}
	fallback    = cache.Judgement{Use: cache.Questioned, TTL: -5 * second, Fallback: true}
	tooOld      = cache.Judgement{Use: cache.Questioned, TTL: -500 * second}
)

func TestArrive(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		copy                   *cache.Judgement
		closed, open, halfOpen Step
	}{
		{"none", nil, Forward, Forward, Forward},
		{"fresh", &fresh, Fresh, BreakerCopy, Forward},
		{"acceptable", &acceptable, Accepted, BreakerCopy, Forward},
		{"refreshable", &refreshable, Refreshing, BreakerCopy, Forward},
		{"fallback", &fallback, Forward, BreakerCopy, Forward},
		{"too old", &tooOld, Forward, Forward, Forward},
	} {
		for state, want := range map[verdict.BreakerState]Step{verdict.Closed: tc.closed, verdict.Open: tc.open, verdict.HalfOpen: tc.halfOpen} {
			s := Situation{Breaker: state}
			if tc.copy != nil {
				s.HasCopy, s.Copy = true, *tc.copy
			}
			if got := Arrive(s); got != want {
				t.Errorf("%s, %v: step %d, want %d", tc.name, state, got, want)
			}
			// With only-if-cached nothing is forwarded (RFC 9111 §5.2.1.7), not even as a probe.
			s.OnlyIfCached = true
			if want == Forward {
				if want = Refuse; state == verdict.HalfOpen {
					want = max(tc.closed, Fresh)
					if tc.closed == Forward {
						want = Refuse
					}
				}
			}
			if got := Arrive(s); got != want {
				t.Errorf("%s, %v, only-if-cached: step %d, want %d", tc.name, state, got, want)
			}
		}
	}
}

func TestFall(t *testing.T) {
	for _, tc := range []struct {
		name                            string
		copy                            *cache.Judgement
		noPermit, failed, quota, strict Step // strict: serve_stale_when_limited is false
	}{
		{"none", nil, Refuse, Refuse, Refuse, Refuse},
		{"fresh", &fresh, BreakerCopy, FailureCopy, QuotaCopy, Refuse},
		{"fallback", &fallback, BreakerCopy, FailureCopy, QuotaCopy, Refuse},
		{"too old", &tooOld, Refuse, Refuse, Refuse, Refuse},
	} {
		var j cache.Judgement
		if tc.copy != nil {
			j = *tc.copy
		}
		for _, c := range []struct {
			cause Cause
			serve bool
			want  Step
		}{{NoPermit, true, tc.noPermit}, {Failed, true, tc.failed}, {NoQuota, true, tc.quota}, {NoQuota, false, tc.strict}, {NoPermit, false, tc.noPermit}} {
			if got := Fall(tc.copy != nil, j, c.cause, c.serve); got != c.want {
				t.Errorf("%s, cause %d, serve %v: step %d, want %d", tc.name, c.cause, c.serve, got, c.want)
			}
		}
	}
}

func TestFailure(t *testing.T) {
	for status, want := range map[int]bool{200: false, 404: false, 429: false, 499: false, 500: true, 501: false, 502: true, 503: true, 504: true, 505: false, 599: false} {
		if Failure(true, status) != want {
			t.Errorf("%d: %v", status, !want)
		}
	}
	if !Failure(false, 0) {
		t.Error("no answer is a failure")
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct {
		status         Status
		header         string
		word, degraded string
		fromCopy       bool
	}{
		{Status{Step: Fresh, TTL: 30*second + 1}, "api-proxy; hit; ttl=30", "hit", "", true},
		{Status{Step: Accepted, TTL: -1}, "api-proxy; hit; ttl=-1", "stale", "", true},
		{Status{Step: Refreshing, TTL: -5 * second}, "api-proxy; hit; ttl=-5", "stale", "", true},
		{Status{Step: Merged, Why: Miss}, "api-proxy; fwd=miss; collapsed", "merged", "", false},
		{Status{Step: BreakerCopy, TTL: 5 * second}, "api-proxy; hit; ttl=5; detail=circuit_breaker", "hit", "circuit_breaker", true},
		{Status{Step: BreakerCopy, TTL: -5 * second}, "api-proxy; hit; ttl=-5; detail=circuit_breaker", "stale", "circuit_breaker", true},
		{Status{Step: FailureCopy, Why: Stale, FwdStatus: 503, TTL: -5 * second}, "api-proxy; fwd=stale; fwd-status=503; ttl=-5; detail=upstream_error", "stale", "upstream_error", true},
		{Status{Step: FailureCopy, Why: Stale, TTL: -5 * second}, "api-proxy; fwd=stale; ttl=-5; detail=upstream_error", "stale", "upstream_error", true},
		{Status{Step: QuotaCopy, TTL: -5 * second}, "api-proxy; hit; ttl=-5; detail=quota", "stale", "quota", true},
		{Status{Why: Miss, Stored: true}, "api-proxy; fwd=miss; stored", "miss", "", false},
		{Status{Why: Stale, FwdStatus: 304, Stored: true}, "api-proxy; fwd=stale; fwd-status=304; stored", "miss", "", false},
		{Status{Why: VaryMiss}, "api-proxy; fwd=vary-miss", "miss", "", false},
		{Status{Why: Request}, "api-proxy; fwd=request", "miss", "", false},
		{Status{Why: Partial}, "api-proxy; fwd=partial", "miss", "", false},
		{Status{Why: Bypass}, "api-proxy; fwd=bypass", "bypass", "", false},
		{Status{Why: Method}, "api-proxy; fwd=method", "bypass", "", false},
		{Status{Step: Refuse}, "api-proxy", "", "", false},
	} {
		if got := string(tc.status.Append(nil)); got != tc.header {
			t.Errorf("%+v: %q, want %q", tc.status, got, tc.header)
		}
		if tc.status.Word() != tc.word || tc.status.Step.Degraded() != tc.degraded || tc.status.Step.FromCopy() != tc.fromCopy {
			t.Errorf("%+v: %q, %q, %v", tc.status, tc.status.Word(), tc.status.Step.Degraded(), tc.status.Step.FromCopy())
		}
	}
}

// While the breaker is half-open somebody must ask the provider, whatever is
// stored: otherwise cached traffic would keep it from closing.
func TestHalfOpenIsProbed(t *testing.T) {
	for _, j := range []cache.Judgement{fresh, acceptable, refreshable, fallback, tooOld} {
		if got := Arrive(Situation{HasCopy: true, Copy: j, Breaker: verdict.HalfOpen}); got != Forward {
			t.Errorf("%+v: step %d", j, got)
		}
	}
}
