package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestHealth(t *testing.T) {
	code := http.StatusOK
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(code)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	addr := plain.Listener.Addr().String()
	none := func(string) string { return "" }
	if err := health([]string{"/health", addr}, none); err != nil {
		t.Error(err)
	}
	env := map[string]string{"APIPROXY_LISTEN": secure.Listener.Addr().String(), "APIPROXY_TLS_CERT": "x"}
	if err := health([]string{"/health", "127.0.0.1:1"}, func(name string) string { return env[name] }); err != nil {
		t.Errorf("the program's own address and HTTPS: %v", err)
	}
	code = http.StatusServiceUnavailable
	if err := health([]string{"/health", addr}, none); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a 503: %v", err)
	}
}

func TestLocal(t *testing.T) {
	for listen, want := range map[string]string{
		":8080": "http://127.0.0.1:8080/x", "0.0.0.0:80": "http://127.0.0.1:80/x", "[::]:80": "http://127.0.0.1:80/x",
		"10.0.0.1:80": "http://10.0.0.1:80/x", "[fd00::1]:80": "http://[fd00::1]:80/x",
	} {
		if got, err := local(listen, "/x", false); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", listen, got, err, want)
		}
	}
	if _, err := local("8080", "/x", false); err == nil {
		t.Error("a port alone was taken")
	}
}

func TestPrepare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	var out bytes.Buffer
	if err := prepare(dir, "", &out); err != nil {
		t.Fatal(err)
	}
	token := read(t, filepath.Join(dir, "admin-token"))
	if secret := read(t, filepath.Join(dir, "nats-secret")); len(strings.TrimSpace(secret)) < 40 || secret == token {
		t.Errorf("the secrets are %q and %q", secret, token)
	}
	if err := prepare(dir, "", &out); err != nil {
		t.Fatal(err)
	}
	if read(t, filepath.Join(dir, "admin-token")) != token {
		t.Error("a second start made a new token")
	}
	if strings.Contains(out.String(), strings.TrimSpace(token)) {
		t.Error("the token was printed")
	}
	if err := os.Truncate(filepath.Join(dir, "admin-token"), 0); err != nil && !os.IsPermission(err) {
		t.Fatal(err)
	}
	if err := prepare(dir, "", &out); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty secret: %v", err)
	}
	if err := prepare(filepath.Join(dir, "other"), "/x:1", &out); err == nil || !strings.Contains(err.Error(), "OPS_OWN") {
		t.Errorf("a wrong OPS_OWN: %v", err)
	}
}

func TestWords(t *testing.T) {
	for _, row := range []struct {
		args []string
		code int
	}{{nil, 2}, {[]string{"help"}, 0}, {[]string{"health"}, 2}, {[]string{"print", "/missing"}, 1}, {[]string{"dance"}, 2}} {
		var out, errs bytes.Buffer
		if code := run(row.args, &out, &errs); code != row.code {
			t.Errorf("%q: %d, want %d", row.args, code, row.code)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
