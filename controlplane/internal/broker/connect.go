package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// connect waits for a connection until ctx ends. Afterwards the client reconnects
// for ever. Its own patience is far too long for us: it would ping every two
// minutes, and keep what was published meanwhile to send it late.
func (b *Broker) connect(ctx context.Context) (*nats.Conn, error) {
	opts := []nats.Option{
		nats.Name("api-proxy-control"),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(2),
		nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectJitter(50*time.Millisecond, 200*time.Millisecond),
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.Timeout(2 * time.Second),
		nats.IgnoreAuthErrorAbort(), // a server that is being set up may refuse us twice and then not
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			b.log.Warn("nats", "error", err, "subject", subject)
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			b.state(false)
			if b.closing.Err() == nil {
				b.log.Warn("the connection to NATS is lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { b.state(true) }),
	}
	url := b.opts.URL
	if b.server != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(b.server), nats.UserInfo(controllerUser, b.server.token))
	} else {
		user := b.opts.User
		if user == "" {
			user = "controller"
		}
		if b.opts.Secret != "" {
			opts = append(opts, nats.UserInfo(user, b.opts.Secret))
		}
		if b.opts.TLS.CA != "" {
			opts = append(opts, nats.RootCAs(b.opts.TLS.CA))
		}
		if b.opts.TLS.Cert != "" {
			opts = append(opts, nats.ClientCert(b.opts.TLS.Cert, b.opts.TLS.Key))
		}
	}
	var told string
	for {
		conn, err := nats.Connect(url, opts...)
		if err == nil {
			b.connected.Store(true)
			return conn, nil
		}
		if told != err.Error() {
			told = err.Error()
			b.log.Warn("cannot connect to NATS yet", "error", hideUser(err))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("broker: cannot connect to NATS: %w; check --nats-url, --nats-secret-file and the --nats-tls flags", hideUser(err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// hideUser makes sure that a URL with a password in it is not repeated.
func hideUser(err error) error {
	if strings.Contains(err.Error(), "@") {
		return errors.New("the address or log-in is wrong")
	}
	return err
}

// state keeps the order of NATS's callbacks, which come one after the other.
func (b *Broker) state(connected bool) {
	b.connected.Store(connected)
	select {
	case b.events <- connected:
	case <-b.closing.Done():
	}
}

// follow passes states on, and after a reconnection makes sure of the buckets: a
// server that was restarted has lost those in memory.
func (b *Broker) follow() {
	for {
		select {
		case <-b.closing.Done():
			return
		case connected := <-b.events:
			if connected {
				connected = b.returned()
			}
			if b.opts.OnState != nil {
				b.opts.OnState(connected)
			}
		}
	}
}

// returned makes sure of the buckets until that works or the connection is lost
// again.
func (b *Broker) returned() bool {
	for b.Connected() && b.closing.Err() == nil {
		ctx, cancel := context.WithTimeout(b.closing, answerTimeout)
		err := b.ensureBuckets(ctx)
		cancel()
		if err == nil {
			b.mu.Lock()
			close(b.ready)
			b.ready = make(chan struct{})
			b.mu.Unlock()
			b.log.Info("the connection to NATS is back")
			return true
		}
		b.log.Warn("NATS is back, the buckets are not", "error", err)
		select {
		case <-b.closing.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return false
}

// renewed is closed at the next reconnection.
func (b *Broker) renewed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ready
}
