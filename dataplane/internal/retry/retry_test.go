package retry

import (
	"math"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"pgregory.net/rapid"
)

func TestBackoff(t *testing.T) {
	const most = math.MaxUint64 // the largest random value gives the ceiling
	for _, row := range []struct {
		delay time.Duration
		n     int
		u     uint64
		want  time.Duration
	}{
		// The ceiling doubles with each retry,
		{100 * time.Millisecond, 1, most, 100 * time.Millisecond},
		{100 * time.Millisecond, 2, most, 200 * time.Millisecond},
		{100 * time.Millisecond, 5, most, 1600 * time.Millisecond},
		// up to two seconds,
		{100 * time.Millisecond, 6, most, 2 * time.Second},
		{100 * time.Millisecond, 10, most, 2 * time.Second},
		{3 * time.Second, 1, most, 2 * time.Second},
		// which no size of n or delay overflows.
		{1, math.MaxInt, most, 2 * time.Second},
		{math.MaxInt64, math.MaxInt, most, 2 * time.Second},
		// Full jitter: from nothing, over the half, to the ceiling.
		{100 * time.Millisecond, 1, 0, 0},
		{100 * time.Millisecond, 1, 1 << 63, 50 * time.Millisecond},
		// No delay is no wait; nonsense counts as the nearest sense.
		{0, math.MaxInt, most, 0},
		{-time.Second, 3, most, 0},
		{100 * time.Millisecond, 0, most, 100 * time.Millisecond},
		{100 * time.Millisecond, math.MinInt, most, 100 * time.Millisecond},
	} {
		if got := (Policy{Delay: row.delay}).Backoff(row.n, row.u); got != row.want {
			t.Errorf("delay %v, retry %d, u %#x: %v, want %v", row.delay, row.n, row.u, got, row.want)
		}
	}
}

// Whatever the input: the wait lies in [0, ceiling] and grows with u.
func TestBackoffStaysInRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Policy{Delay: time.Duration(rapid.Int64().Draw(t, "delay"))}
		n := rapid.Int().Draw(t, "n")
		u, v := rapid.Uint64().Draw(t, "u"), rapid.Uint64().Draw(t, "v")

		ceiling := math.Min(float64(max(p.Delay, 0))*math.Pow(2, float64(max(n, 1)-1)), float64(maxWait))
		if p.Delay <= 0 {
			ceiling = 0 // 0 * 2^huge is not a number
		}
		low, high := p.Backoff(n, min(u, v)), p.Backoff(n, max(u, v))
		if low < 0 || low > high || float64(high) > ceiling {
			t.Fatalf("want 0 <= %v <= %v <= %v ns", low, high, ceiling)
		}
	})
}

// What may be sent again, one row for each way an attempt can end.
// A column says whether the request is sent again for a method that is
// idempotent (written or not) and for any other one, after some bytes of it
// were written and before that.
func TestRetryable(t *testing.T) {
	type end struct {
		outcome verdict.AttemptOutcome
		phase   Phase
		status  int
	}
	const yes, no = true, false
	rows := []struct {
		end
		idempotent, otherWritten, otherUnwritten bool
	}{
		// A complete answer below 500 is an answer, 4xx included.
		{end{verdict.AttemptSuccess, PhaseRead, 200}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseRead, 301}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseRead, 400}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseRead, 404}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseRead, 408}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseRead, 429}, no, no, no},
		{end{verdict.AttemptSuccess, PhaseSend, 413}, no, no, no}, // answered before the body was sent
		{end{verdict.AttemptSuccess, PhaseConnect, 0}, no, no, no},
		// Of the 5xx, those that a gateway or an overloaded server sends.
		{end{verdict.AttemptStatus5xx, PhaseRead, 500}, no, no, no},
		{end{verdict.AttemptStatus5xx, PhaseRead, 501}, no, no, no},
		{end{verdict.AttemptStatus5xx, PhaseRead, 502}, yes, no, yes},
		{end{verdict.AttemptStatus5xx, PhaseRead, 503}, yes, no, yes},
		{end{verdict.AttemptStatus5xx, PhaseRead, 504}, yes, no, yes},
		{end{verdict.AttemptStatus5xx, PhaseRead, 505}, no, no, no},
		{end{verdict.AttemptStatus5xx, PhaseRead, 599}, no, no, no},
		{end{verdict.AttemptStatus5xx, PhaseSend, 503}, yes, no, yes}, // answered before the body was sent
		{end{verdict.AttemptStatus5xx, PhaseConnect, 0}, no, no, no},
		// Connect and read timeouts, not the send timeout.
		{end{verdict.AttemptTimeout, PhaseConnect, 0}, yes, no, yes},
		{end{verdict.AttemptTimeout, PhaseSend, 0}, no, no, no},
		{end{verdict.AttemptTimeout, PhaseRead, 0}, yes, no, yes},
		// A refused connection.
		{end{verdict.AttemptConnectionRefused, PhaseConnect, 0}, yes, no, yes},
		{end{verdict.AttemptConnectionRefused, PhaseSend, 0}, yes, no, yes},
		{end{verdict.AttemptConnectionRefused, PhaseRead, 0}, yes, no, yes},
		// No way to the upstream: DNS, no route.
		{end{verdict.AttemptConnectFailure, PhaseConnect, 0}, yes, no, yes},
		{end{verdict.AttemptConnectFailure, PhaseSend, 0}, yes, no, yes},
		{end{verdict.AttemptConnectFailure, PhaseRead, 0}, yes, no, yes},
		// A connection that broke, whenever; a status that came before says nothing.
		{end{verdict.AttemptConnectionBroken, PhaseConnect, 0}, yes, no, yes},
		{end{verdict.AttemptConnectionBroken, PhaseSend, 0}, yes, no, yes},
		{end{verdict.AttemptConnectionBroken, PhaseRead, 0}, yes, no, yes},
		{end{verdict.AttemptConnectionBroken, PhaseRead, 200}, yes, no, yes},
		// TLS errors: nobody.
		{end{verdict.AttemptSSLError, PhaseConnect, 0}, no, no, no},
		{end{verdict.AttemptSSLError, PhaseSend, 0}, no, no, no},
		{end{verdict.AttemptSSLError, PhaseRead, 0}, no, no, no},
		// The client has gone: nobody is left to retry for.
		{end{verdict.AttemptCanceled, PhaseConnect, 0}, no, no, no},
		{end{verdict.AttemptCanceled, PhaseSend, 0}, no, no, no},
		{end{verdict.AttemptCanceled, PhaseRead, 0}, no, no, no},
		// Words that do not exist yet are not retried.
		{end{verdict.AttemptOutcomes, PhaseConnect, 503}, no, no, no},
		{end{verdict.AttemptTimeout, PhaseRead + 1, 0}, no, no, no},
	}

	idempotent := map[verdict.Method]bool{
		verdict.MethodGet: true, verdict.MethodHead: true, verdict.MethodPut: true,
		verdict.MethodDelete: true, verdict.MethodOptions: true,
	}
	bools := []bool{false, true}
	seen := map[[2]int]bool{}
	for _, row := range rows {
		seen[[2]int{int(row.outcome), int(row.phase)}] = true
		for m := range verdict.Methods {
			for _, written := range bools {
				want := row.idempotent
				if !idempotent[m] && written {
					want = row.otherWritten
				} else if !idempotent[m] {
					want = row.otherUnwritten
				}
				for _, replayable := range bools {
					for _, started := range bools {
						r := Result{
							Outcome: row.outcome, Status: row.status, Phase: row.phase,
							RequestWritten: written, BodyReplayable: replayable, ResponseStarted: started,
						}
						// A body that is gone, or an answer under way, vetoes every retry.
						want := want && replayable && !started
						if got := Retryable(m, r); got != want {
							t.Errorf("%v after %v, %+v: %v, want %v", m, r.Outcome, r, got, want)
						}
					}
				}
			}
		}
	}
	for o := range verdict.AttemptOutcomes {
		for p := PhaseConnect; p <= PhaseRead; p++ {
			if !seen[[2]int{int(o), int(p)}] {
				t.Errorf("no row for outcome %v in phase %d: add one", o, p)
			}
		}
	}
}

func TestZeroResultIsNeverRetried(t *testing.T) {
	for m := range verdict.Methods {
		if Retryable(m, Result{}) {
			t.Errorf("%v is retried after the zero Result", m)
		}
	}
}
