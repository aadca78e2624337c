package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// canary stands for a secret: no text that we make may hold it.
const canary = "CANARY-4f1d"

func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func TestResolveEnv(t *testing.T) {
	for _, row := range []struct{ value, want string }{
		{canary, canary},
		{"with space " + canary, "with space " + canary},
		// a variable is taken as it is, so that a line break is an error
		{canary + "\n", ""},
		{canary + "\r\nX-Evil: 1", ""},
		{canary + "\x00", ""},
		{"\t" + canary, ""},
		{canary + "\x7f", ""},
		{"", ""},
	} {
		got, err := SecretRef{Env: "THE_KEY"}.Resolve(lookupIn(map[string]string{"THE_KEY": row.value}))
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%q: %q %v", row.value, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "THE_KEY")) {
			t.Errorf("%q: the error must name the variable and not the value: %v", row.value, err)
		}
	}
	if _, err := (SecretRef{Env: "THE_KEY"}).Resolve(lookupIn(nil)); err == nil || !strings.Contains(err.Error(), "set THE_KEY") {
		t.Errorf("a missing variable: %v", err)
	}
}

func TestResolveFile(t *testing.T) {
	for _, row := range []struct{ content, want string }{
		{canary, canary},
		{canary + "\n", canary},
		{canary + "\r\n", canary},
		// one newline is the editor's, a second one is a mistake
		{canary + "\n\n", ""},
		{"\n", ""},
		{"", ""},
		{canary + "\x00", ""},
		{strings.Repeat(canary, 10_000), ""},
	} {
		path := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(path, []byte(row.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := SecretRef{File: path}.Resolve(lookupIn(nil))
		if got != row.want || (err == nil) != (row.want != "") {
			t.Errorf("%.40q: %.40q %v", row.content, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), path)) {
			t.Errorf("%.40q: the error must name the file and not its content: %v", row.content, err)
		}
	}
	for _, path := range []string{filepath.Join(t.TempDir(), "absent"), t.TempDir()} {
		if _, err := (SecretRef{File: path}).Resolve(lookupIn(nil)); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestSecretProblems(t *testing.T) {
	absent := filepath.Join(t.TempDir(), "absent")
	doc := mustParse(t, fmt.Sprintf(`providers:
  a: {upstream: "https://example.org", auth: {type: basic, username_env: USER, password_file: %q}}
  b: {upstream: "https://example.org", auth: {type: query, param: k, value_env: B_KEY}}
  c: {upstream: "https://example.org", auth: {type: query, param: k, value_env: C_KEY}}
  d: {upstream: "https://example.org"}
`, absent))
	problems := doc.SecretProblems(lookupIn(map[string]string{"USER": "u", "C_KEY": canary + "\n"}))
	var paths []string
	for _, p := range problems {
		paths = append(paths, p.Path)
	}
	if got := strings.Join(paths, " "); got != "providers.a.auth.password_file providers.b.auth.value_env providers.c.auth.value_env" {
		t.Errorf("paths: %s", got)
	}
	text := Problems(problems).Error()
	if strings.Contains(text, canary) || !strings.Contains(text, "set B_KEY") || !strings.Contains(text, absent) {
		t.Error(text)
	}
	if problems := Default().SecretProblems(func(string) (string, bool) { return canary, true }); problems != nil {
		t.Errorf("everything is set: %v", problems)
	}
}

// TestSecretsAreNeverPrinted resolves secrets and then prints everything in every
// way, and puts them into every field of a provider where they do not belong.
func TestSecretsAreNeverPrinted(t *testing.T) {
	doc := Default()
	for _, p := range doc.Providers {
		for _, s := range p.Auth.secrets() {
			if s.ref != nil {
				if _, err := s.ref.Resolve(func(string) (string, bool) { return canary, true }); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, value := range []any{doc, *doc, p, p.Auth, p.Auth.Username, p.Auth.Value} {
			encoded, err := json.Marshal(value)
			if text := fmt.Sprintf("%v %+v %#v %s %q %s", value, value, value, value, value, encoded); err != nil || strings.Contains(text, canary) {
				t.Errorf("%T: %v %s", value, err, text)
			}
		}
	}
	for _, fields := range []string{
		"auth: " + canary, "auth: [" + canary + "]", "auth: {value: " + canary + "}", "auth: {value_env: " + canary + "}", "auth: {value_env: *" + canary + "}",
		"auth: {value_env: 5, value_file: \"" + canary + "\\n\"}", "auth: {type: header, header: \"" + canary + " \", template: " + canary + "}",
		"auth: {type: query, param: \"" + canary + "&\"}", "auth: {type: path, template: " + canary + "}", "auth: {type: none, username_env: " + canary + "}",
		"upstream: https://" + canary + "@example.org", "upstream: https://example.org/?" + canary, "upstream: https://" + canary + "..org", "upstream: " + canary,
		"upstream: https://example.org:" + canary, "timeout: " + canary, "retry: " + canary, "circuit_breaker: " + canary,
	} {
		_, warnings, err := Parse([]byte("providers:\n  p:\n    " + fields + "\n"))
		if err == nil {
			t.Errorf("%s: accepted", fields)
			continue
		}
		if text := err.Error() + Problems(warnings).Error(); strings.Contains(text, canary) {
			t.Errorf("%s:\n%s", fields, text)
		}
	}
}

func TestSecretRefForms(t *testing.T) {
	for want, ref := range map[string]SecretRef{"env ZERION_API_KEY": {Env: "ZERION_API_KEY"}, "file /run/key": {File: "/run/key"}} {
		encoded, _ := json.Marshal(ref)
		if got := fmt.Sprintf("%v|%s|%+v|%#v|%s", ref, ref, &ref, ref, encoded); got != want+"|"+want+"|"+want+"|"+want+`|"`+want+`"` {
			t.Error(got)
		}
	}
}
