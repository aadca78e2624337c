package broker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"apiproxy.internal/shared/wire"
)

// embedded is the server in this process.
type embedded struct {
	token  string // password of the controller's own connection, new at each start
	dir    string // of JetStream
	unlock func()
	start  func() (*server.Server, error)

	mu     sync.Mutex
	server *server.Server // guarded by mu; heal replaces it
}

// startTime is how long the server may take to start; it reads its store first.
const startTime = 30 * time.Second

// startEmbedded starts the server; broken is called when it can write no more.
func startEmbedded(opts Options, log *slog.Logger, broken func()) (*embedded, error) {
	if opts.DataDir == "" {
		return nil, errors.New("broker: the embedded server needs a data directory")
	}
	config, err := serverOptions(opts)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	e := &embedded{token: rand.Text(), dir: config.StoreDir}
	if err := os.MkdirAll(opts.DataDir, 0o750); err != nil {
		return nil, fmt.Errorf("broker: cannot make the data directory: %w; check --data-dir and its permissions", err)
	}
	if e.unlock, err = lock(filepath.Join(opts.DataDir, "nats.lock")); err != nil {
		return nil, err
	}
	config.CustomClientAuthentication = &door{secret: opts.Secret, token: e.token, refused: opts.OnRefused}
	e.start = func() (*server.Server, error) {
		// A copy: the server writes into its options.
		return start(config.Clone(), &serverLog{log: log.With("from", "nats"), refused: opts.OnRefused, broken: broken})
	}
	e.server, err = e.start()
	if damaged := (*damagedError)(nil); errors.As(err, &damaged) {
		if aside, moved := moveAside(e.dir); moved == nil {
			log.Error("the store of NATS cannot be read and was moved aside; a new one is begun", "error", err, "moved_to", aside)
			e.server, err = e.start()
		} else {
			err = errors.Join(err, moved)
		}
	}
	if err != nil {
		e.unlock()
		return nil, err
	}
	if addr, ok := e.server.Addr().(*net.TCPAddr); ok && addr != nil {
		config.Port = addr.Port // a later start takes the same one
	}
	return e, nil
}

// damagedError is a server that does not start because of its store.
type damagedError struct{ text string }

func (e *damagedError) Error() string { return e.text }

func start(config *server.Options, voice *serverLog) (*server.Server, error) {
	if err := readable(config.StoreDir); err != nil {
		return nil, fmt.Errorf("broker: cannot use %s: %w", config.StoreDir, err)
	}
	s, err := server.NewServer(config)
	if err != nil {
		return nil, fmt.Errorf("broker: cannot start the NATS server: %w", err)
	}
	s.SetLoggerV2(voice, false, false, false)
	s.Start()
	ready := false
	for end := time.Now().Add(startTime); !ready && voice.fatal() == "" && time.Now().Before(end); {
		ready = s.ReadyForConnections(100 * time.Millisecond)
	}
	if !ready || !s.JetStreamEnabled() {
		s.Shutdown()
		s.WaitForShutdown()
		text := cmp.Or(voice.fatal(), "it is not ready in time")
		if strings.Contains(text, "JetStream") && !strings.Contains(text, "no space left") {
			return nil, fmt.Errorf("broker: %w", &damagedError{text})
		}
		return nil, fmt.Errorf("broker: the NATS server does not start: %s; check --nats-listen, --data-dir and the disk", text)
	}
	return s, nil
}

// readable looks for a store that no server could use: a file in its place, or
// folders that cannot be read. Nothing at all is fine.
func readable(dir string) error {
	err := filepath.WalkDir(dir, func(_ string, _ os.DirEntry, err error) error { return err })
	info, statErr := os.Stat(dir)
	switch {
	case errors.Is(statErr, os.ErrNotExist):
		return nil
	case statErr != nil:
		return &damagedError{statErr.Error()}
	case !info.IsDir():
		return &damagedError{"it is not a folder"}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return &damagedError{err.Error()}
	}
	return nil
}

// moveAside renames what is damaged; nothing is ever deleted.
func moveAside(path string) (string, error) {
	aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	if err := os.Rename(path, aside); err != nil {
		return "", fmt.Errorf("cannot move it aside: %w", err)
	}
	return aside, nil
}

// moveDamagedStreams moves the folders aside from which the server has not made
// the streams that it should have: it has logged why. Left there, they would be
// mixed up with the new ones.
func (e *embedded) moveDamagedStreams(ctx context.Context, js jetstream.JetStream, log *slog.Logger) error {
	for _, bucket := range []string{wire.ConfigBucket, wire.MembersBucket} {
		stream := "KV_" + bucket
		dir := filepath.Join(e.dir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams", stream)
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if _, err := js.Stream(ctx, stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
			continue // it is there, or says itself what is wrong when it is used
		}
		aside, err := moveAside(dir)
		// A folder in the place of streams would be taken for one.
		if err == nil {
			outside := filepath.Join(filepath.Dir(e.dir), "nats-"+filepath.Base(aside))
			if err = os.Rename(aside, outside); err == nil {
				aside = outside
			}
		}
		if err != nil {
			return fmt.Errorf("broker: the bucket %s is damaged: %w", bucket, err)
		}
		log.Error("a bucket is damaged and was moved aside; it begins empty", "bucket", bucket, "moved_to", aside)
	}
	return nil
}

func serverOptions(opts Options) (*server.Options, error) {
	o := &server.Options{
		ServerName: "api-proxy-control", NoSigs: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: filepath.Join(opts.DataDir, "nats"),
		SyncAlways: true, // else an acknowledged write may be lost for two minutes
		// Fixed, because the server would take most of what the machine has.
		JetStreamMaxMemory: 512 << 20, JetStreamMaxStore: 1 << 30,
		MaxPayload: wire.MaxMessage + 1024, MaxPending: 32 << 20,
		MaxConn: 4096, MaxSubs: 1024, MaxSubTokens: 16, MaxClosedClients: 100,
		AuthTimeout: 2, PingInterval: time.Second, MaxPingsOut: 2, WriteDeadline: 2 * time.Second,
		DontListen: opts.Listen == "",
	}
	if o.DontListen {
		return o, nil
	}
	host, port, err := net.SplitHostPort(opts.Listen)
	if err != nil {
		return nil, fmt.Errorf("--nats-listen %s: %w; write host:port", opts.Listen, err)
	}
	if o.Port, err = strconv.Atoi(port); err != nil || o.Port < 0 || o.Port > 65535 {
		return nil, fmt.Errorf("--nats-listen %s: the port is not a number up to 65535", opts.Listen)
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if o.Host = host; host == "" {
		o.Host = "0.0.0.0"
	}
	if opts.Secret == "" && !loopback(host) {
		return nil, fmt.Errorf("without a secret the NATS server must not listen on %s: set --nats-secret-file or APIPROXY_NATS_SECRET, or --nats-listen 127.0.0.1:4222", opts.Listen)
	}
	if opts.TLS != (TLS{}) {
		o.TLS = true
		if o.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
			CertFile: opts.TLS.Cert, KeyFile: opts.TLS.Key, CaFile: opts.TLS.CA, Verify: opts.TLS.CA != "",
		}); err != nil {
			return nil, fmt.Errorf("TLS of the NATS server: %w; check --nats-tls-cert, --nats-tls-key and --nats-tls-ca", err)
		}
		o.TLSTimeout = 2
		o.TLSVerify = opts.TLS.CA != ""
	}
	return o, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (e *embedded) current() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server
}

// InProcessConn implements nats.InProcessConnProvider, over restarts.
func (e *embedded) InProcessConn() (net.Conn, error) { return e.current().InProcessConn() }

func (e *embedded) addr() string {
	if addr, ok := e.current().Addr().(*net.TCPAddr); ok && addr != nil {
		return addr.String()
	}
	return ""
}

func (e *embedded) stop() {
	s := e.current()
	s.Shutdown()
	s.WaitForShutdown()
	e.unlock()
}

// restart ends the server and starts another one in its place.
func (e *embedded) restart() error {
	s := e.current()
	s.Shutdown()
	s.WaitForShutdown()
	s, err := e.start()
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server = s
	return nil
}
