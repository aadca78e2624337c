package proxy

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/clientaddr"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/route"
	"apiproxy.internal/dataplane/internal/verdict"
)

// Bounds of a request's head, in bytes.
const (
	maxTarget = 64 << 10
	maxFields = 64 << 10 // of the header section
	maxMethod = 32
)

var errLongMethod = errors.New("the method is longer than 32 bytes")

// admit checks what every request must fulfil before it is looked at: validity,
// size, and the node's cap of requests in flight.
func (p *Proxy) admit(x *exchange) bool {
	header := &x.ctx.Request.Header
	x.requestID = appendNewID(x.idBuf[:0])
	if x.snap == nil {
		return p.refuse(x, refusalNoConfig)
	}
	if len(header.RequestURI()) > maxTarget {
		return p.refuse(x, refusalLongTarget)
	}
	if len(header.RawHeaders()) > maxFields {
		return p.refuse(x, refusalLongHead)
	}
	if err := x.parse(header); err != nil {
		r := refusalBadRequest
		if r.detail = strings.TrimPrefix(err.Error(), "http1: "); errors.Is(err, http1.ErrTooMany) {
			r.status = fasthttp.StatusRequestHeaderFieldsTooLarge
		}
		return p.refuse(x, r)
	}
	// A refusal from here on is counted where the request was going.
	x.plan, x.rest, _ = x.snap.Routes.Match(x.path)
	if r := x.unsupported(header); r != nil {
		return p.refuse(x, *r)
	}
	if int64(header.ContentLength()) > x.snap.MaxBody {
		return p.refuse(x, refusalLargeBody)
	}
	if x.inFlight > x.snap.MaxInFlight {
		return p.refuse(x, refusalOverload)
	}
	return true
}

// parse reads the target and the fields from the raw bytes, so that what was
// checked is what is forwarded.
func (x *exchange) parse(header *fasthttp.RequestHeader) (err error) {
	x.client = peerAddr(x.ctx.RemoteAddr())
	if len(header.Method()) > maxMethod {
		return errLongMethod
	}
	if x.fields, err = http1.ParseFields(x.fields[:0], header.RawHeaders()); err != nil {
		return err
	}
	if err = http1.CheckRequest(header.Protocol(), x.fields); err != nil {
		return err
	}
	x.client = clientaddr.Derive(x.client, x.snap.Trusted, x.fields)
	if id, ok := http1.Get(x.fields, "x-request-id"); ok && validID(id) {
		x.requestID = append(x.idBuf[:0], id...)
	}
	x.idBuf = x.requestID
	x.path, x.query, err = route.Split(header.RequestURI())
	return err
}

// unsupported finds what is well-formed but not served.
func (x *exchange) unsupported(header *fasthttp.RequestHeader) *refusal {
	if header.IsConnect() || header.IsTrace() {
		return &refusalMethod
	}
	if _, ok := http1.Get(x.fields, "upgrade"); ok {
		return &refusalUpgrade
	}
	for _, f := range x.fields {
		if http1.EqualFold(f.Name, "expect") && !http1.EqualFold(f.Value, "100-continue") {
			return &refusalExpect
		}
	}
	return nil
}

// route lets the request through to its provider: there is one, the caller may
// use it, and the node has its key. The allow list covers proxied paths only.
func (p *Proxy) route(x *exchange) bool {
	plan := x.plan
	if plan == nil {
		return p.refuse(x, refusalNoProvider)
	}
	if !x.snap.Allows(x.client) {
		return p.refuse(x, refusalForbidden)
	}
	if plan.Credential == nil {
		return p.refuse(x, refusal{status: fasthttp.StatusServiceUnavailable, kind: verdict.CredentialMissing,
			detail: "this node has no key for the provider; its log and --check say what to set"})
	}
	return true
}

// peerAddr is the address at the other end of the connection; invalid for one
// that is not TCP, as in tests.
func peerAddr(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr()
	}
	return netip.Addr{}
}

// validID accepts `[A-Za-z0-9_-]{1,64}`.
func validID(id []byte) bool {
	if len(id) == 0 || len(id) > 64 {
		return false
	}
	for _, c := range id {
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

// appendNewID appends 32 hex digits. They need to be distinct, not secret.
func appendNewID(dst []byte) []byte {
	for range 2 {
		digits := strconv.AppendUint(make([]byte, 0, 16), rand.Uint64(), 16)
		dst = append(dst, "0000000000000000"[len(digits):]...)
		dst = append(dst, digits...)
	}
	return dst
}

// userAgent is for the log only.
func (x *exchange) userAgent() []byte {
	v, _ := http1.Get(x.fields, "user-agent")
	return bytes.TrimSpace(v)
}
