package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"

	"apiproxy.internal/shared/config"
)

// Problem is the body of every refusal (RFC 9457) and, within this package, the
// error that leads to it.
type Problem struct {
	Type     string           `json:"type" example:"about:blank"`
	Title    string           `json:"title" example:"Bad Request"`
	Status   int              `json:"status" example:"400"`
	Detail   string           `json:"detail" doc:"What is wrong and what to do about it."`
	Revision uint64           `json:"revision,omitempty" doc:"The revision in force, where the request named another one."`
	Problems []config.Problem `json:"problems,omitempty" doc:"Everything that is wrong with the input, each with its path."`

	header http.Header
}

func refuse(status int, format string, args ...any) *Problem {
	return &Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// with adds a field to the answer's header.
func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

func (p *Problem) Error() string { return p.Detail }

// GetStatus is the status code of the answer.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders are the fields that the answer's header has because of the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType is that of the answer.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

func (p *Problem) write(w http.ResponseWriter) {
	var body bytes.Buffer
	_ = writeJSON(&body, p) // all of it can be encoded
	header := w.Header()
	maps.Copy(header, p.header)
	header.Set("Content-Type", p.ContentType(""))
	header.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(p.Status)
	_, _ = w.Write(body.Bytes()) // the client has gone
}

// invalid is the answer to input that cannot be used.
func invalid(problems ...config.Problem) *Problem {
	p := refuse(http.StatusBadRequest, "The input has %d problems and nothing was changed; correct them all and send it again.", len(problems))
	if len(problems) == 1 {
		p.Detail = "The input has a problem and nothing was changed: " + problems[0].Error()
	}
	p.Problems = problems
	return p
}

// answerTo is the answer to an error of the backend; logged says that the answer
// does not tell all of it.
func answerTo(err error) (answer *Problem, logged bool) {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p, false
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return invalid(problems...), false
	}
	if p, ok := errors.AsType[*config.Problem](err); ok {
		return invalid(*p), false
	}
	if p, ok := errors.AsType[config.Problem](err); ok {
		return invalid(p), false
	}
	switch {
	case errors.Is(err, ErrUnknown):
		return refuse(http.StatusNotFound, "%v", err), false
	case errors.Is(err, ErrConflict):
		return refuse(http.StatusConflict, "%v", err), false
	case errors.Is(err, ErrUnavailable):
		return refuse(http.StatusServiceUnavailable, "Nothing was changed: %v. Try again in a moment; if it stays so, look at /ready and at NATS.", err).
			with("Retry-After", "1"), true
	case errors.Is(err, ErrUncertain), errors.Is(err, context.DeadlineExceeded):
		return refuse(http.StatusGatewayTimeout, "The change may or may not have been made: %v. Look at the current state before you repeat it.", err), true
	case errors.Is(err, ErrFull):
		return refuse(http.StatusInsufficientStorage, "Nothing was changed: %v. Free space in the data folder of the control plane; reading goes on.", err), true
	}
	return refuse(http.StatusInternalServerError, "The control plane could not do this; its log says why."), true
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
