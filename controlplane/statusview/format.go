package statusview

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Numbers for people. assets/status.js has the same functions under the same
// names; change both. Rounding is spelled out with the same floating-point steps,
// because the two languages' own formatting rounds ties differently.

const (
	thin = "\u202f" // between thousands; does not break
	nbsp = "\u00a0" // between number and unit
	none = "–"      // nothing to show
)

// fixed is x with so many decimals, half up, thousands apart.
func fixed(x float64, decimals int) string {
	switch {
	case math.IsNaN(x):
		return none
	case x < 0:
		return "-" + fixed(-x, decimals)
	case x >= 1e12:
		return ">" + nbsp + "1" + thin + "000" + thin + "000" + thin + "000" + thin + "000"
	}
	power := math.Pow10(decimals)
	digits := strconv.FormatInt(int64(math.Floor(x*power+0.5)), 10)
	if decimals > 0 {
		if len(digits) <= decimals {
			digits = strings.Repeat("0", decimals+1-len(digits)) + digits
		}
		point := len(digits) - decimals
		return group(digits[:point]) + "." + digits[point:]
	}
	return group(digits)
}

// group puts the thousands apart, from five digits as well as from four.
func group(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + thin + digits[i:]
	}
	return digits
}

// trimmed is x with at most so many decimals.
func trimmed(x float64, decimals int) string {
	text := fixed(x, decimals)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}

func count(n int64) string { return fixed(float64(n), 0) }

// perSecond is a measured rate: 0/s, 0.25/s, 12.5/s, 1 234.5/s, 12 345/s.
func perSecond(x float64) string {
	switch {
	case x == 0:
		return "0/s"
	case x < 0.01 && x > 0:
		return "<" + nbsp + "0.01/s"
	case x < 9.995:
		return fixed(x, 2) + "/s"
	case x < 9999.95:
		return fixed(x, 1) + "/s"
	}
	return fixed(x, 0) + "/s"
}

// limitRate is a configured rate: 300/s, 0.5/s is 30/min, 5/min, 100/h.
func limitRate(x float64) string {
	switch {
	case x == 0 || x >= 1:
		return trimmed(x, 3) + "/s"
	case x*60 >= 0.999:
		return trimmed(x*60, 2) + "/min"
	case x*3600 >= 0.999:
		return trimmed(x*3600, 2) + "/h"
	}
	return trimmed(x*86400, 2) + "/day"
}

// percent never says 100 % of what is less, nor 0 % of what is more.
func percent(x float64) string {
	switch {
	case x == 0 || x == 1:
		return fixed(x*100, 0) + nbsp + "%"
	case x > 0 && x < 0.001:
		return "<" + nbsp + "0.1" + nbsp + "%"
	}
	return fixed(math.Floor(x*1000+1e-6)/10, 1) + nbsp + "%"
}

// millis is a latency: 0.4 ms, 12 ms, 1.2 s, 12 s; nothing was measured if it is 0.
func millis(ms float64) string {
	switch {
	case ms <= 0 || math.IsNaN(ms):
		return none
	case ms < 9.95:
		return fixed(ms, 1) + nbsp + "ms"
	case ms < 999.5:
		return fixed(ms, 0) + nbsp + "ms"
	case ms < 9950:
		return fixed(ms/1000, 1) + nbsp + "s"
	}
	return fixed(ms/1000, 0) + nbsp + "s"
}

// size is a number of bytes: 512 B, 3.4 MiB.
func size(n int64) string {
	x := float64(n)
	if x < 1024 {
		return fixed(x, 0) + nbsp + "B"
	}
	unit := 0
	for x /= 1024; x >= 1023.5 && unit < 4; unit++ {
		x /= 1024
	}
	decimals := 0
	if x < 99.95 {
		decimals = 1
	}
	return fixed(x, decimals) + nbsp + [...]string{"KiB", "MiB", "GiB", "TiB", "PiB"}[unit]
}

// span is a length of time: 0.2 s, 12 s, 3 min, 5 h, 9 d. It is rounded down, so
// that a countdown of 1 min is followed by 59 s.
func span(ms int64) string {
	s := float64(max(ms, 0)) / 1000
	switch {
	case s < 10:
		return fixed(math.Floor(s*10)/10, 1) + nbsp + "s"
	case s < 60:
		return fixed(math.Floor(s), 0) + nbsp + "s"
	case s < 3600:
		return fixed(math.Floor(s/60), 0) + nbsp + "min"
	case s < 2*86400:
		return fixed(math.Floor(s/3600), 0) + nbsp + "h"
	}
	return fixed(math.Floor(s/86400), 0) + nbsp + "d"
}

// wholeSpan is span without tenths, for what counts once a second.
func wholeSpan(ms int64) string {
	if ms < 10_000 {
		return strconv.FormatInt(max(ms, 0)/1000, 10) + nbsp + "s"
	}
	return span(ms)
}

// ago tells a past moment, from the page's own time; "in" is its counterpart.
func ago(now, then time.Time) string {
	return wholeSpan(now.UnixMilli()-then.UnixMilli()) + " ago"
}

func in(now, then time.Time) string {
	if ms := then.UnixMilli() - now.UnixMilli(); ms > 0 {
		return "in " + wholeSpan(ms)
	}
	return "now"
}

// clock is the time of day in UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("15:04:05")
}

// stamp is date and time in UTC, for machines and for hovering.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

// plural is "1 node", "2 nodes".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return count(int64(n)) + " " + noun + "s"
}
