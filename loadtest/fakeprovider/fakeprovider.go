// Package fakeprovider stands in for three third-party APIs on one port and is
// the oracle of the tests: it counts what really arrived. It answers in the
// shapes of Zerion, CoinGecko and Alchemy, checks that the right credential came
// in the right place and nowhere else, fails on request, and remembers the
// arrival time of every request.
//
// It is built on net/http on purpose. The proxy under test uses another HTTP
// implementation, so a misreading of the protocol cannot hide on both sides.
//
// A request passes through five steps, told in order by [Server.serve]: locate
// (whose API is it?), authorized and leaks (the credentials), begin (the ledger),
// inflict (a scripted fault), respond.
package fakeprovider

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Demo keys: what the server expects when [Options] names no other.
const (
	DemoZerionKey    = "demo-zerion-key"
	DemoCoinGeckoKey = "demo-coingecko-key"
	DemoAlchemyKey   = "demo-alchemy-key"
)

// ErrClosed is returned by [Server.Start] after [Server.Close].
var ErrClosed = errors.New("fakeprovider: server is closed")

// Options are the expected credentials and the log. The zero value is usable.
// Keys should be long and differ from one another: a leak is found by searching
// for them in every place where they do not belong.
type Options struct {
	ZerionKey    string // basic-auth user name, empty password; default DemoZerionKey
	CoinGeckoKey string // header x-cg-pro-api-key; default DemoCoinGeckoKey
	AlchemyKey   string // path segment /v2/{key}; default DemoAlchemyKey

	// Logf receives troubles of the server, never requests. Default: none.
	Logf func(format string, args ...any)
}

// Server is one stand-in for all three providers. It holds no global state, so
// many may run in one process. All methods are safe for concurrent use.
type Server struct {
	credentials credentials
	logf        func(format string, args ...any)
	epoch       time.Time // origin of arrival stamps
	ledgers     [numProviders]ledger
	faults      [numProviders]atomic.Pointer[script]
	lastConn    atomic.Uint32

	closing  chan struct{} // closed by Close: ends every wait
	closed   sync.Once
	handlers sync.WaitGroup // running requests
	conns    sync.WaitGroup // open connections of http

	mu       sync.Mutex // guards the fields below
	stopped  bool
	listener net.Listener
	http     *http.Server
	served   chan struct{} // closed when http.Serve has returned
}

// New returns a server that does not listen yet: use [Server.Start], or mount
// [Server.Handler] in a server of your own.
func New(o Options) *Server {
	s := &Server{
		credentials: newCredentials(o),
		logf:        o.Logf,
		epoch:       time.Now(),
		closing:     make(chan struct{}),
	}
	if s.logf == nil {
		s.logf = func(string, ...any) {}
	}
	return s
}

// Handler serves everything, control API included. Connection ids are 0 unless
// the requests come through [Server.Start].
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Start listens on addr ("127.0.0.1:0" picks a free port) and serves in the
// background until [Server.Close]. A server starts once.
func (s *Server) Start(addr string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return ErrClosed
	}
	if s.http != nil {
		return errors.New("fakeprovider: server is already started")
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	s.listener = listener
	s.served = make(chan struct{})
	s.http = &http.Server{
		Handler:                      s.Handler(),
		ErrorLog:                     log.New(logWriter(s.logf), "", 0),
		ConnContext:                  s.nameConn,
		ConnState:                    s.trackConn,
		ReadHeaderTimeout:            time.Minute,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is an arrival like any other
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.logf("fakeprovider: serve %s: %v", listener.Addr(), err)
		}
	}()
	return nil
}

// Addr is the listening address as host:port, empty before [Server.Start].
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Close cuts every connection, ends every wait and returns when no goroutine of
// the server is left. Later calls do nothing but wait for the same. The oracle
// stays readable. Requests of an outer server that mounts [Server.Handler] are
// waited for as well, but their connections are for that server to cut.
func (s *Server) Close() {
	s.closed.Do(func() {
		s.mu.Lock()
		s.stopped = true
		server := s.http
		s.mu.Unlock()

		close(s.closing)
		if server != nil {
			_ = server.Close() // the listener's error is of no use to anybody now
			<-s.served
			s.conns.Wait()
		}
		s.handlers.Wait()
	})
}

// serve is the life of a request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	ns := s.now()
	if !s.enter() {
		writeJSON(w, http.StatusServiceUnavailable, map[string]string{"error": "the server is closed"})
		return
	}
	defer s.handlers.Done()
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.control(w, r)
		return
	}

	t := locate(r)
	authorized := s.credentials.authorized(t, r)
	book := &s.ledgers[t.provider]
	seq := book.begin(arrival{
		ns: ns, admitted: admittedAt(r), conn: connID(r), method: methodIndex(r.Method),
		leaks: s.credentials.leaks(t, r), authorized: authorized,
	}, s.credentials.mask(t.recorded))
	defer book.end()

	a := &answer{ResponseWriter: w, book: book, seq: seq, cutAfter: -1}
	if !s.inflict(a, r, t) {
		s.respond(a, r, t, authorized)
	}
	if a.doomed {
		s.abort(a)
	}
}

// respond answers a request that no fault took.
func (s *Server) respond(a *answer, r *http.Request, t target, authorized bool) {
	switch {
	case authorized && t.path == "/echo":
		echo(a, r)
		return
	case authorized && t.isRPC() && r.Method == http.MethodPost:
		serveRPC(a, r)
		return
	}
	// An answer that overtakes the request's body would make the server close the
	// connection, and the proxy would rightly call that a broken one.
	drain(r)
	switch {
	case !authorized:
		unauthorized(a, t.provider)
	case s.generic(a, r, t), serveAPI(a, r, t):
	default:
		fail(a, t.provider, http.StatusNotFound, "no such path")
	}
}

// now is the unix time in nanoseconds. It follows the monotonic clock from the
// server's birth on, so that a step of the wall clock cannot bend the oracle.
func (s *Server) now() int64 { return s.epoch.UnixNano() + int64(time.Since(s.epoch)) }

// enter joins the running requests; false once the server is closed.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.handlers.Add(1)
	return true
}

// pause waits for d; false when the client went away or the server closes first.
func (s *Server) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	case <-s.closing:
		return false
	}
}

type connKey struct{}

func (s *Server) nameConn(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, s.lastConn.Add(1))
}

func connID(r *http.Request) uint32 {
	id, _ := r.Context().Value(connKey{}).(uint32)
	return id
}

func (s *Server) trackConn(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.conns.Add(1)
		select {
		case <-s.closing: // accepted while http.Server.Close ran, which misses it
			_ = conn.Close()
		default:
		}
	case http.StateClosed, http.StateHijacked: // a hijacked one is closed by its handler
		s.conns.Done()
	}
}

// logWriter leads the lines of http.Server to Options.Logf.
type logWriter func(format string, args ...any)

func (logf logWriter) Write(line []byte) (int, error) {
	logf("fakeprovider: %s", strings.TrimSpace(string(line)))
	return len(line), nil
}
