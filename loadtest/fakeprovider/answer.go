package fakeprovider

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

const maxSettle = 5 * time.Second

var errReset = errors.New("connection reset by a fault")

// answer is the ResponseWriter of one request. It tells the ledger the status
// before the client can see it, and cuts the body where a fault says so.
type answer struct {
	http.ResponseWriter
	book     *ledger
	seq      int64
	cutAfter int64 // body bytes until the cut; -1 = never
	begun    bool  // the final status is decided
	doomed   bool  // the connection ends with RST when the handler returns
}

func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

func (a *answer) WriteHeader(status int) {
	if !a.begun && status >= 200 {
		a.begun = true
		a.book.answered(a.seq, status)
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.doomed {
		return 0, errReset
	}
	if !a.begun {
		a.WriteHeader(http.StatusOK)
	}
	if a.cutAfter < 0 {
		return a.ResponseWriter.Write(p)
	}
	allowed := min(a.cutAfter, int64(len(p)))
	a.cutAfter -= allowed
	n, err := a.ResponseWriter.Write(p[:allowed])
	if err == nil && n < len(p) {
		a.flush()
		a.reset()
		err = errReset
	}
	return n, err
}

func (a *answer) flush() {
	_ = http.NewResponseController(a).Flush() // fails when the client is gone: the next write says so
}

// reset dooms the connection. It is closed only when the handler is through,
// because hijacking it under a reader of the request's body deadlocks.
func (a *answer) reset() { a.doomed = true }

// abort closes the connection of a doomed answer with RST, by lingering for 0 s.
// That drops unsent bytes, so a cut answer first gets its bytes through. A
// ResponseWriter that cannot be hijacked keeps what was written so far.
func (s *Server) abort(a *answer) {
	conn, _, err := http.NewResponseController(a).Hijack()
	if err != nil {
		return
	}
	if a.cutAfter == 0 {
		s.settle(conn)
	}
	if tcp, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// settle waits until the written bytes have reached the client. One that does not
// read for maxSettle, or has just left, loses them.
func (s *Server) settle(conn net.Conn) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(maxSettle); unsent(conn) > 0 && time.Now().Before(deadline); {
		select {
		case <-poll.C:
		case <-s.closing:
			return
		}
	}
}

// drain reads the request's body to its end, in constant memory.
func drain(r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // an error is the client's: the answer will not reach it
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "fakeprovider: "+err.Error(), http.StatusInternalServerError)
		return
	}
	encoded = append(encoded, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(encoded)))
	w.WriteHeader(status)
	_, _ = w.Write(encoded) // fails only when the client is gone
}
