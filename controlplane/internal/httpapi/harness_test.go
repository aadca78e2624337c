package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "s3cret-canary-token"

// server is an API behind a real listener. It is its own backend, so that a test
// may replace the fake cluster between two requests.
type server struct {
	*fake
	api  *Server
	url  string
	log  *lines
	seen chan observed // requests that were observed
}

type observed struct {
	method, route string
	status        int
}

// start starts a server; change may change its options.
func start(t *testing.T, change func(*Options)) *server {
	t.Helper()
	s := &server{fake: newFake(), log: &lines{}, seen: make(chan observed, 1000)}
	log := slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	options := Options{
		Backend: s, Page: page{}, Token: token, Version: "test", Log: log,
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			_, _ = io.WriteString(w, "api_proxy_control_up 1\n")
		}),
		Observe: func(method, route string, status int, _ time.Duration) {
			select {
			case s.seen <- observed{method, route, status}:
			default:
			}
		},
	}
	if change != nil {
		change(&options)
	}
	s.api = New(options)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.api.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.api.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

// answer is what a client sees.
type answer struct {
	status int
	header http.Header
	body   string
}

// json reads the body as an object.
func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("not an object: %v: %s", err, a.body)
	}
	return v
}

// noRedirect is a client that shows redirects.
var noRedirect = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// do sends a request with the token. head are lines of the header, which replace
// it; "Authorization:" takes it out.
func (s *server) do(t *testing.T, method, path, body string, head ...string) answer {
	t.Helper()
	request, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	for _, line := range head {
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case name == "Host":
			request.Host = value
		case value == "":
			request.Header.Del(name)
		default:
			request.Header.Set(name, value)
		}
	}
	response, err := noRedirect.Do(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response.StatusCode, response.Header, string(content)}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(data)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// audits are the lines of the audit so far.
func (l *lines) audits(t *testing.T) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(l.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("not a log line: %v: %s", err, line)
		}
		if strings.HasPrefix(v["msg"].(string), "audit") {
			all = append(all, v)
		}
	}
	return all
}

// paths are the paths of the problems in an answer.
func paths(t *testing.T, a answer) (all []string) {
	t.Helper()
	problems, _ := a.json(t)["problems"].([]any)
	for _, p := range problems {
		problem := p.(map[string]any)
		if problem["message"] == "" || problem["remedy"] == "" {
			t.Errorf("a problem without message or remedy: %v", problem)
		}
		all = append(all, problem["path"].(string))
	}
	slices.Sort(all)
	return all
}
