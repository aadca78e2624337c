package ladder

import (
	"strconv"
	"time"
)

// Why says for what reason a request was forwarded (RFC 9211 §2.2).
type Why uint8

// The reasons to forward.
const (
	NotForwarded Why = iota
	Bypass           // the cache is off for the provider, or leaves the request alone
	Method           // of a request that is never answered from a copy
	Miss             // nothing is stored
	VaryMiss         // something is, for another value of a field that Vary names
	Stale            // a copy is too old
	Request          // the request's own directives ask for it
	Partial          // a part is wanted, and no complete copy is there
	whys
)

var whyWords = [whys]string{
	Bypass: "bypass", Method: "method", Miss: "miss", VaryMiss: "vary-miss",
	Stale: "stale", Request: "request", Partial: "partial",
}

// String is the word of Cache-Status; empty for NotForwarded.
func (w Why) String() string { return whyWords[w] }

// Status is the part that the cache took in an answer.
type Status struct {
	Step      Step
	Why       Why   // NotForwarded unless the provider, or the request merged with, was asked
	FwdStatus int   // what the provider answered; 0 = nothing, or it is the answer's own status
	Stored    bool  // the answer is stored now
	TTL       int64 // nanoseconds the copy stays fresh, negative = stale; for steps from a copy
}

// Append appends the value of Cache-Status (RFC 9211 §2), in which a request is
// either a hit or was forwarded.
func (s Status) Append(dst []byte) []byte {
	dst = append(dst, "api-proxy"...)
	if s.Why == NotForwarded {
		if s.Step.FromCopy() {
			dst = append(dst, "; hit"...)
		}
	} else {
		dst = append(append(dst, "; fwd="...), s.Why.String()...)
		if s.FwdStatus != 0 {
			dst = strconv.AppendInt(append(dst, "; fwd-status="...), int64(s.FwdStatus), 10)
		}
		if s.Stored {
			dst = append(dst, "; stored"...)
		}
		if s.Step == Merged {
			dst = append(dst, "; collapsed"...)
		}
	}
	if s.Step.FromCopy() {
		dst = strconv.AppendInt(append(dst, "; ttl="...), seconds(s.TTL), 10)
	}
	if word := s.Step.Degraded(); word != "" {
		dst = append(append(dst, "; detail="...), word...)
	}
	return dst
}

// seconds rounds towards the past, so that a copy which has just become stale
// says so.
func seconds(ns int64) int64 {
	n := ns / int64(time.Second)
	if ns < 0 && ns%int64(time.Second) != 0 {
		n--
	}
	return n
}

// Word is the access log's word for it: hit, stale, merged, miss or bypass, and
// empty for a refusal for which nothing was asked.
func (s Status) Word() string {
	switch {
	case s.Step == Merged:
		return "merged"
	case s.Step.FromCopy() && s.TTL > 0:
		return "hit"
	case s.Step.FromCopy():
		return "stale"
	case s.Why == Bypass, s.Why == Method:
		return "bypass"
	case s.Why != NotForwarded:
		return "miss"
	}
	return ""
}
