package cache

import (
	"bytes"
	"strconv"

	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Part says how a request for a part of a complete copy is answered.
type Part uint8

// The answers to a Range field.
const (
	Whole         Part = iota // there is none, or it is ignored, as any may be (RFC 9110 §14.2)
	Partial                   // 206 with one part
	Unsatisfiable             // 416
)

// Cut decides how much of a stored 200 of size bytes the request gets: the bytes
// from first up to, not including, end. Ranges count for GET only (§14.2); more
// than one, or one that is malformed or of another unit, is ignored; so is one
// whose If-Range does not name the stored answer exactly (§13.1.5).
func (w *Wish) Cut(status int, stored []http1.Field, size int64) (part Part, first, end int64) {
	if !w.Ranged || w.Method != verdict.MethodGet || status != 200 || !w.rangeHolds(stored) {
		return Whole, 0, size
	}
	spec, ok := bytes.CutPrefix(w.ranges, []byte("bytes="))
	if !ok {
		return Whole, 0, size
	}
	return parseRange(trim(spec), size)
}

func parseRange(spec []byte, size int64) (Part, int64, int64) {
	from, to, ok := bytes.Cut(spec, []byte{'-'})
	if !ok {
		return Whole, 0, size
	}
	if len(from) == 0 { // "-n": the last n bytes
		n, ok := parseOffset(to)
		switch {
		case !ok:
			return Whole, 0, size
		case n == 0 || size == 0:
			return Unsatisfiable, 0, 0
		}
		return Partial, size - min(n, size), size
	}
	first, ok := parseOffset(from)
	if !ok {
		return Whole, 0, size
	}
	end := size
	if len(to) > 0 {
		last, ok := parseOffset(to)
		if !ok || last < first {
			return Whole, 0, size
		}
		if last < size-1 {
			end = last + 1
		}
	}
	if first >= size {
		return Unsatisfiable, 0, 0
	}
	return Partial, first, end
}

// parseOffset reads 1*DIGIT; what exceeds any size is as good as the largest.
func parseOffset(b []byte) (n int64, ok bool) {
	const most = 1 << 58
	for _, c := range b {
		if c < '0' || '9' < c {
			return 0, false
		}
		n = min(10*n+int64(c-'0'), most)
	}
	return n, len(b) > 0
}

func (w *Wish) rangeHolds(stored []http1.Field) bool {
	if w.ifRange == nil {
		return true
	}
	if bytes.IndexByte(w.ifRange, '"') >= 0 {
		tag, ok := http1.Get(stored, "etag")
		return ok && !isWeak(tag) && bytes.Equal(tag, w.ifRange)
	}
	// A date is a strong validator only if it is much older than the answer's
	// Date (§8.8.2.2); the weaker case is left to the provider's whole answer.
	modified, ok := http1.Get(stored, "last-modified")
	if !ok || !bytes.Equal(modified, w.ifRange) {
		return false
	}
	date, ok := http1.Get(stored, "date")
	if !ok {
		return false
	}
	at, ok := parseDate(date)
	since, valid := parseDate(modified)
	return ok && valid && at.Sub(since) >= 60*1e9
}

// AppendContentRange appends the value of Content-Range for a part of a copy, or
// for a 416 if end is 0 (RFC 9110 §14.4).
func AppendContentRange(dst []byte, first, end, size int64) []byte {
	dst = append(dst, "bytes "...)
	if end == 0 {
		dst = append(dst, '*')
	} else {
		dst = strconv.AppendInt(dst, first, 10)
		dst = append(dst, '-')
		dst = strconv.AppendInt(dst, end-1, 10)
	}
	dst = append(dst, '/')
	return strconv.AppendInt(dst, size, 10)
}
