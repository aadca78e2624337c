package credential

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
)

// minSecret is the length in bytes below which a secret is not looked for: a
// word like "demo" would mask innocent bytes and protect nothing.
const minSecret = 6

// spellings lists how secrets may be written in a text, longest first, so that
// no spelling is masked in part by a shorter one inside it. Base64 goes without
// its padding, which makes it match with padding too. Escapes are left to match.
func spellings(secrets ...string) [][]byte {
	var list []string
	for _, s := range secrets {
		if len(s) < minSecret {
			continue
		}
		list = append(list, s, quoted.Replace(s),
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

// quoted writes the inside of a quoted-string (RFC 9110 §5.6.4) or of one in JSON.
var quoted = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// find returns where text holds secret for the first time; end is 0 if nowhere.
func find(text, secret []byte) (start, end int) {
	if bytes.IndexByte(text, '%') < 0 && bytes.IndexByte(text, '+') < 0 {
		if start = bytes.Index(text, secret); start >= 0 {
			return start, start + len(secret)
		}
		return 0, 0
	}
	for start = range text {
		if n := match(text[start:], secret); n > 0 {
			return start, start + n
		}
	}
	return 0, 0
}

// maxEscapes is how often a spelling may be escaped: a URL in the query of
// another one is escaped twice.
const maxEscapes = 2

// match returns how many bytes at the beginning of text spell secret, which may
// be escaped as a whole up to maxEscapes times: encoders agree on how to escape a
// byte (RFC 3986 §2.1; "+" is a space in a query), but not on which.
func match(text, secret []byte) int {
	for escapes := range maxEscapes + 1 {
		if n := matchEscaped(text, secret, escapes); n > 0 {
			return n
		}
	}
	return 0
}

func matchEscaped(text, secret []byte, escapes int) (n int) {
	for _, want := range secret {
		if n == len(text) {
			return 0
		}
		got, size := unescape(text[n:], escapes)
		if got != want && (escapes == 0 || got != '+' || want != ' ') {
			return 0
		}
		n += size
	}
	return n
}

// unescape reads the first byte of text and tells how many bytes spell it.
func unescape(text []byte, times int) (b byte, size int) {
	b, size = text[0], 1
	for ; times > 0 && b == '%' && len(text) >= size+2; times-- {
		high, low := unhex(text[size]), unhex(text[size+1])
		if high < 0 || low < 0 {
			break
		}
		b, size = byte(high<<4|low), size+2
	}
	return b, size
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// Leaks reports whether text (the name or value of a response header) holds the
// secret in any of its usual spellings: as it is, quoted, in base64, each also
// percent-escaped. Secrets of fewer than six bytes are not looked for.
func (c *Credential) Leaks(text []byte) bool {
	for _, s := range c.spellings {
		if _, end := find(text, s); end > 0 {
			return true
		}
	}
	return false
}

// Mask returns text with every spelling that Leaks finds replaced by "redacted".
func (c *Credential) Mask(text []byte) []byte {
	for _, s := range c.spellings {
		text = mask(text, s)
	}
	return text
}

func mask(text, secret []byte) []byte {
	start, end := find(text, secret)
	if end == 0 {
		return text
	}
	var masked []byte
	for end > 0 {
		masked = append(append(masked, text[:start]...), "redacted"...)
		text = text[end:]
		start, end = find(text, secret)
	}
	return append(masked, text...)
}
