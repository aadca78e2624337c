package credential

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"apiproxy.internal/shared/config"
)

const canary = "Canary/s3cret+key=42"

// env is a lookup of environment variables.
func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func fromEnv(name string) *config.SecretRef { return &config.SecretRef{Env: name} }

// auths are the types that carry a key, each with what the upstream then finds.
var auths = map[string]struct {
	auth config.Auth
	find func(*http.Request) string
}{
	"basic, key as user name": {
		config.Auth{Type: config.AuthBasic, Username: fromEnv("KEY")},
		func(r *http.Request) string { user, _, _ := r.BasicAuth(); return user },
	},
	"basic, key as password": {
		config.Auth{Type: config.AuthBasic, Username: fromEnv("USER"), Password: fromEnv("KEY")},
		func(r *http.Request) string { _, password, _ := r.BasicAuth(); return password },
	},
	"header": {
		config.Auth{Type: config.AuthHeader, Header: "X-Api-Key", Value: fromEnv("KEY")},
		func(r *http.Request) string { return r.Header.Get("X-Api-Key") },
	},
	"header with template": {
		config.Auth{Type: config.AuthHeader, Header: "Authorization", Template: "Bearer {key}", Value: fromEnv("KEY")},
		func(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") },
	},
	"query": {
		config.Auth{Type: config.AuthQuery, Param: "api.key", Value: fromEnv("KEY")},
		func(r *http.Request) string { return r.URL.Query().Get("api.key") },
	},
	"path": {
		config.Auth{Type: config.AuthPath, Template: "/v2/{key}", Value: fromEnv("KEY")},
		func(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, "/v2/") },
	},
	"path with an end": {
		config.Auth{Type: config.AuthPath, Template: "/v2/{key}/rpc/", Value: fromEnv("KEY")},
		func(r *http.Request) string {
			return strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/v2/"), "/rpc")
		},
	},
}

func compile(t *testing.T, a config.Auth, key string) *Credential {
	t.Helper()
	c, err := Compile(a, env("KEY", key, "USER", "user"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whatever bytes a key is made of, the upstream reads the same ones.
func TestKeyArrivesIntact(t *testing.T) {
	keys := []string{
		"plain", canary, "with space", "a/b", "a//b/", "a?b", "a#b", "a%b", "a%2fb", "a+b", "a&b=c", "a;b", "a,b",
		`"quoted"`, "'single'", `back\slash`, "caf\u00e9 \u4e2d\u6587 \U0001f511", "\xff\xfe", "{key}", "$1", "..x", "%2e%2e", "a@b", "<a>", "~-._", "=",
	}
	for name, tc := range auths {
		for _, key := range keys {
			c := compile(t, tc.auth, key)
			wire := fmt.Sprintf("GET %s?%s HTTP/1.1\r\nHost: a.test\r\n%s\r\n", target(c), c.Query, c.HeaderLine)
			r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
			if err != nil {
				t.Errorf("%s, %q: %v", name, key, err)
			} else if got := tc.find(r); got != key {
				t.Errorf("%s: %q arrived as %q", name, key, got)
			}
		}
	}
}

func target(c *Credential) string {
	if len(c.PathPrefix) == 0 {
		return "/"
	}
	return string(c.PathPrefix)
}

// A colon belongs to a password, never to a user name.
func TestBasicColon(t *testing.T) {
	a := config.Auth{Type: config.AuthBasic, Username: fromEnv("USER"), Password: fromEnv("KEY")}
	c := compile(t, a, "a:b")
	r := http.Request{Header: http.Header{}}
	r.Header.Set("Authorization", strings.TrimSpace(strings.TrimPrefix(string(c.HeaderLine), "Authorization: ")))
	if user, password, _ := r.BasicAuth(); user != "user" || password != "a:b" {
		t.Errorf("arrived as %q, %q", user, password)
	}
	if _, err := Compile(a, env("USER", "a:b", "KEY", "x")); err == nil || !strings.Contains(err.Error(), "USER") {
		t.Errorf("user name with a colon: %v", err)
	}
}

func TestCompile(t *testing.T) {
	for name, tc := range map[string]struct {
		auth config.Auth
		want Credential
	}{
		// The presets, as their providers document them.
		"zerion": {
			config.Auth{Type: config.AuthBasic, Username: fromEnv("KEY")},
			Credential{HeaderLine: []byte("Authorization: Basic ay9leTo=\r\n"), StripHeader: "authorization"},
		},
		"coingecko": {
			config.Auth{Type: config.AuthHeader, Header: "X-CG-Pro-Api-Key", Value: fromEnv("KEY")},
			Credential{HeaderLine: []byte("X-CG-Pro-Api-Key: k/ey\r\n"), StripHeader: "x-cg-pro-api-key"},
		},
		"alchemy": {
			config.Auth{Type: config.AuthPath, Template: "/v2/{key}", Value: fromEnv("KEY")},
			Credential{PathPrefix: []byte("/v2/k%2Fey")},
		},
		// A slash at a template's end is the one that the rest begins with.
		"path with a slash": {
			config.Auth{Type: config.AuthPath, Template: "/v2/{key}/", Value: fromEnv("KEY")},
			Credential{PathPrefix: []byte("/v2/k%2Fey")},
		},
		"query": {
			config.Auth{Type: config.AuthQuery, Param: "apikey", Value: fromEnv("KEY")},
			Credential{Query: []byte("apikey=k%2Fey"), StripParam: "apikey"},
		},
		"none": {
			config.Auth{Type: config.AuthNone},
			Credential{},
		},
		"none, passing": {
			config.Auth{Type: config.AuthNone, PassAuthorization: true},
			Credential{PassAuthorization: true},
		},
		"nothing said": {
			config.Auth{},
			Credential{},
		},
	} {
		c := compile(t, tc.auth, "k/ey")
		if string(c.PathPrefix) != string(tc.want.PathPrefix) || string(c.Query) != string(tc.want.Query) ||
			string(c.HeaderLine) != string(tc.want.HeaderLine) || c.StripHeader != tc.want.StripHeader ||
			c.StripParam != tc.want.StripParam || c.PassAuthorization != tc.want.PassAuthorization {
			t.Errorf("%s: path %q, query %q, header %q, strips %q and %q, passes %v", name,
				c.PathPrefix, c.Query, c.HeaderLine, c.StripHeader, c.StripParam, c.PassAuthorization)
		}
	}
}

func TestSecretFromFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := config.Auth{Type: config.AuthHeader, Header: "X-Api-Key", Value: &config.SecretRef{File: file}}
	if c := compile(t, a, ""); string(c.HeaderLine) != "X-Api-Key: s3cret\r\n" {
		t.Errorf("header line %q", c.HeaderLine)
	}
}

// Errors say which variable or file to set, and never what it holds.
func TestCompileErrors(t *testing.T) {
	header := func(ref *config.SecretRef) config.Auth {
		return config.Auth{Type: config.AuthHeader, Header: "X-Api-Key", Value: ref}
	}
	for name, tc := range map[string]struct {
		auth config.Auth
		env  []string
		say  string
	}{
		"missing":                  {header(fromEnv("KEY")), nil, "KEY"},
		"empty":                    {header(fromEnv("KEY")), []string{"KEY", ""}, "KEY"},
		"with a line break":        {header(fromEnv("KEY")), []string{"KEY", canary + "\r\nX: y"}, "KEY"},
		"with NUL":                 {header(fromEnv("KEY")), []string{"KEY", canary + "\x00"}, "KEY"},
		"no file":                  {header(&config.SecretRef{File: "/nonexistent/key"}), nil, "/nonexistent/key"},
		"no reference":             {header(nil), nil, "no secret"},
		"user name missing":        {config.Auth{Type: config.AuthBasic, Username: fromEnv("USER")}, nil, "USER"},
		"password missing":         {config.Auth{Type: config.AuthBasic, Username: fromEnv("USER"), Password: fromEnv("KEY")}, []string{"USER", canary}, "KEY"},
		"user name with a colon":   {config.Auth{Type: config.AuthBasic, Username: fromEnv("USER")}, []string{"USER", canary + ":"}, "USER"},
		"query key missing":        {config.Auth{Type: config.AuthQuery, Param: "k", Value: fromEnv("KEY")}, nil, "KEY"},
		"path key missing":         {config.Auth{Type: config.AuthPath, Template: "/{key}", Value: fromEnv("KEY")}, nil, "KEY"},
		"path key a dot segment":   {config.Auth{Type: config.AuthPath, Template: "/{key}", Value: fromEnv("KEY")}, []string{"KEY", ".."}, "KEY"},
		"path key another one":     {config.Auth{Type: config.AuthPath, Template: "/{key}", Value: fromEnv("KEY")}, []string{"KEY", "."}, "KEY"},
		"a type that nobody knows": {config.Auth{Type: "digest"}, nil, "digest"},
	} {
		c, err := Compile(tc.auth, env(tc.env...))
		if err == nil || c != nil {
			t.Errorf("%s: %v, %v; want an error", name, c, err)
			continue
		}
		if !strings.Contains(err.Error(), tc.say) || strings.Contains(err.Error(), "Canary") {
			t.Errorf("%s: error %q", name, err)
		}
	}
}

// However a credential is printed, by itself or inside something else, its key
// is not.
func TestKeyIsNeverPrinted(t *testing.T) {
	for name, tc := range auths {
		c := compile(t, tc.auth, canary)
		outer := struct {
			Name    string
			Pointer *Credential
			Value   Credential
		}{"outer", c, *c}
		// Package fmt does not ask a field that it cannot reach; of a pointer it
		// then prints the address.
		unreachable := struct{ c *Credential }{c}
		texts := []string{c.String(), fmt.Sprintf("%v %+v %#v", unreachable, unreachable, unreachable)}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%U"} {
			for _, value := range []any{c, *c, outer, &outer, []*Credential{c}, map[string]Credential{"k": *c}} {
				texts = append(texts, fmt.Sprintf(verb, value))
			}
		}
		encoded, err := json.Marshal(outer)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(encoded))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "credential", c, "outer", outer)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credential", *c, "outer", outer)
		texts = append(texts, log.String())
		for _, text := range texts {
			for _, form := range []string{
				"Canary", "43616e617279", "43616E617279", "67 97 110 97 114 121", "103 141 156 141 162 171", "U+0043 U+0061", "Q2FuYXJ5",
			} {
				if strings.Contains(text, form) {
					t.Errorf("%s: printed as %s", name, text)
				}
			}
		}
	}
}
