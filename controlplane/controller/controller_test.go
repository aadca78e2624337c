package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/controlplane/internal/configstore"
	"apiproxy.internal/controlplane/internal/httpapi"
	"apiproxy.internal/controlplane/internal/kv"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/status"
)

// Nothing outlives a stopped controller, the server of NATS in it included.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func options(t *testing.T, dir string) Options {
	t.Helper()
	o := DefaultOptions()
	o.Listen, o.NATSListen, o.DataDir, o.LogDir, o.AdminToken = "127.0.0.1:0", "127.0.0.1:0", dir, dir, "open-sesame"
	return o
}

func startController(t *testing.T, o Options) *Controller {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func call(t *testing.T, c *Controller, method, path, body string, header ...string) (code int, text string) {
	t.Helper()
	req, err := http.NewRequest(method, "http://"+c.Addr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer open-sesame")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// What is published, ordered and counted outlives a controller; the revision and
// the epoch go on.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	c := startController(t, options(t, dir))
	if code, text := call(t, c, "PUT", "/api/v1/limits/global?wait=1s", `{"rate":123}`); code != 200 || !strings.Contains(text, `"revision":2,"nodes":0,"applied":0`) {
		t.Errorf("%d %s", code, text)
	}
	if code, text := call(t, c, "POST", "/api/v1/breakers/zerion/trip", `{"reason":"why"}`); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := call(t, c, "GET", "/ready", ""); code != 200 {
		t.Errorf("/ready: %d", code)
	}
	if _, text := call(t, c, "GET", "/metrics", ""); !strings.Contains(text, "api_proxy_control_epoch 1\n") ||
		!strings.Contains(text, `api_proxy_control_breaker_transitions_total{provider="zerion",to="open"} 1`) {
		t.Error("epoch or transition missing in the metrics")
	}
	for range 2 {
		if err := c.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if doc := c.Status(); doc.Nodes != nil {
		t.Errorf("after the end: %+v", doc)
	}

	c = startController(t, options(t, dir))
	var doc status.Document
	_, text := call(t, c, "GET", "/status?format=json", "")
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Config.Revision != 2 || doc.Limits.Global.Rate != 123 || doc.Providers["zerion"].State != "open" || doc.Providers["zerion"].Breaker.Forced == nil {
		t.Errorf("%s", text)
	}
	if _, text := call(t, c, "GET", "/metrics", ""); !strings.Contains(text, "api_proxy_control_epoch 2\n") {
		t.Error("the epoch does not go on")
	}
	for what, want := range map[string]int{
		"DELETE /api/v1/nodes/nobody":          404,
		"POST /api/v1/breakers/nobody/trip":    404,
		"GET /api/v1/config/revisions/99":      404,
		"GET /api/v1/config/revisions/1":       200,
		"POST /api/v1/breakers/zerion/auto":    200,
		"POST /api/v1/breakers/coingecko/auto": 200,
		"GET /api/v1/limits":                   200,
		"GET /openapi.json":                    200,
		"GET /status":                          200,
	} {
		method, path, _ := strings.Cut(what, " ")
		if code, text := call(t, c, method, path, ""); code != want {
			t.Errorf("%s: %d %.200s, want %d", what, code, text, want)
		}
	}
}

// Two controllers never share a data directory.
func TestOneControllerPerDirectory(t *testing.T) {
	dir := t.TempDir()
	startController(t, options(t, dir))
	second, err := New(options(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(); err == nil {
		t.Error("a second one started")
	}
	if err := second.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

// The store is lost, a node is not: what is in force is published above the
// node's revision.
func TestRaise(t *testing.T) {
	c := startController(t, options(t, t.TempDir()))
	c.mend(func(ctx context.Context) error { return c.raise(ctx, 50) })
	if got := c.Status().Config.Revision; got != 51 {
		t.Errorf("revision %d, want 51", got)
	}
	c.mend(func(ctx context.Context) error { return c.raise(ctx, 51) })
	if got := c.Status().Config.Revision; got != 51 {
		t.Errorf("revision %d, although nothing is above it", got)
	}
}

// What New refuses leaves nothing behind.
func TestNewErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("proxi: {}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *Options){
		"--listen":        func(o *Options) { o.Listen = "" },
		"--data-dir":      func(o *Options) { o.DataDir = "" },
		"--tls-key":       func(o *Options) { o.TLSCert = file },
		`--tls-min "1.1"`: func(o *Options) { o.TLSMin = "1.1" },
		"--tls-cert":      func(o *Options) { o.TLSCert, o.TLSKey = file, file },
		"--log-dir":       func(o *Options) { o.LogDir = file },
		"proxi":           func(o *Options) { o.Source = FileSource(file) },
		"cannot read":     func(o *Options) { o.Source = FileSource(file + ".not") },
		"source is at rest": func(o *Options) {
			o.Source = func() (*config.Document, []config.Problem, error) { return nil, nil, errors.New("source is at rest") }
		},
	} {
		o := options(t, dir)
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// The API has a word for each error of the store.
func TestForeseen(t *testing.T) {
	for err, want := range map[error]error{
		configstore.ErrFull:       httpapi.ErrFull,
		configstore.ErrUnknown:    httpapi.ErrUncertain,
		kv.ErrUnavailable:         httpapi.ErrUnavailable,
		configstore.ErrNone:       httpapi.ErrUnavailable,
		configstore.ErrNoRevision: httpapi.ErrUnknown,
	} {
		if got := foreseen(fmt.Errorf("more: %w", err)); !errors.Is(got, want) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	if foreseen(nil) != nil {
		t.Error("an error out of nothing")
	}
	if other := errors.New("other"); foreseen(other) != other {
		t.Error("an unforeseen error changed")
	}
}
