package retry

import (
	"strings"
	"testing"
	"time"
)

func TestWithRetryAfter(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct{ wait, retryAfter, want time.Duration }{
		// No wish, and a past one: the backoff stands.
		{100 * ms, 0, 100 * ms},
		{100 * ms, -time.Hour, 100 * ms},
		// A shorter wish does not shorten the backoff.
		{500 * ms, 200 * ms, 500 * ms},
		// A longer one is honoured,
		{100 * ms, time.Second, time.Second},
		// up to the cap.
		{100 * ms, time.Minute, 2 * time.Second},
		{2 * time.Second, time.Minute, 2 * time.Second},
	} {
		if got := WithRetryAfter(row.wait, row.retryAfter); got != row.want {
			t.Errorf("wait %v, Retry-After %v: %v, want %v", row.wait, row.retryAfter, got, row.want)
		}
	}
}

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(1994, time.November, 6, 8, 49, 0, 0, time.UTC)
	for _, row := range []struct {
		value string
		want  time.Duration
		ok    bool
	}{
		// delta-seconds.
		{"0", 0, true},
		{"120", 2 * time.Minute, true},
		{"0000000000000000000000000120", 2 * time.Minute, true},
		{" \t120 ", 2 * time.Minute, true},
		// Absurd ones clamp to a day, of whatever length.
		{"86400", 24 * time.Hour, true},
		{"86401", 24 * time.Hour, true},
		{"18446744073709551616", 24 * time.Hour, true},
		{strings.Repeat("9", 10_000), 24 * time.Hour, true},
		// The three forms of an HTTP-date.
		{"Sun, 06 Nov 1994 08:49:37 GMT", 37 * time.Second, true},
		{"Sunday, 06-Nov-94 08:49:37 GMT", 37 * time.Second, true},
		{"Sun Nov  6 08:49:37 1994", 37 * time.Second, true},
		// A date in the past means now; one in the far future clamps.
		{"Sun, 06 Nov 1994 08:48:59 GMT", 0, true},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0, true},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 24 * time.Hour, true},
		// Garbage.
		{"", 0, false},
		{" ", 0, false},
		{"-1", 0, false},
		{"+1", 0, false},
		{"1.5", 0, false},
		{"1e3", 0, false},
		{"0x10", 0, false},
		{"10s", 0, false},
		{"1 2", 0, false},
		{"1, 2", 0, false},
		{"\u0661\u0662", 0, false}, // digits, but not of ASCII
		{"soon", 0, false},
		{"Sun, 06 Nov 1994 08:49:37 PST", 0, false},
		{"Sun, 06 Nov 1994 25:49:37 GMT", 0, false},
		{"Sun, 31 Feb 1994 08:49:37 GMT", 0, false},
		{"1994-11-06T08:49:37Z", 0, false},
		{"Sun, 06 Nov 1994 08:49:37 GMT, 5", 0, false},
	} {
		got, ok := ParseRetryAfter([]byte(row.value), now)
		if got != row.want || ok != row.ok {
			t.Errorf("%.40q: %v, %v, want %v, %v", row.value, got, ok, row.want, row.ok)
		}
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, seed := range []string{"120", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "-1", "9999999999999999999"} {
		f.Add([]byte(seed), int64(784111740))
	}
	f.Fuzz(func(t *testing.T, value []byte, unix int64) {
		d, ok := ParseRetryAfter(value, time.Unix(unix, 0))
		if d < 0 || d > 24*time.Hour || (!ok && d != 0) {
			t.Fatalf("%q at %d: %v, %v", value, unix, d, ok)
		}
	})
}
