package config

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// maxSecret bounds what is read of a secret's file.
const maxSecret = 64 << 10

// SecretRef says where a secret is: exactly one of an environment variable and a
// file. It never holds the secret itself, so that it may be printed.
type SecretRef struct {
	Env  string `json:"env"`
	File string `json:"file"`
}

// String is "env NAME" or "file PATH".
func (s SecretRef) String() string {
	if s.File != "" {
		return "file " + s.File
	}
	return "env " + s.Env
}

// GoString is String.
func (s SecretRef) GoString() string { return s.String() }

// MarshalText is String.
func (s SecretRef) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Resolve fetches the secret. Variables come from lookup, which has the shape of
// os.LookupEnv; of a file one trailing newline is dropped. A secret that is
// missing, empty or holds a control character is an error, which says what to set
// and never shows the secret.
func (s SecretRef) Resolve(lookup func(string) (string, bool)) (string, error) {
	value, p := s.resolve(lookup)
	if p != nil {
		return "", p
	}
	return value, nil
}

func (s SecretRef) resolve(lookup func(string) (string, bool)) (string, *Problem) {
	if s.File == "" {
		value, _ := lookup(s.Env)
		return s.accept(value, "environment variable "+s.Env, "set "+s.Env+" to the secret")
	}
	remedy := "write the secret, and nothing else, into " + s.File
	value, err := readSecret(s.File)
	if err != nil {
		return "", &Problem{Message: "cannot read the secret: " + err.Error(), Remedy: remedy}
	}
	return s.accept(value, "file "+s.File, remedy)
}

func (s SecretRef) accept(value, source, remedy string) (string, *Problem) {
	if value == "" {
		return "", &Problem{Message: source + " is not set or empty", Remedy: remedy}
	}
	if strings.ContainsFunc(value, isControl) {
		return "", &Problem{
			Message: source + " holds a line break or another control character",
			Remedy:  "remove it: it would break the request that carries the secret",
		}
	}
	return value, nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxSecret {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxSecret)
	}
	value := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(value, "\r"), nil
}

// SecretProblems warns of every secret of a provider that cannot be resolved here.
// It reads files and asks lookup for the variables.
func (d *Document) SecretProblems(lookup func(string) (string, bool)) []Problem {
	var problems []Problem
	for _, name := range d.providerNames() {
		auth := d.Providers[name].Auth
		for _, s := range auth.secrets() {
			if s.ref == nil {
				continue
			}
			if _, p := s.ref.resolve(lookup); p != nil {
				p.Path = "providers." + name + ".auth." + s.field()
				problems = append(problems, *p)
			}
		}
	}
	return problems
}
