package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	eventRetry   = 2000             // milliseconds until a reader should connect again
	eventTimeout = 10 * time.Second // to write one event
)

// serveEvents streams events (HTML standard, "server-sent events") until the
// reader goes, is too slow, or the server stops.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	stream := eventStream{w, http.NewResponseController(w)}
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no") // nginx would keep events to itself
	if r.Method == http.MethodHead {
		return
	}
	defer s.streams.Add(-1)
	if s.streams.Add(1) > maxStreams {
		refuse(http.StatusServiceUnavailable, "There are %d readers of events already; close some of them, such as open status pages.", maxStreams).
			with("Retry-After", "10").write(w)
		return
	}
	events, cancel := s.options.Backend.Subscribe(after)
	defer cancel()
	_ = stream.control.SetReadDeadline(time.Time{}) // what is watched now is whether the reader goes
	if stream.write("retry: %d\n\n", eventRetry) != nil {
		return
	}
	heartbeat := time.NewTicker(s.options.Heartbeat)
	defer heartbeat.Stop()
	for {
		var err error
		select {
		case <-r.Context().Done():
			return
		case <-s.stopping.Done():
			_ = stream.write(": the control plane stops; connect again\n\n")
			return
		case <-heartbeat.C:
			err = stream.write(": alive\n\n")
		case e, ok := <-events:
			if !ok {
				_ = stream.write(": events were dropped because they were not read in time; connect again\n\n")
				return
			}
			err = stream.event(e)
		}
		if err != nil {
			return
		}
	}
}

type eventStream struct {
	w       io.Writer
	control *http.ResponseController
}

// event writes an event whose data is one line, as JSON without line breaks is.
func (s eventStream) event(e Event) error {
	var data bytes.Buffer
	if err := json.Compact(&data, e.Data); err != nil {
		return nil // not JSON: nobody could read it
	}
	return s.write("id: %d\nevent: %s\ndata: %s\n\n", e.ID, e.Name, data.Bytes())
}

// write sends text at once. A reader that does not take it in time is gone.
func (s eventStream) write(format string, args ...any) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(eventTimeout))
	if _, err := fmt.Fprintf(s.w, format, args...); err != nil {
		return err
	}
	return s.control.Flush()
}
