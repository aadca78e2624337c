package node

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
)

// Eight clients do not notice a hundred reloads, refused ones and moves to
// another upstream included.
func TestReloadUnderLoad(t *testing.T) {
	b := start(t, nil)
	second := newUpstream(t)
	good := [...]string{
		unlimited + b.upstream.provider(),
		"rate_limit: {global: {rate: 1000000}}\n" + second.provider(),
		"rate_limit: {per_ip: {rate: 1000000}}\n" + b.upstream.provider(),
	}
	var served atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, method := range []string{"GET", "POST"} {
					req, err := http.NewRequest(method, b.url("/up/x"), strings.NewReader("body"))
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := b.client.Do(req)
					if err != nil {
						t.Error(err)
						return
					}
					if _ = resp.Body.Close(); resp.StatusCode != 200 {
						t.Errorf("%s: %d", method, resp.StatusCode)
						return
					}
					served.Add(1)
				}
			}
		})
	}
	for i := range 100 {
		b.yaml.set(good[i%len(good)])
		if i%10 == 9 {
			b.yaml.set("nonsense: true")
		}
		if err := b.Reload(); (err != nil) != (i%10 == 9) {
			t.Errorf("reload %d: %v", i, err)
		}
		before := served.Load()
		eventually(t, "a request between two reloads", func() bool { return t.Failed() || served.Load() > before })
	}
	close(done)
	wg.Wait()
	t.Logf("%d requests, none failed", served.Load())
	if n := strings.Count(b.stderr.get(), "configuration refused"); n != 10 {
		t.Errorf("%d refusals logged, want 10", n)
	}
}

// A refused document leaves everything as it was and is logged once, with every
// problem.
func TestRefusedReload(t *testing.T) {
	b := start(t, nil)
	before, at := b.snapshot(), b.Status().Config.UpdatedAt
	b.yaml.set("proxi: {}\nserver: {max_in_flight: -1}\n")
	err := b.Reload()
	if err == nil {
		t.Fatal("no error")
	}
	if b.snapshot() != before {
		t.Error("the configuration changed")
	}
	if resp, _ := b.get("/up/x"); resp.StatusCode != 200 {
		t.Errorf("a request after it: %d", resp.StatusCode)
	}
	logged := b.stderr.get()
	for _, once := range []string{"configuration refused", "line 1: proxi", "line 2: server.max_in_flight"} {
		if n := strings.Count(logged, once); n != 1 {
			t.Errorf("%q is logged %d times:\n%s", once, n, logged)
		}
	}
	b.yaml.set(unlimited + b.upstream.provider())
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	if got := b.Status().Config; got.Author != "test" || got.Revision != 0 || !got.UpdatedAt.After(at) {
		t.Errorf("status: %+v", got)
	}
}

// A reload changes how long the node waits for a head and for the next request.
func TestReloadedTimeouts(t *testing.T) {
	for _, row := range []struct{ field, request string }{
		{"header_timeout", "GET /up/x HTTP/1.1\r\n"},
		{"idle_timeout", "GET /up/x HTTP/1.1\r\nHost: x\r\n\r\n"},
	} {
		b := start(t, nil)
		long := "server: {header_timeout: 1h, idle_timeout: 1h}\n"
		b.yaml.set(unlimited + strings.Replace(long, row.field+": 1h", row.field+": 50ms", 1) + b.upstream.provider())
		if err := b.Reload(); err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", b.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(8 * time.Second)) // shorter than the defaults
		_, _ = io.WriteString(c, row.request)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("%s: %v, want the end of the connection", row.field, err)
		}
	}
}

func TestCheck(t *testing.T) {
	o := DefaultOptions()
	o.DataDir, o.LogDir = filepath.Join(t.TempDir(), "none"), "/proc/none"
	env := map[string]string{"ZERION_API_KEY": "with:colon", "ALCHEMY_API_KEY": "fine"}
	o.Lookup = func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	problems, err := Check(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range problems {
		all = append(all, p.Error())
	}
	text := strings.Join(all, "\n")
	if len(all) != 2 || !strings.Contains(text, "providers.coingecko.auth") || !strings.Contains(text, "providers.zerion.auth: env ZERION_API_KEY holds a colon") {
		t.Errorf("problems of the keys:\n%s", text)
	}
	if strings.Contains(text, "with:colon") {
		t.Error("a problem shows the secret")
	}

	for name, change := range map[string]func(*Options){
		"--listen":            func(o *Options) { o.Listen = "" },
		"--tls-cert":          func(o *Options) { o.TLSCert, o.TLSKey = "/none", "/none" },
		"--debug-admitted-at": func(o *Options) { o.DebugAdmittedAt = true },
		"broken": func(o *Options) {
			o.Source = func() (d *config.Document, w []config.Problem, a string, err error) {
				return nil, nil, "", config.Problems{{Message: "broken"}}
			}
		},
	} {
		changed := o
		change(&changed)
		if _, err := Check(changed); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The predecessor's switch is accepted; what it did is done otherwise.
func TestRedisIsAcceptedWithAWarning(t *testing.T) {
	for value, want := range map[string]int{"true": 1, "1": 1, "false": 0, "": 0} {
		o := DefaultOptions()
		o.Source = func() (*config.Document, []config.Problem, string, error) {
			doc, _, err := config.Parse([]byte("rate_limit: {}\nproviders: {up: {upstream: \"http://127.0.0.1:1\", auth: {type: none}}}\n"))
			return doc, nil, "test", err
		}
		o.Lookup = func(name string) (string, bool) { return value, name == "REDIS_ENABLED" }
		warnings, err := Check(o)
		if err != nil || len(warnings) != want {
			t.Errorf("REDIS_ENABLED=%s: %v, %v", value, warnings, err)
		}
		if want == 1 && !strings.Contains(warnings[0].Error(), "JetStream") {
			t.Errorf("the warning is %v", warnings[0])
		}
	}
}
