package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"APIPROXY_NATS_SECRET": "from-env\n"}[name]
		return v, ok
	}
	for _, row := range []struct{ name, path, want, fails string }{
		{"nats-secret", file("a", " from-file \n"), "from-file", ""},
		{"nats-secret", "", "from-env", ""},
		{"admin-token", "", "", ""},
		{"nats-secret", file("b", "\n"), "", "is empty"},
		{"nats-secret", filepath.Join(dir, "none"), "", "no such file"},
	} {
		got, err := Secret(row.name, row.path, env)
		if got != row.want || (err != nil) != (row.fails != "") || err != nil && !strings.Contains(err.Error(), row.fails) {
			t.Errorf("%s %q: %q, %v", row.name, row.path, got, err)
		}
	}
}

func TestClientTLS(t *testing.T) {
	if c, err := ClientTLS("nats-tls", "", "", ""); c != nil || err != nil {
		t.Errorf("nothing set: %v, %v", c, err)
	}
	empty := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ ca, cert, key, fails string }{
		{empty, "", "", "--nats-tls-ca"},
		{"missing", "", "", "--nats-tls-ca"},
		{"", "cert", "", "belong together"},
		{"", "cert", "key", "--nats-tls-cert"},
	} {
		if _, err := ClientTLS("nats-tls", row.ca, row.cert, row.key); err == nil || !strings.Contains(err.Error(), row.fails) {
			t.Errorf("%+v: %v", row, err)
		}
	}
}
