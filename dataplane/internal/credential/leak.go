package credential

import (
	"bytes"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
)

// minSecret is the length in bytes below which a secret is not looked for: a
// word like "demo" would mask innocent bytes and protect nothing.
const minSecret = 6

// spellings lists how secrets may be written in a text, longest first, so that
// no spelling is masked in part by a shorter one inside it. Base64 goes without
// its padding, which makes it match with padding too.
func spellings(secrets ...string) [][]byte {
	var list []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		query, path := url.QueryEscape(s), url.PathEscape(s)
		list = append(list, s,
			query, queryEscape(s), lowerEscapes(query), lowerEscapes(queryEscape(s)),
			path, lowerEscapes(path),
			base64.RawStdEncoding.EncodeToString([]byte(s)), base64.RawURLEncoding.EncodeToString([]byte(s)))
	}
	slices.SortFunc(list, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	var unique [][]byte
	for _, s := range slices.Compact(list) {
		unique = append(unique, []byte(s))
	}
	return unique
}

// lowerEscapes writes the hex digits of percent escapes in lower case.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], bytes.ToLower(b[i+1:i+3]))
			i += 2
		}
	}
	return string(b)
}

// Leaks reports whether text (a response header value) holds the secret in any
// of its usual spellings: as it is, percent-escaped, in base64. Secrets of fewer
// than six bytes are not looked for.
func (c *Credential) Leaks(text []byte) bool {
	for _, s := range c.spellings {
		if bytes.Contains(text, s) {
			return true
		}
	}
	return false
}

// Mask returns text with every spelling that Leaks finds replaced by "redacted".
func (c *Credential) Mask(text []byte) []byte {
	for _, s := range c.spellings {
		text = bytes.ReplaceAll(text, s, []byte("redacted"))
	}
	return text
}
