// Package httpapi is the control plane's HTTP API: it reads requests strictly,
// refuses what must not pass, asks the Backend and words the answers. It decides
// nothing itself and knows neither NATS nor metrics.
//
// Every request goes the same way (Server.ServeHTTP): route, origin, token, body,
// handler, audit.
package httpapi

import (
	"context"
	"crypto/sha256"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"apiproxy.internal/shared/status"
)

// Options are what the API is made of.
type Options struct {
	Backend Backend
	Page    Page         // of GET /status for browsers; nil = JSON for everybody
	Metrics http.Handler // of GET /metrics; nil = none

	// Token is what every write has to bring; empty = writes from this machine only.
	Token   string
	Version string // shown by /health and /openapi.json

	Log   *slog.Logger // warnings and failures; nil = nowhere
	Audit *slog.Logger // one line for each write, refused ones too; nil = Log

	// Observe is told of each request when it is answered: a method of the standard
	// or "other", the pattern of the route or "none". nil = nobody.
	Observe func(method, route string, status int, took time.Duration)

	Heartbeat time.Duration // between comments on an idle event stream; 0 = 15 s
}

// Page is the status page.
type Page interface {
	// Render writes the page as HTML.
	Render(w io.Writer, doc status.Document) error
	// Assets serves what the page refers to, below /status/assets/.
	Assets() http.Handler
	// CSP is the page's Content-Security-Policy.
	CSP() string
}

// The bounds of a connection. Answers that take longer on purpose, a wait and an
// event stream, lift the deadlines for themselves.
const (
	headerTimeout = 10 * time.Second // to read a request's head
	readTimeout   = 30 * time.Second // to read all of a request
	writeTimeout  = 30 * time.Second // from then to the end of the answer
	actTimeout    = 25 * time.Second // for the backend to change something
	idleTimeout   = 75 * time.Second // between two requests
	maxHeader     = 64 << 10         // bytes
	maxBody       = 1 << 20          // bytes
	maxDrain      = 16 << 20         // bytes of a refused body that are read and thrown away
	maxStreams    = 256              // event streams at once
)

// Server is the API on its listeners. It is safe for simultaneous use.
type Server struct {
	options Options
	token   [sha256.Size]byte
	routes  *http.ServeMux
	queries map[string][]string // parameters that a route knows, by pattern
	spec    []byte              // the answer of /openapi.json
	http    *http.Server
	streams atomic.Int64 // event streams that are open

	stopping context.Context // ends when Shutdown is called
	stop     context.CancelFunc
}

// New makes a server that does not listen yet. It warns in the log, once, if
// there is no token.
func New(options Options) *Server {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	if options.Audit == nil {
		options.Audit = options.Log
	}
	if options.Observe == nil {
		options.Observe = func(string, string, int, time.Duration) {}
	}
	if options.Heartbeat <= 0 {
		options.Heartbeat = 15 * time.Second
	}
	if options.Token == "" {
		options.Log.Warn("there is no admin token: only this machine may change anything; set --admin-token-file or APIPROXY_ADMIN_TOKEN")
	}
	s := &Server{
		options: options,
		token:   sha256.Sum256([]byte(options.Token)),
		routes:  http.NewServeMux(),
		queries: map[string][]string{},
	}
	s.stopping, s.stop = context.WithCancel(context.Background())
	s.register()
	s.http = &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(options.Log.Handler(), slog.LevelDebug),
	}
	return s
}

// Serve answers on a listener until Shutdown; the error is then nil. For TLS pass
// a listener that speaks it.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// Shutdown ends event streams and waits at once, lets other requests finish, and
// returns when they have or ctx ends; what is left is then cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close()
		return err
	}
	return nil
}
