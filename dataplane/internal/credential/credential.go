// Package credential prepares a provider's secret so that adding it to a
// request is an append, and makes sure that the secret is seen nowhere else.
// A Credential is immutable and safe for simultaneous use.
package credential

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"apiproxy.internal/shared/config"
)

// Credential is what a provider's auth adds to a request and what it takes out
// of the client's. It never prints what it holds.
type Credential struct {
	// PathPrefix goes between the upstream's base path and the rest ("/v2/<key>").
	PathPrefix []byte
	// Query is one escaped "name=value", to be joined to the client's query.
	Query []byte
	// HeaderLine is a whole line with its CRLF.
	HeaderLine []byte

	// StripHeader and StripParam name, in lower case and as written, what the
	// client may not send because the credential uses it. Empty means none.
	StripHeader string
	StripParam  string
	// PassAuthorization lets the client's own Authorization through.
	PassAuthorization bool

	spellings [][]byte // of the secret, to look for in what comes back
}

const hidden = "credential(hidden)"

// String hides the secret.
func (Credential) String() string { return hidden }

// Format hides the secret from every verb of package fmt.
func (Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText hides the secret from encoders and structured logs.
func (Credential) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Compile resolves the secrets of a with lookup (environment variables; files
// are read) and prepares the credential. Every byte of a secret arrives as it
// is, except that a header's value cannot begin or end with a space (RFC 9110
// §5.5). The error says which variable or file to set and never holds a value.
func Compile(a config.Auth, lookup func(string) (string, bool)) (*Credential, error) {
	switch a.Type {
	case config.AuthBasic:
		return compileBasic(a, lookup)
	case config.AuthHeader:
		return compileHeader(a, lookup)
	case config.AuthQuery:
		return compileQuery(a, lookup)
	case config.AuthPath:
		return compilePath(a, lookup)
	case config.AuthNone, "":
		return &Credential{PassAuthorization: a.PassAuthorization}, nil
	}
	return nil, fmt.Errorf("auth type %q is not known", a.Type)
}

func resolve(ref *config.SecretRef, lookup func(string) (string, bool)) (string, error) {
	if ref == nil {
		return "", errors.New("the configuration names no secret")
	}
	return ref.Resolve(lookup)
}

func compileBasic(a config.Auth, lookup func(string) (string, bool)) (*Credential, error) {
	user, err := resolve(a.Username, lookup)
	if err != nil {
		return nil, err
	}
	if strings.Contains(user, ":") {
		return nil, fmt.Errorf("%s holds a colon, which the user name of basic auth cannot (RFC 7617 §2); use another name", a.Username)
	}
	password := ""
	if a.Password != nil {
		if password, err = a.Password.Resolve(lookup); err != nil {
			return nil, err
		}
	}
	pair := []byte(user + ":" + password)
	return &Credential{
		HeaderLine:  []byte("Authorization: Basic " + base64.StdEncoding.EncodeToString(pair) + "\r\n"),
		StripHeader: "authorization",
		spellings:   spellings(user, password, string(pair)),
	}, nil
}

func compileHeader(a config.Auth, lookup func(string) (string, bool)) (*Credential, error) {
	key, err := resolve(a.Value, lookup)
	if err != nil {
		return nil, err
	}
	value := key
	if a.Template != "" {
		value = strings.Replace(a.Template, "{key}", key, 1)
	}
	return &Credential{
		HeaderLine:  []byte(a.Header + ": " + value + "\r\n"),
		StripHeader: strings.ToLower(a.Header),
		spellings:   spellings(key),
	}, nil
}

func compileQuery(a config.Auth, lookup func(string) (string, bool)) (*Credential, error) {
	key, err := resolve(a.Value, lookup)
	if err != nil {
		return nil, err
	}
	return &Credential{
		Query:      []byte(queryEscape(a.Param) + "=" + queryEscape(key)),
		StripParam: a.Param,
		spellings:  spellings(key),
	}, nil
}

// queryEscape writes a space as %20, which unlike "+" means the same to every
// decoder.
func queryEscape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

func compilePath(a config.Auth, lookup func(string) (string, bool)) (*Credential, error) {
	key, err := resolve(a.Value, lookup)
	if err != nil {
		return nil, err
	}
	if key == "." || key == ".." {
		return nil, fmt.Errorf("%s is a dot segment, which a path would lose; set it to the key", a.Value)
	}
	prefix := strings.Replace(a.Template, "{key}", url.PathEscape(key), 1)
	return &Credential{
		PathPrefix: []byte(strings.TrimSuffix(prefix, "/")),
		spellings:  spellings(key),
	}, nil
}
