package retry

import (
	"bytes"
	"time"
)

// maxRetryAfter is where ParseRetryAfter clamps: no longer wait is meant.
const maxRetryAfter = 24 * time.Hour

// WithRetryAfter is the wait before the next attempt when the upstream has asked
// for retryAfter: its wish lengthens the wait, but not beyond 2 s.
func WithRetryAfter(wait, retryAfter time.Duration) time.Duration {
	return max(wait, min(retryAfter, maxWait))
}

// The three forms of an HTTP-date (RFC 9110 §5.6.7), the current one first.
var httpDates = [...]string{
	"Mon, 02 Jan 2006 15:04:05 GMT",
	"Monday, 02-Jan-06 15:04:05 GMT",
	time.ANSIC,
}

// ParseRetryAfter reads the value of a Retry-After field, which is a number of
// seconds or an HTTP-date (RFC 9110 §10.2.3); now is the wall clock that a date
// is compared with. The result lies in [0, 24h]: a date in the past is 0, and
// longer waits are clamped. Anything else is false.
func ParseRetryAfter(value []byte, now time.Time) (time.Duration, bool) {
	value = bytes.Trim(value, " \t")
	if d, ok := parseSeconds(value); ok {
		return d, true
	}
	for _, layout := range httpDates {
		if date, err := time.Parse(layout, string(value)); err == nil {
			return min(max(date.Sub(now), 0), maxRetryAfter), true
		}
	}
	return 0, false
}

// parseSeconds reads delta-seconds, 1*DIGIT of any length.
func parseSeconds(value []byte) (time.Duration, bool) {
	var d time.Duration
	for _, c := range value {
		if c < '0' || '9' < c {
			return 0, false
		}
		d = min(10*d+time.Duration(c-'0')*time.Second, maxRetryAfter)
	}
	return d, len(value) > 0
}
