package credential

import (
	"encoding/base64"
	"strings"
	"testing"

	"apiproxy.internal/shared/config"
)

func TestLeaksAndMask(t *testing.T) {
	header := config.Auth{Type: config.AuthHeader, Header: "X-Api-Key", Value: fromEnv("KEY")}
	basic := config.Auth{Type: config.AuthBasic, Username: fromEnv("USER"), Password: fromEnv("KEY")}
	userOnly := config.Auth{Type: config.AuthBasic, Username: fromEnv("KEY")}
	for _, tc := range []struct {
		auth       config.Auth
		key        string
		text, want string // want == text: no leak
	}{
		// As it is: alone, in a URL, in a cookie, twice.
		{header, "s3cretkey", "s3cretkey", "redacted"},
		{header, "s3cretkey", "https://b.test/v2/s3cretkey/", "https://b.test/v2/redacted/"},
		{header, "s3cretkey", "k=s3cretkey; Path=/; s3cretkey", "k=redacted; Path=/; redacted"},
		// Escaped as in a query, with "+" or %20 for a space, in either case.
		{header, "a b/c+d", "?k=a+b%2Fc%2Bd&x", "?k=redacted&x"},
		{header, "a b/c+d", "?k=a%20b%2Fc%2Bd&x", "?k=redacted&x"},
		{header, "a b/c+d", "?k=a+b%2fc%2bd&x", "?k=redacted&x"},
		{header, "a b/c+d", "?k=a%20b%2fc%2bd&x", "?k=redacted&x"},
		// Escaped as in a path, in either case.
		{header, "a b/c+d", "/v2/a%20b%2Fc+d/x", "/v2/redacted/x"},
		{header, "a b/c+d", "/v2/a%20b%2fc+d/x", "/v2/redacted/x"},
		// Escaped by those who escape more, less, or what was escaped before.
		{header, "a b/c+d", "%61%20b/c%2bd", "redacted"},
		{header, "it's(100%)", "?k=it's(100%25)&x", "?k=redacted&x"},
		{header, "it's(100%)", "?k=it%27s%28100%25%29", "?k=redacted"},
		{header, "a%2Fbcd", "?k=a%2Fbcd&l=a%252Fbcd", "?k=redacted&l=redacted"},
		{header, "a b/c+d", "?to=%2Fv2%3Fk%3Da%2520b%252Fc%252Bd", "?to=%2Fv2%3Fk%3Dredacted"},
		{header, "s3cret~~??", "k=czNjcmV0fn4%2FPw%3D%3D", "k=redacted%3D%3D"},
		// Within quotes.
		{header, `a"b\c"d`, `realm="a\"b\\c\"d"`, `realm="redacted"`},
		// A mask that is a secret itself does not grow.
		{header, "redacted", "k=redacted&redacted", "k=redacted&redacted"},
		// In base64, standard and for URLs, padded and not.
		{header, "s3cret~~??", "x " + base64.StdEncoding.EncodeToString([]byte("s3cret~~??")), "x redacted=="},
		{header, "s3cret~~??", "x " + base64.RawURLEncoding.EncodeToString([]byte("s3cret~~??")), "x redacted"},
		// The token of basic auth, whose key may not be found inside it.
		{basic, "s3cretkey", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:s3cretkey")), "Basic redacted="},
		{basic, "s3cret~~??", "x " + base64.RawURLEncoding.EncodeToString([]byte("user:s3cret~~??")), "x redacted"},
		{userOnly, "s3cretkey", "Basic " + base64.StdEncoding.EncodeToString([]byte("s3cretkey:")), "Basic redacted=="},
		// The longer secret is masked first, so that nothing of it is left.
		{config.Auth{Type: config.AuthBasic, Username: fromEnv("KEY"), Password: fromEnv("LONG")}, "s3cret", "s3cret-and-more s3cret", "redacted redacted"},

		// Harmless texts.
		{header, "s3cretkey", "", ""},
		{header, "s3cretkey", "s3cretke", "s3cretke"},
		{header, "s3cretkey", "S3CRETKEY", "S3CRETKEY"},
		{header, "s3cretkey", "%73%33%", "%73%33%"},
		{header, "s3cretkey", "100%+%zz", "100%+%zz"},
		// Five bytes are not looked for, six are.
		{header, "short", "a short text", "a short text"},
		{header, "sixsix", "a sixsix text", "a redacted text"},
	} {
		c, err := Compile(tc.auth, env("KEY", tc.key, "USER", "user", "LONG", "s3cret-and-more"))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.Mask([]byte(tc.text))); got != tc.want {
			t.Errorf("key %q: Mask(%q) = %q, want %q", tc.key, tc.text, got, tc.want)
		}
		if got := c.Leaks([]byte(tc.text)); got != (tc.text != tc.want || tc.key == "redacted") {
			t.Errorf("key %q: Leaks(%q) = %v", tc.key, tc.text, got)
		}
	}
}

// Everything that a credential puts into a request would be found if the
// upstream sent it back, and is gone when it is masked.
func TestOwnBytesAreFound(t *testing.T) {
	for name, tc := range auths {
		c := compile(t, tc.auth, canary)
		echo := append(append(append([]byte(nil), c.PathPrefix...), c.Query...), c.HeaderLine...)
		if !c.Leaks(echo) {
			t.Errorf("%s: no leak found in its own bytes", name)
		}
		if masked := c.Mask(echo); c.Leaks(masked) || strings.Contains(string(masked), "Canary") {
			t.Errorf("%s: masked to %q", name, masked)
		}
	}
}

// Without a key there is nothing to find.
func TestNoneNeverLeaks(t *testing.T) {
	c := compile(t, config.Auth{Type: config.AuthNone}, "")
	if c.Leaks([]byte("x")) || string(c.Mask([]byte("x"))) != "x" {
		t.Error("a credential without a secret masks")
	}
}

// Whatever an upstream sends, masking ends and leaves nothing to be found.
func FuzzMask(f *testing.F) {
	f.Add("a b/c+d", "?k=a+b%2Fc%2Bd&x")
	f.Add("a%2Fbcd", "a%252Fbcda%2Fbcd%")
	f.Fuzz(func(t *testing.T, key, text string) {
		c, err := Compile(config.Auth{Type: config.AuthHeader, Header: "X-Key", Value: fromEnv("KEY")}, env("KEY", key))
		if err != nil {
			t.Skip()
		}
		masked := c.Mask([]byte(text))
		if leaks := c.Leaks([]byte(text)); !leaks && string(masked) != text {
			t.Errorf("key %q: Mask(%q) = %q without a leak", key, text, masked)
		}
		if len(masked) > 2*len(text) {
			t.Errorf("key %q: Mask(%q) is %d bytes long", key, text, len(masked))
		}
	})
}
