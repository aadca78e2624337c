// Package verdict holds the closed sets of words in which the node speaks about
// a request: the same word appears in the answer, the log line, the metric
// label and the documentation. It is the leaf that all stages share and
// imports nothing.
package verdict

// ErrorType says why an answer given to a client was not a plain success. The
// zero value means that there is nothing to report.
type ErrorType uint8

// The values are appended only: they index arrays of counters.
const (
	None ErrorType = iota
	Timeout
	ConnectionRefused
	ConnectFailure
	SSLError
	ConnectionBroken
	Upstream4xx
	Upstream5xx
	CircuitBreaker
	RateLimit
	DegradedCache
	RequestTooLarge
	Malformed
	Overload
	CredentialMissing
	Forbidden
	NotFound
	ClientGone
	ErrorTypes // how many there are
)

var errorTypeNames = [ErrorTypes]string{
	"", "timeout", "connection_refused", "connect_failure", "ssl_error",
	"connection_broken", "upstream_4xx", "upstream_5xx", "circuit_breaker",
	"rate_limit", "degraded_cache", "request_too_large", "malformed", "overload",
	"credential_missing", "forbidden", "not_found", "client_gone",
}

// String is the word of logs, labels and problem documents; empty for None.
func (e ErrorType) String() string { return errorTypeNames[e] }

// LimitScope names the limit that refused a request. The zero value means none.
type LimitScope uint8

// The limits of a request, in the order in which they are asked.
const (
	NoLimit LimitScope = iota
	PerIP
	Global
	PerProvider
	LimitScopes // how many there are
)

var limitScopeNames = [LimitScopes]string{"", "per_ip", "global", "per_provider"}

// String is the word of logs and labels; empty for NoLimit.
func (l LimitScope) String() string { return limitScopeNames[l] }

// AttemptOutcome classifies one attempt to reach an upstream.
type AttemptOutcome uint8

// The outcomes of an attempt. Success is any complete response head with a
// status below 500 (429 included). Canceled says nothing about the upstream:
// the caller went away or the node gave up for a reason of its own.
const (
	AttemptSuccess AttemptOutcome = iota
	AttemptStatus5xx
	AttemptTimeout
	AttemptConnectionRefused
	AttemptConnectFailure
	AttemptSSLError
	AttemptConnectionBroken
	AttemptCanceled
	AttemptOutcomes // how many there are
)

var attemptOutcomeNames = [AttemptOutcomes]string{
	"success", "status_5xx", "timeout", "connection_refused", "connect_failure",
	"ssl_error", "connection_broken", "canceled",
}

// String is the word of logs and labels.
func (a AttemptOutcome) String() string { return attemptOutcomeNames[a] }

// Method is a request method reduced to the set that labels may hold.
type Method uint8

// The methods that are counted under their own name; any other one is
// MethodOther.
const (
	MethodOther Method = iota
	MethodGet
	MethodHead
	MethodPost
	MethodPut
	MethodPatch
	MethodDelete
	MethodOptions
	Methods // how many there are
)

var methodNames = [Methods]string{"other", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// String is the word of labels.
func (m Method) String() string { return methodNames[m] }

// ParseMethod maps the method token of a request line; methods are
// case-sensitive (RFC 9110 §9.1).
func ParseMethod(token []byte) Method {
	for m := MethodGet; m < Methods; m++ {
		if string(token) == methodNames[m] {
			return m
		}
	}
	return MethodOther
}

// Idempotent reports whether a request may be sent again although the upstream
// may have acted on it (RFC 9110 §9.2.2, less TRACE).
func (m Method) Idempotent() bool {
	switch m {
	case MethodGet, MethodHead, MethodPut, MethodDelete, MethodOptions:
		return true
	}
	return false
}

// BreakerState is the state of a circuit breaker.
type BreakerState uint8

// The states of a breaker.
const (
	Closed BreakerState = iota
	Open
	HalfOpen
	BreakerStates // how many there are
)

var breakerStateNames = [BreakerStates]string{"closed", "open", "half_open"}

// String is the word of status documents, labels and logs.
func (s BreakerState) String() string { return breakerStateNames[s] }
