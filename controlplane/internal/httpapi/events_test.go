package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// listen opens the event stream. It is closed with the test's context.
func (s *server) listen(t *testing.T, ctx context.Context, head ...string) (*http.Response, *bufio.Reader) {
	t.Helper()
	request, _ := http.NewRequestWithContext(ctx, "GET", s.url+"/api/v1/events", nil)
	for _, line := range head {
		name, value, _ := strings.Cut(line, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return response, bufio.NewReader(response.Body)
}

// block reads up to the next empty line.
func block(t *testing.T, from *bufio.Reader) string {
	t.Helper()
	var all strings.Builder
	for {
		line, err := from.ReadString('\n')
		if err != nil {
			t.Fatalf("the stream ended: %v after %q", err, all.String())
		}
		if line == "\n" {
			return all.String()
		}
		all.WriteString(line)
	}
}

func TestEvents(t *testing.T) {
	s := start(t, nil)
	response, from := s.listen(t, t.Context(), "Last-Event-ID: 41")
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if got := block(t, from); got != "retry: 2000\n" {
		t.Errorf("the stream begins with %q", got)
	}
	if s.after != 41 {
		t.Errorf("subscribed after %d", s.after)
	}
	s.events <- Event{42, "breaker", json.RawMessage("{\n \"time\": \"2026-11-01T12:00:00Z\",\n \"provider\": \"zerion\"}")}
	s.events <- Event{43, "broken", json.RawMessage("{")}
	s.events <- Event{44, "node_left", json.RawMessage(`{"time":"2026-11-01T12:00:01Z"}`)}
	want := "id: 42\nevent: breaker\ndata: {\"time\":\"2026-11-01T12:00:00Z\",\"provider\":\"zerion\"}\n"
	if got := block(t, from); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := block(t, from); !strings.HasPrefix(got, "id: 44\n") {
		t.Errorf("after an event that is no JSON comes %q", got)
	}
}

func TestEventsHeartbeat(t *testing.T) {
	s := start(t, func(o *Options) { o.Heartbeat = time.Millisecond })
	_, from := s.listen(t, t.Context())
	block(t, from)
	for range 3 {
		if got := block(t, from); got != ": alive\n" {
			t.Errorf("%q is no heartbeat", got)
		}
	}
}

func TestEventsSlowReader(t *testing.T) {
	s := start(t, nil)
	_, from := s.listen(t, t.Context())
	block(t, from)
	close(s.events)
	if got := block(t, from); !strings.HasPrefix(got, ": events were dropped") {
		t.Errorf("%q", got)
	}
	if _, err := from.ReadByte(); err != io.EOF {
		t.Errorf("the stream goes on: %v", err)
	}
	<-s.cancelled
}

func TestEventsReaderLeaves(t *testing.T) {
	s := start(t, nil)
	ctx, leave := context.WithCancel(t.Context())
	_, from := s.listen(t, ctx)
	block(t, from)
	leave()
	<-s.cancelled // or the test does not end
}

func TestEventsReadersAreBounded(t *testing.T) {
	s := start(t, nil)
	s.api.streams.Store(maxStreams)
	if got := s.do(t, "GET", "/api/v1/events", ""); got.status != 503 || got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	s.api.streams.Add(-1)
	_, from := s.listen(t, t.Context())
	block(t, from)
}

func TestShutdownEndsStreamsAndWaits(t *testing.T) {
	s := start(t, nil)
	_, from := s.listen(t, t.Context())
	block(t, from)
	waiting := make(chan struct{})
	s.applied = func(ctx context.Context, _ uint64) Applied {
		close(waiting)
		<-ctx.Done()
		return Applied{Nodes: 1}
	}
	waited := make(chan answer, 1)
	go func() { waited <- s.do(t, "PUT", "/api/v1/limits/global?wait=60s", `{"rate":5}`) }()
	<-waiting
	if err := s.api.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if got := block(t, from); !strings.HasPrefix(got, ": the control plane stops") {
		t.Errorf("the stream ends with %q", got)
	}
	if got := <-waited; got.status != 200 || got.json(t)["applied"] != 0.0 {
		t.Errorf("the wait ended with %d %s", got.status, got.body)
	}
}
