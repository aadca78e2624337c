package proxy

import (
	"io"
	"strconv"
	"time"

	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/retry"
	"apiproxy.internal/dataplane/internal/upstream"
	"apiproxy.internal/dataplane/internal/verdict"
)

// lastWord is how long an upstream that stopped taking a request may take to say
// why: its answer is mostly there already.
const lastWord = 250 * time.Millisecond

// attempt sends the request once and leaves the result in x: the head of the
// answer, and its body too if that is small. An attempt whose answer will be
// streamed is concluded when the stream ends, any other one here.
func (p *Proxy) attempt(x *exchange, begin int64) {
	x.attempts++
	x.answered = false // if this one panics, the answer before it says nothing of its connection
	x.result, x.answered = p.once(x, false)
	sent := x.result.RequestWritten
	if x.worthResending() {
		p.dropConn(x)
		x.result, x.answered = p.once(x, true)
	}
	if x.short && !sent {
		x.returnAttempt()
	}
	x.charged = false
	end := p.Clock()
	x.upstream += end - begin
	x.result.BodyReplayable = x.bodyStream == nil
	if x.result.Outcome != verdict.AttemptSuccess || !x.mustStream() {
		p.conclude(x, x.result.Outcome, end)
	}
}

// worthResending tells the upstream's closing of an idle connection, which
// crossed our request on its way, from a real failure: no byte came back on a
// connection that had served before. It is not held against the upstream.
func (x *exchange) worthResending() bool {
	c := x.conn
	return c != nil && c.Reused() && !c.Received() && x.result.Outcome == verdict.AttemptConnectionBroken &&
		x.method.Idempotent() && x.bodyStream == nil
}

// once runs one exchange with the upstream: connect, send, receive.
func (p *Proxy) once(x *exchange, fresh bool) (res retry.Result, answered bool) {
	res.Phase = retry.PhaseConnect
	conn, err := x.plan.Pool.Get(x.plan.Timeouts, x.deadline, fresh)
	if err != nil {
		res.Outcome = p.failed(x, err, false)
		return res, false
	}
	x.conn = conn
	downstream.Watch(x.ctx.Conn(), conn) // a client that leaves need not be waited for
	res.Phase = retry.PhaseSend
	sendErr := p.send(x)
	res.RequestWritten = conn.Wrote()
	if x.failedBody != nil {
		res.Outcome = verdict.AttemptCanceled
		return res, false
	}
	// An upstream may answer and close before it has taken the whole body; its
	// answer counts for more than the broken send.
	if sendErr != nil && x.bodyStream == nil {
		res.Outcome = p.failed(x, sendErr, true)
		return res, false
	}
	if sendErr != nil {
		err = x.receiveLastWord(sendErr)
	} else {
		res.Phase = retry.PhaseRead
		err = x.receive()
	}
	if err != nil {
		res.Outcome = p.failed(x, err, true)
		return res, false
	}
	res.Status = x.response.Status
	if res.Status >= 500 {
		res.Outcome = verdict.AttemptStatus5xx
	}
	return res, true
}

// failed names the error of an attempt and tells the operator of it.
func (p *Proxy) failed(x *exchange, err error, connected bool) verdict.AttemptOutcome {
	outcome := upstream.Classify(err, connected)
	x.short = !connected && upstream.IsShortage(err)
	if x.short || outcome != verdict.AttemptCanceled {
		p.UpstreamFailed(x.plan.Name, outcome, err)
	}
	return outcome
}

// send writes the head and the body; a small request is a single write.
func (p *Proxy) send(x *exchange) error {
	r := forward.Request{
		Method:     x.token,
		Host:       x.plan.Pool.Target().Host,
		BasePath:   x.plan.Pool.Target().BasePath,
		Path:       x.rest,
		Query:      x.query,
		Fields:     x.fieldsUpstream(),
		BodyLength: x.bodyLength,
		Credential: x.plan.Credential,
	}
	if p.AdmittedAt {
		r.AdmittedAt = p.Epoch + x.admittedAt
	}
	x.head = forward.AppendHead(x.head[:0], &r)
	if x.bodyStream == nil {
		x.head = append(x.head, x.body...)
		_, err := x.conn.Write(x.head)
		return err
	}
	if _, err := x.conn.Write(x.head); err != nil {
		return err
	}
	return x.sendStream()
}

// sendStream copies a streamed body: what was read of it already, then the rest.
func (x *exchange) sendStream() error {
	write := x.conn.Write
	if x.bodyLength < 0 {
		write = x.writeChunk
	}
	if len(x.body) > 0 {
		if _, err := write(x.body); err != nil {
			return err
		}
	}
	buf := x.bodyBuf[:cap(x.bodyBuf)]
	if len(buf) < 4<<10 {
		buf = make([]byte, 16<<10)
		x.bodyBuf = buf
	}
	for {
		n, err := x.bodyStream.Read(buf)
		if n > 0 {
			if _, err := write(buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if x.bodyLength < 0 {
		_, err := x.conn.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

// writeChunk writes one chunk of the chunked coding (RFC 9112 §7.1).
func (x *exchange) writeChunk(data []byte) (int, error) {
	x.scratch = strconv.AppendInt(x.scratch[:0], int64(len(data)), 16)
	x.scratch = append(x.scratch, '\r', '\n')
	x.scratch = append(append(x.scratch, data...), '\r', '\n')
	return x.conn.Write(x.scratch)
}

// receive reads the head of the answer, and a small body into the response, so
// that an answer cut short is noticed while another attempt is still possible.
func (x *exchange) receive() error {
	if err := x.response.Read(x.conn.R, x.method == verdict.MethodHead); err != nil {
		return err
	}
	x.answer.Reset(x.conn.R, &x.response)
	x.whole, x.early = false, nil
	switch {
	case x.response.Body == http1.NoBody:
		return nil
	case x.looksInto():
		return x.hold()
	case x.mustStream():
		return nil
	}
	n := int(x.response.Length)
	body := x.ctx.Response.SwapBody(nil)
	if cap(body) < n {
		body = make([]byte, n)
	}
	body = body[:n]
	_, err := io.ReadFull(&x.answer, body)
	x.ctx.Response.SwapBody(body)
	return err
}

// receiveLastWord reads the answer of an upstream that took the request only in
// part. Without one the error is that of sending.
func (x *exchange) receiveLastWord(sendErr error) error {
	limit := time.Now().Add(lastWord)
	if !x.deadline.IsZero() && x.deadline.Before(limit) {
		limit = x.deadline
	}
	x.conn.SetLimit(limit)
	if x.receive() != nil {
		return sendErr
	}
	x.conn.SetLimit(x.deadline)
	x.response.KeepAlive = false
	return nil
}

// mustStream reports that the answer goes to the client as it arrives: large,
// of unknown length, or an event stream.
func (x *exchange) mustStream() bool {
	switch {
	case x.response.Body == http1.NoBody, x.whole:
		return false
	case x.response.Body == http1.Fixed:
		return x.response.Length > maxHeld || x.isEventStream()
	}
	return true
}

func (x *exchange) isEventStream() bool {
	value, _ := http1.Get(x.response.Fields, "content-type")
	const name = "text/event-stream"
	return len(value) >= len(name) && http1.EqualFold(value[:len(name)], name)
}
