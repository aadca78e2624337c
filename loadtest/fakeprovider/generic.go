package fakeprovider

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxDelay  = 60 * time.Second
	maxBytes  = 1 << 30
	maxChunks = 1_000_000

	// echoAhead chunks of echoChunk bytes may wait to be echoed. A client that
	// sends its whole body before it reads does not deadlock below their product.
	echoAhead = 512
	echoChunk = 32 << 10
)

// argLimits are the smallest and the largest argument of the endpoints with one.
var argLimits = map[string][2]int64{
	"status": {100, 599},
	"delay":  {0, math.MaxInt64}, // milliseconds, cut to maxDelay
	"bytes":  {0, maxBytes},
	"stream": {0, maxChunks},
}

// generic answers the endpoints that every provider has; false when the path is
// none of them.
func (s *Server) generic(a *answer, r *http.Request, t target) bool {
	name, arg, hasArg := strings.Cut(strings.TrimPrefix(t.path, "/"), "/")
	if t.path == "/v1/test" { // what the predecessor's guide asks for
		name, hasArg = "test", false
	}
	if hasArg {
		return s.genericWithArg(a, r, t, name, arg)
	}
	switch name {
	case "test", "success":
		writeJSON(a, http.StatusOK, map[string]any{"ok": true, "provider": t.provider.String()})
	case "get":
		s.describe(a, r, t)
	case "headers":
		writeJSON(a, http.StatusOK, s.headerPairs(r))
	case "redirect":
		redirect(a, r, t)
	default:
		return false
	}
	return true
}

func (s *Server) genericWithArg(a *answer, r *http.Request, t target, name, arg string) bool {
	limit, ok := argLimits[name]
	if !ok {
		return false
	}
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil || n < limit[0] || n > limit[1] {
		fail(a, t.provider, http.StatusBadRequest, fmt.Sprintf("/%s/{n}: n must be a number of %d..%d", name, limit[0], limit[1]))
		return true
	}
	switch name {
	case "status":
		serveStatus(a, t, int(n))
	case "delay":
		s.delay(a, r, t, n)
	case "bytes":
		serveBytes(a, r, n)
	case "stream":
		s.stream(a, r, t, n)
	}
	return true
}

// describe tells what arrived. Repeated headers are joined as in RFC 9110 §5.3.
func (s *Server) describe(a *answer, r *http.Request, t target) {
	headers := map[string]string{}
	for _, pair := range s.headerPairs(r) {
		if before, ok := headers[pair[0]]; ok {
			pair[1] = before + ", " + pair[1]
		}
		headers[pair[0]] = pair[1]
	}
	writeJSON(a, http.StatusOK, map[string]any{
		"provider": t.provider.String(),
		"method":   r.Method,
		"path":     s.credentials.mask(t.recorded),
		"query":    s.credentials.mask(r.URL.RawQuery),
		"headers":  headers,
	})
}

// headerPairs are the received headers by name, those of one name in the order in
// which they came. net/http canonicalises names and takes Host and
// Transfer-Encoding out of the map: they are put back.
func (s *Server) headerPairs(r *http.Request) [][2]string {
	pairs := [][2]string{{"Host", s.credentials.mask(r.Host)}}
	for _, coding := range r.TransferEncoding {
		pairs = append(pairs, [2]string{"Transfer-Encoding", coding})
	}
	for name, values := range r.Header {
		for _, value := range values {
			switch name {
			case "Authorization", "Proxy-Authorization", "Cookie", coinGeckoHeader:
				value = masked
			}
			pairs = append(pairs, [2]string{s.credentials.mask(name), s.credentials.mask(value)})
		}
	}
	slices.SortStableFunc(pairs, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return pairs
}

// redirect copies ?to= into Location byte by byte; http.Redirect would tidy it.
func redirect(a *answer, r *http.Request, t target) {
	to := r.URL.Query().Get("to")
	if to == "" {
		fail(a, t.provider, http.StatusBadRequest, "/redirect: say where, as in /redirect?to=https://example.com/")
		return
	}
	a.Header().Set("Location", to)
	a.WriteHeader(http.StatusFound)
}

// serveStatus answers with any status. An informational one is followed by 200,
// because it is no answer; 101 would switch to a protocol that is not there.
func serveStatus(a *answer, t target, status int) {
	switch {
	case status == http.StatusSwitchingProtocols:
		fail(a, t.provider, http.StatusBadRequest, "/status/101: there is no protocol to switch to")
		return
	case status < 200:
		a.WriteHeader(status)
		status = http.StatusOK
	}
	writeJSON(a, status, map[string]int{"status": status})
}

func (s *Server) delay(a *answer, r *http.Request, t target, ms int64) {
	wait := time.Duration(min(ms, maxDelay.Milliseconds())) * time.Millisecond
	if !s.pause(r, wait) {
		a.reset()
		return
	}
	writeJSON(a, http.StatusOK, map[string]any{"provider": t.provider.String(), "delay_ms": wait.Milliseconds()})
}

// patternPeriod is prime, so that lost or doubled blocks of any usual size show.
const patternPeriod = 251

// pattern is a block of /bytes: byte i of the body is i mod 251.
var pattern = func() []byte {
	one := make([]byte, patternPeriod)
	for i := range one {
		one[i] = byte(i)
	}
	return bytes.Repeat(one, 128)
}()

func serveBytes(a *answer, r *http.Request, n int64) {
	a.Header().Set("Content-Type", "application/octet-stream")
	a.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	a.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	for n > 0 {
		sent, err := a.Write(pattern[:min(n, int64(len(pattern)))])
		if err != nil {
			return
		}
		n -= int64(sent)
	}
}

// stream sends n chunks, each flushed, ?interval= apart; ?sse=1 makes them events.
func (s *Server) stream(a *answer, r *http.Request, t target, n int64) {
	var interval time.Duration
	if text := r.URL.Query().Get("interval"); text != "" {
		var err error
		if interval, err = time.ParseDuration(text); err != nil || interval < 0 || interval > maxDelay {
			fail(a, t.provider, http.StatusBadRequest, fmt.Sprintf("/stream: interval must be a duration of 0s..%s", maxDelay))
			return
		}
	}
	contentType, format := "text/plain; charset=utf-8", "chunk %d\n"
	if r.URL.Query().Get("sse") == "1" {
		contentType, format = "text/event-stream", "id: %[1]d\ndata: chunk %[1]d\n\n"
	}
	a.Header().Set("Content-Type", contentType)
	a.WriteHeader(http.StatusOK)
	a.flush()
	if r.Method == http.MethodHead {
		return
	}
	for i := range n {
		if i > 0 && !s.pause(r, interval) {
			a.reset() // the end of a cut stream must not look like its end
			return
		}
		if _, err := fmt.Fprintf(a, format, i); err != nil {
			return
		}
		a.flush()
	}
}

// echo returns the request's body while it is still coming in.
func echo(a *answer, r *http.Request) {
	control := http.NewResponseController(a)
	_ = control.EnableFullDuplex() // HTTP/1 needs it; others that do not know it have it
	if contentType := r.Header.Get("Content-Type"); contentType != "" {
		a.Header().Set("Content-Type", contentType)
	}
	if r.ContentLength >= 0 {
		a.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
	}

	chunks := make(chan []byte, echoAhead)
	quit := make(chan struct{})
	var failure error // of the body; set before chunks is closed
	go func() {
		defer close(chunks)
		failure = readChunks(r.Body, chunks, quit)
	}()
	for chunk := range chunks {
		if _, err := a.Write(chunk); err != nil {
			close(quit)
			_ = control.SetReadDeadline(time.Unix(1, 0)) // ends a read that waits for the client
			break
		}
		if len(chunks) == 0 {
			a.flush()
		}
	}
	for range chunks { // wait for the reader
	}
	if failure != io.EOF {
		a.reset() // half a body must not look like a whole one
	}
}

// readChunks reads body to its end, ahead of the consumer of out, until quit.
func readChunks(body io.Reader, out chan<- []byte, quit <-chan struct{}) error {
	for {
		chunk := make([]byte, echoChunk)
		n, err := body.Read(chunk)
		if n > 0 {
			select {
			case out <- chunk[:n]:
			case <-quit:
				return errReset
			}
		}
		if err != nil {
			return err
		}
	}
}
