package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"

	"apiproxy.internal/dataplane/internal/verdict"
)

// TLSError is a failed handshake, whatever ended it.
type TLSError struct{ Err error }

func (e *TLSError) Error() string { return "tls handshake: " + e.Err.Error() }
func (e *TLSError) Unwrap() error { return e.Err }

// Classify names an error of Get (connected = false) or of a later read or
// write (connected = true). Whatever an upstream sends that is not HTTP counts as
// a broken connection.
func Classify(err error, connected bool) verdict.AttemptOutcome {
	switch {
	case err == nil:
		return verdict.AttemptSuccess
	case errors.Is(err, net.ErrClosed): // by ourselves: Cancel, or the node's stop
		return verdict.AttemptCanceled
	case !connected && IsShortage(err):
		return verdict.AttemptCanceled
	case isTimeout(err):
		return verdict.AttemptTimeout
	case isTLS(err):
		return verdict.AttemptSSLError
	case connected:
		return verdict.AttemptConnectionBroken
	case errors.Is(err, syscall.ECONNREFUSED):
		return verdict.AttemptConnectionRefused
	}
	return verdict.AttemptConnectFailure
}

// shortages are the errors of a node, or of its machine, that has run out of
// descriptors, memory or local ports.
var shortages = [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL}

// IsShortage reports an error of opening or accepting a connection that is the
// node's own and passes. It says nothing about the other side.
func IsShortage(err error) bool {
	var dns *net.DNSError // holds the text of its cause, not the cause
	resolving := errors.As(err, &dns)
	for _, short := range shortages {
		if errors.Is(err, short) || resolving && strings.HasSuffix(dns.Err, short.Error()) {
			return true
		}
	}
	return false
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// isTLS also knows an alert after the handshake, which is how a server of TLS 1.3
// refuses a client (RFC 8446 §4.4.2.4); crypto/tls tells it by Op alone.
func isTLS(err error) bool {
	var (
		handshake *TLSError
		record    tls.RecordHeaderError
		op        *net.OpError
	)
	return errors.As(err, &handshake) || errors.As(err, &record) ||
		errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}
