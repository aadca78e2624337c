// Package record writes the access log line of a finished request.
package record

import (
	"bytes"
	"net/netip"
	"strconv"
	"time"

	"apiproxy.internal/dataplane/internal/logfile"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Entry is what the access log keeps of a request. Slices are only read during
// Append.
type Entry struct {
	Time            time.Time
	RequestID       []byte
	Node            string
	Provider        string
	Method          []byte
	Path            []byte // with the prefix, raw bytes; a query is left out
	Status          int
	Latency         time.Duration
	UpstreamLatency time.Duration
	BytesIn         int64 // of the request body
	BytesOut        int64 // of the response body
	Client          netip.Addr
	UserAgent       []byte
	Cache           string // hit, miss, stale, merged, bypass or empty
	Degraded        string // circuit_breaker, upstream_error, quota or empty
	Attempts        int
	Limit           verdict.LimitScope
	Error           verdict.ErrorType
}

// maxText bounds the client's words in a line, in bytes: a log is no place to
// store a request.
const maxText = 2048

// Append appends e as one JSON object, without a newline. It allocates nothing
// beyond dst's growth.
func Append(dst []byte, e *Entry) []byte {
	dst = append(dst, `{"time":"`...)
	dst = appendTime(dst, e.Time)
	dst = append(dst, `","request_id":`...)
	dst = logfile.AppendString(dst, e.RequestID)
	dst = append(dst, `,"node":`...)
	dst = logfile.AppendString(dst, e.Node)
	dst = append(dst, `,"provider":`...)
	dst = logfile.AppendString(dst, e.Provider)
	dst = append(dst, `,"method":`...)
	dst = logfile.AppendString(dst, clip(e.Method))
	dst = append(dst, `,"path":`...)
	dst = logfile.AppendString(dst, clip(withoutQuery(e.Path)))
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(e.Status), 10)
	dst = append(dst, `,"latency_ms":`...)
	dst = appendMillis(dst, e.Latency)
	dst = append(dst, `,"upstream_latency_ms":`...)
	dst = appendMillis(dst, e.UpstreamLatency)
	dst = append(dst, `,"bytes_in":`...)
	dst = strconv.AppendInt(dst, e.BytesIn, 10)
	dst = append(dst, `,"bytes_out":`...)
	dst = strconv.AppendInt(dst, e.BytesOut, 10)
	dst = append(dst, `,"client_ip":"`...)
	if e.Client.IsValid() {
		dst = e.Client.WithZone("").AppendTo(dst) // a zone may be any text
	}
	dst = append(dst, `","user_agent":`...)
	dst = logfile.AppendString(dst, clip(e.UserAgent))
	dst = append(dst, `,"cache":`...)
	dst = logfile.AppendString(dst, e.Cache)
	dst = append(dst, `,"degraded":`...)
	dst = logfile.AppendString(dst, e.Degraded)
	dst = append(dst, `,"attempts":`...)
	dst = strconv.AppendInt(dst, int64(e.Attempts), 10)
	dst = append(dst, `,"limit":"`...)
	dst = append(dst, e.Limit.String()...)
	dst = append(dst, `","error_type":"`...)
	dst = append(dst, e.Error.String()...)
	return append(dst, `"}`...)
}

// withoutQuery guards against a caller that hands over a whole request target:
// values of queries belong into no log.
func withoutQuery(path []byte) []byte {
	before, _, _ := bytes.Cut(path, []byte{'?'})
	return before
}

// appendTime writes a time of microseconds. time.RFC3339 is the one layout that
// the standard library formats fast; the fraction is put before its Z.
func appendTime(dst []byte, t time.Time) []byte {
	dst = t.UTC().AppendFormat(dst, time.RFC3339)
	us := t.Nanosecond() / 1000
	dst[len(dst)-1] = '.'
	for unit := 100_000; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+us/unit%10))
	}
	return append(dst, 'Z')
}

// appendMillis writes milliseconds with three decimals, in integers: the
// formatting of floats costs more than the rest of the line.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := max(0, d.Microseconds())
	dst = strconv.AppendInt(dst, us/1000, 10)
	f := us % 1000
	return append(dst, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

func clip(b []byte) []byte {
	if len(b) > maxText {
		return b[:maxText]
	}
	return b
}
