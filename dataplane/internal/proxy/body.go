package proxy

import (
	"errors"
	"io"
	"net"
	"syscall"

	"apiproxy.internal/dataplane/internal/downstream"
	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/dataplane/internal/verdict"
)

const (
	noBody = forward.NoBody
	// maxHeld bounds a body that is held in memory, in either direction, in
	// bytes. A larger request body is streamed and cannot be sent again.
	maxHeld = 64 << 10
)

var (
	errBodyTooLarge = errors.New("proxy: the request body exceeds the limit")
	errBatchTooLong = errors.New("proxy: the batch holds more calls than max_batch allows")
)

// readBody takes a small request body into memory, so that the request can be
// sent again; a larger one is left to be streamed.
func (p *Proxy) readBody(x *exchange) bool {
	err := x.holdBody()
	if err == nil {
		return true
	}
	x.returnAttempt() // the caller has used up his own share all the same
	return p.refuse(x, bodyRefusal(err))
}

func (x *exchange) holdBody() error {
	source := x.ctx.RequestBodyStream()
	length := x.ctx.Request.Header.ContentLength()
	if source == nil || length == 0 {
		if length == 0 && (x.method == verdict.MethodPost || x.method == verdict.MethodPut || x.method == verdict.MethodPatch) {
			x.bodyLength = 0 // RFC 9110 §8.6: these announce even an empty body
		}
		return nil
	}
	x.source = clientBody{x: x, r: source, left: x.snap.MaxBody, announced: int64(length)}
	counted := &x.source
	if x.isQuestionInBody() {
		counted.most = x.plan.RPC.MaxBatch
	}
	if length > maxHeld {
		x.bodyStream, x.bodyLength = counted, int64(length)
		return nil
	}
	held, err := readUpTo(counted, x.bodyBuf[:0], maxHeld+1)
	x.bodyBuf = held
	if err != nil {
		return err
	}
	x.body = held
	if len(held) > maxHeld {
		x.bodyStream, x.bodyLength = counted, -1
		return nil
	}
	x.bodyLength = int64(len(held))
	return nil
}

// readUpTo reads to the end of r, or until n bytes are there.
func readUpTo(r io.Reader, dst []byte, n int) ([]byte, error) {
	for len(dst) < n {
		if len(dst) == cap(dst) {
			dst = append(dst, 0)[:len(dst)]
		}
		m, err := r.Read(dst[len(dst):min(cap(dst), n)])
		dst = dst[:len(dst)+m]
		if err == io.EOF {
			break
		}
		if err != nil {
			return dst, err
		}
	}
	return dst, nil
}

// clientBody reads the client's body, counts it, holds it to the size limit and
// remembers a failure, which is then the client's and not the upstream's.
type clientBody struct {
	x         *exchange
	r         io.Reader
	left      int64 // to the size limit
	announced int64 // by Content-Length; negative = chunked

	calls jsonrpc.Counter
	most  int // calls; 0 = not counted
}

func (b *clientBody) Read(p []byte) (int, error) {
	begin := b.x.clientTurn()
	n, err := b.r.Read(p)
	b.x.clientDone(begin)
	b.x.bodyIn += int64(n)
	if b.left -= int64(n); b.left < 0 {
		n, err = 0, errBodyTooLarge
	}
	if b.most > 0 && b.calls.Add(p[:n]) > b.most {
		n, err = 0, errBatchTooLong
	}
	if err == io.EOF && b.cut() {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && err != io.EOF {
		b.x.failedBody = err
	}
	return n, err
}

// cut reports that the body ended with the connection and not by its framing,
// which fasthttp does not tell apart.
func (b *clientBody) cut() bool {
	if b.announced >= 0 {
		return b.x.bodyIn < b.announced
	}
	return downstream.Ended(b.x.ctx.Conn())
}

func bodyRefusal(err error) refusal {
	var netErr net.Error
	switch {
	case errors.Is(err, errBodyTooLarge):
		return refusalLargeBody
	case errors.Is(err, errBatchTooLong):
		return refusalLongBatch
	case errors.As(err, &netErr) && netErr.Timeout():
		return refusalSlowBody
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return refusalCutBody
	}
	return refusalBadBody
}
