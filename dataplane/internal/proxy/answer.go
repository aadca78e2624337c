package proxy

import (
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
)

// answer writes what the last attempt came to.
func (p *Proxy) answer(x *exchange) {
	if p.settleCache(x) {
		return
	}
	switch {
	case x.failedBody != nil:
		p.dropConn(x)
		p.refuse(x, bodyRefusal(x.failedBody))
	case x.short:
		p.dropConn(x)
		p.refuse(x, refusalShort)
	case !x.answered:
		p.dropConn(x)
		p.refuse(x, p.unanswered(x.result.Outcome))
	default:
		p.passOn(x)
	}
}

// unanswered is the refusal for an upstream that gave no usable answer.
func (p *Proxy) unanswered(o verdict.AttemptOutcome) refusal {
	switch {
	case o == verdict.AttemptCanceled && p.Draining():
		return refusalStopped
	case o == verdict.AttemptCanceled:
		return refusalLeft
	}
	r := refusal{status: fasthttp.StatusBadGateway, kind: kindOf[o], detail: "the provider gave no usable answer"}
	if o == verdict.AttemptTimeout {
		r.status, r.detail = fasthttp.StatusGatewayTimeout, "the provider did not answer in time"
	}
	return r
}

// passOn hands the upstream's answer to the client.
func (p *Proxy) passOn(x *exchange) {
	x.passStatus(x.response.Status)
	x.copyFields()
	p.ownHeaders(x)
	switch {
	case x.response.Body == http1.NoBody:
		x.ctx.Response.ResetBody() // an earlier attempt may have left one
		p.dropConn(x)
	case x.mustStream():
		p.startStream(x)
	default:
		x.bytesOut = x.response.Length
		p.dropConn(x)
	}
}

func (x *exchange) passStatus(status int) {
	x.status = status
	switch {
	case status >= 500:
		x.kind = verdict.Upstream5xx
	case status >= 400:
		x.kind = verdict.Upstream4xx
	}
	x.ctx.SetStatusCode(status)
}

func (x *exchange) copyFields() {
	h := &x.ctx.Response.Header
	for _, f := range x.clientFields(false) {
		h.AddBytesKV(f.Name, f.Value)
	}
}

// clientFields are the answer's fields as they go to a client. What is to be
// stored has no Age: the cache writes its own. They are valid until the next
// call.
func (x *exchange) clientFields(toStore bool) []http1.Field {
	x.passing = x.passing[:0]
	fields := x.response.Fields
	named := forward.NamesFields(fields)
	for _, f := range fields {
		if http1.EqualFold(f.Name, "content-length") && x.response.Body == http1.NoBody {
			x.passing = append(x.passing, f) // of the body that HEAD or 304 leaves out
			continue
		}
		if toStore && http1.EqualFold(f.Name, "age") {
			continue
		}
		if !forward.PassesDownstream(f.Name) || named && forward.IsNamed(fields, f.Name) {
			continue
		}
		if x.plan.Credential.Leaks(f.Name) {
			continue
		}
		value := f.Value
		if x.plan.Credential.Leaks(value) {
			value = x.plan.Credential.Mask(value)
		}
		x.passing = append(x.passing, http1.Field{Name: f.Name, Value: value})
	}
	return x.passing
}

// stream carries an answer to the client as it arrives. fasthttp reads it while
// it writes the response and closes it at the end, whatever the end was.
type stream struct {
	p      *Proxy
	x      *exchange
	broken error     // the upstream's failure
	handed int64     // bytes of the last Read
	since  time.Time // the last Read, see clientTurn
}

func (p *Proxy) startStream(x *exchange) {
	x.stream = &stream{p: p, x: x, since: x.clientTurn()}
	size := -1 // chunked: fasthttp then flushes each piece, as events need it
	if x.response.Body == http1.Fixed && !x.isEventStream() {
		size = int(x.response.Length)
	}
	if size < 0 && !x.ctx.Request.Header.IsHTTP11() {
		x.streamUntilClose()
		return
	}
	x.ctx.Response.ImmediateHeaderFlush = true
	x.ctx.Response.SetBodyStream(x.stream, size)
}

// streamUntilClose serves an HTTP/1.0 client, which knows no chunks: the end of
// the connection is the end of the answer (RFC 9112 §6.3). fasthttp would send
// chunks, so the connection is taken from it.
func (x *exchange) streamUntilClose() {
	s, header := x.stream, &x.ctx.Response.Header
	header.SetConnectionClose()
	head := header.Header()
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(func(c net.Conn) {
		_, err := c.Write(head)
		if err == nil {
			_, err = io.Copy(c, s)
		}
		_ = s.CloseWithError(err)
	})
}

// Read implements io.Reader. A truncated body is an error, so that the client
// never takes it for a complete one. Whoever asks for more has passed on what he
// got before: between two calls the client is waited for.
func (s *stream) Read(b []byte) (int, error) {
	x := s.x
	x.clientDone(s.since)
	x.bytesOut += s.handed
	n, err := x.readAnswer(b)
	x.collect(b[:n])
	s.handed, s.since = int64(n), x.clientTurn()
	if err != nil && err != io.EOF {
		s.broken = err
	}
	return n, err
}

// readAnswer reads what was read of the answer before, then the rest.
func (x *exchange) readAnswer(b []byte) (n int, err error) {
	if len(x.early) == 0 {
		return x.answer.Read(b)
	}
	n = copy(b, x.early)
	x.early = x.early[n:]
	return n, nil
}

// CloseWithError implements fasthttp.ReadCloserWithError: the one place where a
// streamed request ends.
func (s *stream) CloseWithError(failed error) error {
	x := s.x
	if x == nil {
		return nil
	}
	s.x = nil
	if failed == nil {
		x.bytesOut += s.handed
	}
	switch {
	case s.broken != nil:
		outcome := s.p.failed(x, s.broken, true)
		x.kind = kindOf[outcome]
		s.p.concludeStream(x, outcome)
	case !x.answer.Done():
		x.kind = verdict.ClientGone
		s.p.concludeStream(x, verdict.AttemptSuccess) // the upstream did its part
	default:
		s.p.concludeStream(x, verdict.AttemptSuccess)
		s.p.endCollecting(x)
	}
	s.p.dropConn(x)
	s.p.finish(x)
	return nil
}

// concludeStream concludes the attempt, unless its status already did.
func (p *Proxy) concludeStream(x *exchange, outcome verdict.AttemptOutcome) {
	if x.result.Outcome == verdict.AttemptSuccess {
		p.conclude(x, outcome, p.Clock())
	}
}
