// Package broker is NATS as the controller sees it: buckets of keys with
// compare-and-set and history, the reports of the nodes, and answers to them. It
// is the only package of the control plane that knows NATS. It runs the server
// too, unless there is an external one.
//
// What lasts (configuration, holds, epoch, members) is on disk and flushed before
// it is acknowledged; what is hot (leader, breakers, reports) is in memory.
package broker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/shared/wire"
)

// Options say where NATS is. The zero value is an embedded server without a
// listener and without a secret, for tests; DataDir is required for it.
type Options struct {
	// URL is an external server or several, separated by commas. Empty: the broker
	// runs a server of its own.
	URL string
	// User is who the controller is at an external server, unless URL names a user.
	User string
	// Secret is the password of every node, and of the controller at an external
	// server. It is never logged.
	Secret string
	// TLS is for the listener of the own server, or for the connection to the
	// external one.
	TLS TLS

	// Listen is host:port of the own server; port 0 takes a free one. Empty: it can
	// be reached from this process only. Without a Secret only loopback is allowed,
	// and any node id is let in.
	Listen string
	// DataDir holds the folder nats of the own server.
	DataDir string

	// Replicas is how many servers of an external cluster keep each bucket; 0 is 1.
	Replicas int

	// Log gets what the server and the connection have to say; nil: nothing.
	Log slog.Handler
	// OnRefused is told of each log-in and each message that the own server
	// refuses. It is called from many goroutines, must not block, and may be called
	// until Close returns. Nil: nobody.
	OnRefused func(Refused)
	// OnState is told when the connection is lost (false) and is back (true), in
	// order. It must not block.
	OnState func(connected bool)
}

// TLS names PEM files. For the own server Cert and Key are its certificate, and
// CA, if given, must have signed that of each client. For an external one CA
// verifies the server, and Cert and Key show who we are.
type TLS struct{ CA, Cert, Key string }

// Refused is something that the own server did not let a client do.
type Refused struct {
	// Node is the id with which the client logged in, or tried to; empty if it gave
	// none that could be a node's.
	Node string
	// Kind is one of the constants below.
	Kind string
	// Subject is what the client wanted to write or hear; empty for a log-in. It is
	// the client's text: quoted, and cut to 128 bytes.
	Subject string
}

// The kinds of Refused; a closed list, fit for a metric's label.
const (
	RefusedLogin     = "login"
	RefusedPublish   = "publish"
	RefusedSubscribe = "subscribe"
)

// Broker is a connection to NATS and, unless that is external, the server. Its
// methods are safe for simultaneous use.
type Broker struct {
	opts Options
	log  *slog.Logger

	server *embedded // nil if external
	conn   *nats.Conn
	js     jetstream.JetStream

	mu      sync.Mutex
	handles map[string]jetstream.KeyValue // guarded by mu
	// ready is closed and replaced whenever the buckets have been made sure of
	// after a reconnection: what watches starts anew. Guarded by mu.
	ready chan struct{}

	connected atomic.Bool
	closing   context.Context
	close     context.CancelFunc
	tasks     sync.WaitGroup
	events    chan bool // states, from NATS's callbacks to OnState

	broken atomic.Bool   // the own server can write no more
	injury chan struct{} // to heal
}

// Open starts the server if there is none, connects, and makes sure of the
// buckets. An external server that is away is waited for until ctx ends.
func Open(ctx context.Context, opts Options) (_ *Broker, err error) {
	if opts.Log == nil {
		opts.Log = slog.DiscardHandler
	}
	b := &Broker{opts: opts, log: slog.New(opts.Log), ready: make(chan struct{}), events: make(chan bool, 64), injury: make(chan struct{}, 1)}
	b.closing, b.close = context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	if opts.URL == "" {
		if b.server, err = startEmbedded(opts, b.log, b.injured); err != nil {
			return nil, err
		}
	}
	if b.conn, err = b.connect(ctx); err != nil {
		return nil, err
	}
	if version := b.conn.ConnectedServerVersion(); b.server == nil && strings.HasPrefix(version, "2.9.") {
		b.log.Warn("this NATS server flushes its disk only every two minutes: a power failure may lose published configuration; use 2.10 or newer with sync_interval: always", "version", version)
	}
	if b.js, err = jetstream.New(b.conn, jetstream.WithDefaultTimeout(answerTimeout)); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if b.server != nil {
		if err := b.server.moveDamagedStreams(ctx, b.js, b.log); err != nil {
			return nil, err
		}
	}
	if err := b.ensureBuckets(ctx); err != nil {
		return nil, err
	}
	b.tasks.Go(b.follow)
	if b.server != nil {
		b.tasks.Go(b.heal)
	}
	return b, nil
}

// answerTimeout is how long an operation waits for NATS if its context allows
// more. A flush to a slow disk takes a fraction of it.
const answerTimeout = 5 * time.Second

// Addr is the address of the own server's listener, empty without one.
func (b *Broker) Addr() string {
	if b.server == nil {
		return ""
	}
	return b.server.addr()
}

// Connected reports whether NATS can be reached.
func (b *Broker) Connected() bool { return b.connected.Load() }

// OnReport calls fn with each report that arrives from now on, one after the
// other, and the id of the node that sent it. The id is the subject's: a node may
// publish under its own only. fn owns data and must not block: what comes while it
// works is queued, and lost when too much is.
func (b *Broker) OnReport(fn func(node string, data []byte)) error {
	prefix := len(wire.ReportSubject(""))
	sub, err := b.conn.Subscribe(wire.ReportSubjects, func(m *nats.Msg) {
		// What has a header is no report but the bucket's mark of a deletion.
		if node := m.Subject[prefix:]; wire.ValidNode(node) && len(m.Header) == 0 {
			fn(node, m.Data)
		}
	})
	if err != nil {
		return failure("listen to reports", err)
	}
	// A second's worth of reports of 1,000 nodes; older ones are superseded anyway.
	if err := sub.SetPendingLimits(20_000, 64<<20); err != nil {
		return failure("listen to reports", err)
	}
	return nil
}

// Answer sends a message to a node. It is gone if the node does not listen.
func (b *Broker) Answer(node string, data []byte) error {
	if !wire.ValidNode(node) {
		return fmt.Errorf("broker: %q is not a node id", node)
	}
	if err := b.conn.Publish(wire.AnswerSubject(node), data); err != nil {
		return failure("answer", err)
	}
	return nil
}

// Flush waits until the server has what was sent before.
func (b *Broker) Flush(ctx context.Context) error {
	if err := b.conn.FlushWithContext(ctx); err != nil {
		return failure("flush", err)
	}
	return nil
}

// Close ends the connection and the server and waits for both.
func (b *Broker) Close() {
	b.close()
	if b.conn != nil {
		b.conn.Close()
	}
	b.tasks.Wait()
	if b.server != nil {
		b.server.stop()
	}
}
