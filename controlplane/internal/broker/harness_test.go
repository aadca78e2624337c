package broker

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/shared/wire"
)

const secret = "s3cret-of-the-tests"

// deadline is generous: the tests wait for events, not for it.
const deadline = 20 * time.Second

// stage is a broker with a listener, and what it has refused and logged.
type stage struct {
	*Broker
	t       *testing.T
	url     string
	mu      sync.Mutex
	refused []Refused
	log     bytes.Buffer // guarded by mu
}

func (s *stage) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *stage) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func (s *stage) refusals() []Refused {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Refused(nil), s.refused...)
}

// open starts a broker; a DataDir that is missing is a temporary one.
func open(t *testing.T, opts Options) *stage {
	t.Helper()
	s := &stage{t: t}
	if opts.DataDir == "" && opts.URL == "" {
		opts.DataDir = t.TempDir()
	}
	opts.Log = slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug})
	opts.OnRefused = func(r Refused) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refused = append(s.refused, r)
	}
	b, err := Open(within(t), opts)
	if err != nil {
		t.Fatalf("%v\n%s", err, s.logged())
	}
	t.Cleanup(b.Close)
	s.Broker, s.url = b, "nats://"+b.Addr()
	if opts.URL != "" {
		s.url = opts.URL
	}
	return s
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// poll waits until ok says so.
func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(deadline); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("still not: %s", what)
		}
	}
}

// client is a node's connection, and what the server told it that it must not do.
type client struct {
	*nats.Conn
	js     jetstream.JetStream
	mu     sync.Mutex
	errors []error
}

func (c *client) told() []error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]error(nil), c.errors...)
}

// dial connects as a node does.
func dial(url, id, password string, more ...nats.Option) (*client, error) {
	c := &client{}
	opts := append([]nats.Option{
		nats.UserInfo(id, password), nats.CustomInboxPrefix(wire.InboxPrefix(id)), nats.MaxReconnects(0),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.errors = append(c.errors, err)
		}),
	}, more...)
	conn, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, err
	}
	c.Conn = conn
	if c.js, err = jetstream.New(conn); err != nil {
		return nil, err
	}
	return c, nil
}

func (s *stage) node(id string) *client {
	s.t.Helper()
	c, err := dial(s.url, id, secret)
	if err != nil {
		s.t.Fatalf("node %s: %v", id, err)
	}
	s.t.Cleanup(c.Close)
	return c
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprint("unexpected: ", err))
	}
	return v
}
