package proxy

import (
	"time"

	"github.com/valyala/fasthttp"
)

// readBuffer holds a request's whole head, in bytes: 64 KiB and room for the
// request line's frame.
const readBuffer = 68 << 10

// Equip sets what the request path needs of a server that serves it; addresses,
// idle and header timeouts and caps are left to the caller.
func (p *Proxy) Equip(s *fasthttp.Server) {
	s.ErrorHandler = p.parseError
	s.ExpectHandler = p.expect
	s.HeaderReceived = p.headReceived

	s.ReadBufferSize = readBuffer
	s.StreamRequestBody = true
	// fasthttp reads so much of a body before it calls the handler: the least
	// that it allows, because the handler may refuse the body.
	s.MaxRequestBodySize = 1
	s.DisablePreParseMultipartForm = true

	s.NoDefaultServerHeader = true
	s.NoDefaultContentType = true
	s.LazyRequestTime = true
	s.CloseOnShutdown = true
	s.SecureErrorLogMessage = true
}

// SendAtOnce makes fasthttp send an answer as soon as it is complete. It would
// keep one back while the client's next request is there already, for as long as
// that one takes; an answer with a write deadline of its own is exempt from this.
// The connections of package downstream take none at all for no change.
func SendAtOnce(ctx *fasthttp.RequestCtx) { _ = ctx.SetWriteDeadline(time.Time{}) }

// headReceived runs between the head and the body of a request. The body gets
// a time of its own; one that is declared too large is not waited for: fasthttp
// leaves a body alone only if it seems to wait for "100 Continue", so that is
// what it is told, and expect refuses it.
func (p *Proxy) headReceived(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	snap := p.Snapshot()
	length := int64(h.ContentLength())
	if snap == nil || length == 0 || length == noBody {
		return fasthttp.RequestConfig{}
	}
	if length > snap.MaxBody {
		h.Set("Expect", "100-continue")
	}
	return fasthttp.RequestConfig{ReadTimeout: time.Duration(snap.Document.Server.BodyTimeout)}
}
