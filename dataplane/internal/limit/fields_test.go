package limit

import (
	"math"
	"testing"
)

func TestRetryAfterSeconds(t *testing.T) {
	const most = math.MaxUint32
	for _, tt := range []struct {
		ns     int64
		jitter uint32
		want   int64
	}{
		// at least a second
		{0, 0, 1}, {-1, most, 1}, {math.MinInt64, 0, 1}, {1, 0, 1},
		// rounded up
		{second, 0, 1}, {second + 1, 0, 2}, {9 * second, 0, 9},
		// a tenth of less than ten seconds is no whole second
		{9 * second, most, 9},
		// up to a tenth more, all seconds alike
		{10 * second, 0, 10}, {10 * second, most/2 - 1, 10}, {10 * second, most/2 + 1, 11}, {10 * second, most, 11},
		{100 * second, 0, 100}, {100 * second, most, 110},
		// never is a day
		{Never, 0, 86400}, {Never, most, 86400},
		// the longest wait that ends
		{Never - 1, 0, 9223372037}, {Never - 1, most, 10145709240},
	} {
		if got := RetryAfterSeconds(tt.ns, tt.jitter); got != tt.want {
			t.Errorf("RetryAfterSeconds(%d, %d) = %d, want %d", tt.ns, tt.jitter, got, tt.want)
		}
	}
}

func TestPolicy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		p      Params
		d      Decision
		policy string
		limit  string
	}{
		// t is the time until the bucket is full
		{"zerion", Params{300, 1, 500}, Decision{true, 42, 0, 2*second + 1}, `"zerion";q=500;w=2`, `"zerion";r=42;t=3`},
		{"global", Params{1000, 1, 2000}, Decision{true, 2000, 0, 0}, `"global";q=2000;w=2`, `"global";r=2000;t=0`},
		// or, with nothing left, until the next token
		{"per_ip", Params{5, 60, 5}, Decision{false, 0, 12 * second, 60 * second}, `"per_ip";q=5;w=60`, `"per_ip";r=0;t=12`},
		// a window is a second at least
		{"fast", Params{MaxRate, 1, 1}, Decision{true, 0, 1, 1}, `"fast";q=1;w=1`, `"fast";r=0;t=1`},
		{"none", Params{1, 1, 0}, Decision{false, 0, Never, 0}, `"none";q=0;w=1`, `"none";r=0`},
		// what never comes has no time
		{"off", Params{}, Decision{false, 0, Never, 0}, `"off";q=0`, `"off";r=0`},
		{"once", Params{0, 1, 9}, Decision{true, 3, 0, Never}, `"once";q=9`, `"once";r=3`},
		// numbers stay within a structured field
		{"slow", Params{1, MaxDen, MaxBurst}, Decision{true, 0, Never - 1, Never}, `"slow";q=1000000000;w=999999999999999`, `"slow";r=0;t=9223372037`},
		// parameters out of bounds are the zero ones
		{"bad", Params{1, 0, 9}, Decision{}, `"bad";q=0`, `"bad";r=0;t=0`},
	} {
		p := NewPolicy(tt.name, tt.p)
		if got := p.String(); got != tt.policy {
			t.Errorf("policy %s, want %s", got, tt.policy)
		}
		if got := string(p.AppendRateLimit([]byte("x"), tt.d)); got != "x"+tt.limit {
			t.Errorf("limit %s, want x%s", got, tt.limit)
		}
	}
}
