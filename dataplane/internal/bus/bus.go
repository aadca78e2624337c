// Package bus is a node's connection to NATS: it sends reports, hears the
// leader's answers, and follows the configuration and the breakers. It decides
// nothing. A node starts and serves without it; the connection is sought for as
// long as the node lives.
package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/shared/wire"
)

// How soon a connection that is dead without saying so is given up: after
// pingEvery × (pingsMissed + 1). Reports must be prompt or not at all, so
// nothing is buffered while there is no connection.
const (
	pingEvery     = time.Second
	pingsMissed   = 2
	reconnectWait = 50 * time.Millisecond
	jitter        = 50 * time.Millisecond
	dialTimeout   = 2 * time.Second
	writeTimeout  = 2 * time.Second
)

// Options are what a Bus connects with and tells. The functions are called from
// several goroutines, all but Trouble at most once at a time, and must return soon.
type Options struct {
	URL    string // one or several, separated by commas
	Node   string // id, which is the user name
	Secret string // password; empty = none
	TLS    *tls.Config

	Answer  func(wire.Answer)
	Config  func(wire.ConfigEntry)
	Breaker func(provider string, e wire.BreakerEntry)

	// Connection tells each change; reason says why it was lost.
	Connection func(connected bool, reason string)
	// Trouble is whatever else goes wrong: a refused publication, a message that
	// cannot be read.
	Trouble func(what string, err error)
}

// Bus is the connection. Its methods are safe for simultaneous use. Report,
// Connected and LocalIP never wait: while the library connects it holds a lock
// that all its functions take, for two seconds if nobody answers, and the leases
// of a node must not miss their ticks meanwhile.
type Bus struct {
	options  Options
	patience time.Duration // for an attempt to connect
	nc       *nats.Conn
	js       jetstream.JetStream
	up       atomic.Bool            // there is a connection
	local    atomic.Pointer[string] // our end of the newest one, host:port
	reports  chan []byte            // the newest one that is not sent yet
	lost     atomic.Bool            // one could not be sent
	renewed  chan struct{}          // closed when the watches must begin anew
	mu       sync.Mutex             // guards renewed
	stop     context.CancelFunc
	watches  sync.WaitGroup
}

// New makes a bus that does not connect yet.
func New(o Options) *Bus {
	return &Bus{options: o, patience: dialTimeout, reports: make(chan []byte, 1), renewed: make(chan struct{})}
}

// Connect starts to seek the connection and returns at once; the error is for
// options that can never work. It is called once, before any other method.
func (b *Bus) Connect() error {
	d := &dialer{Dialer: net.Dialer{Timeout: b.patience}}
	nc, err := nats.Connect(b.options.URL, append(b.natsOptions(), nats.SetCustomDialer(d))...)
	if err != nil {
		return fmt.Errorf("--nats-url: %w", err)
	}
	d.begun.Store(true)
	b.nc = nc
	if b.js, err = jetstream.New(nc); err == nil {
		_, err = nc.Subscribe(wire.AnswerSubject(b.options.Node), b.answer)
	}
	if err != nil {
		nc.Close()
		return fmt.Errorf("--nats-url: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.watches.Go(func() { b.send(ctx) })
	b.watches.Go(func() { b.follow(ctx, wire.ConfigBucket, wire.ConfigKey, b.config) })
	b.watches.Go(func() { b.follow(ctx, wire.BreakerBucket, jetstream.AllKeys, b.breaker) })
	return nil
}

// dialer refuses whatever is asked of it before it has begun. The library would
// else wait in its first attempt, for each address, for a server that does not
// answer; later ones it makes in the background.
type dialer struct {
	net.Dialer
	begun atomic.Bool
}

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	if !d.begun.Load() {
		return nil, errTooEarly
	}
	return d.Dialer.Dial(network, address)
}

var errTooEarly = errors.New("the node is still starting")

func (b *Bus) natsOptions() []nats.Option {
	o := b.options
	options := []nats.Option{
		nats.Name("node " + o.Node),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(jitter, jitter),
		nats.ReconnectBufSize(-1),
		nats.IgnoreAuthErrorAbort(), // a secret may be mended at the other end
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(pingsMissed),
		nats.Timeout(b.patience),
		nats.FlusherTimeout(writeTimeout),
		nats.NoEcho(),
		nats.SkipHostLookup(), // the dialer does it, in its time
		nats.CustomInboxPrefix(wire.InboxPrefix(o.Node)),
		nats.ConnectHandler(b.connected),
		nats.ReconnectHandler(b.connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.up.Store(false)
			o.Connection(false, reason(err))
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !errors.Is(err, errTooEarly) {
				o.Trouble("cannot connect to NATS", plain(err))
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { o.Trouble("NATS reported an error", plain(err)) }),
	}
	if o.Secret != "" {
		options = append(options, nats.UserInfo(o.Node, o.Secret))
	} else {
		options = append(options, nats.UserInfo(o.Node, ""))
	}
	if o.TLS != nil {
		options = append(options, nats.Secure(o.TLS))
	}
	return options
}

// connected is told first, then the watches begin anew: a server that was
// restarted may have other streams under the same names, in which an old
// watch's position means nothing.
func (b *Bus) connected(nc *nats.Conn) {
	local := nc.LocalAddr()
	b.local.Store(&local)
	b.up.Store(true)
	b.options.Connection(true, "")
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.renewed)
	b.renewed = make(chan struct{})
}

// Connected reports whether there is a connection, as far as is known.
func (b *Bus) Connected() bool { return b.up.Load() }

// LocalIP is this host's address on the way to NATS; empty before the first
// connection.
func (b *Bus) LocalIP() string {
	if addr := b.local.Load(); addr != nil {
		if i := strings.LastIndexByte(*addr, ':'); i > 0 {
			return strings.Trim((*addr)[:i], "[]")
		}
	}
	return ""
}

var errNotSent = errors.New("a report could not be sent")

// Report has a report sent, or drops it when there is no connection. It takes the
// place of one that waits still, whose content it repeats. The error says that
// this one or one before was lost.
func (b *Bus) Report(r wire.Report) error {
	if !b.up.Load() {
		return errNotSent
	}
	lost := b.lost.Swap(false)
	select {
	case <-b.reports:
		lost = true
	default:
	}
	select {
	case b.reports <- wire.Encode(r):
	default: // another caller's came in between
		lost = true
	}
	if lost {
		return errNotSent
	}
	return nil
}

// send publishes reports until ctx ends, and then the last one.
func (b *Bus) send(ctx context.Context) {
	publish := func(report []byte) {
		if b.nc.Publish(wire.ReportSubject(b.options.Node), report) != nil {
			b.lost.Store(true)
		}
	}
	for {
		select {
		case report := <-b.reports:
			publish(report)
		case <-ctx.Done():
			select {
			case report := <-b.reports:
				publish(report)
			default:
			}
			return
		}
	}
}

// Fetch reads the configuration, for a node that has been told of a newer one
// than its watch has shown.
func (b *Bus) Fetch(ctx context.Context) error {
	kv, err := b.js.KeyValue(ctx, wire.ConfigBucket)
	if err != nil {
		return err
	}
	e, err := kv.Get(ctx, wire.ConfigKey)
	if err != nil {
		return err
	}
	b.config(e)
	return nil
}

// Close sends what is under way and ends the connection.
func (b *Bus) Close() {
	b.stop()
	b.watches.Wait()
	if b.up.Load() { // else it would wait for a connection
		_ = b.nc.FlushTimeout(writeTimeout)
	}
	b.nc.Close()
}

// plain is an error of the library without the URL, which may hold a password.
func plain(err error) error {
	switch {
	case errors.Is(err, nats.ErrAuthorization):
		return errors.New("the server refused the node id or the secret; check --nats-secret-file")
	case err == nil:
		return errors.New("unknown")
	}
	return err
}

func reason(err error) string {
	if err == nil {
		return "closed"
	}
	return plain(err).Error()
}
