package upstream

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for raw, want := range map[string]Target{
		"https://api.test":             {"https", "api.test", "api.test:443", ""},
		"http://api.test/":             {"http", "api.test", "api.test:80", ""},
		"https://api.test:8443/v1":     {"https", "api.test:8443", "api.test:8443", "/v1"},
		"https://api.test:443/v1/":     {"https", "api.test", "api.test:443", "/v1"}, // the scheme's own port is left out
		"http://api.test:443":          {"http", "api.test:443", "api.test:443", ""}, // which is not the other scheme's
		"https://[2001:db8::1]/":       {"https", "[2001:db8::1]", "[2001:db8::1]:443", ""},
		"https://[2001:db8::1]:443":    {"https", "[2001:db8::1]", "[2001:db8::1]:443", ""},
		"https://[2001:db8::1]:8443/a": {"https", "[2001:db8::1]:8443", "[2001:db8::1]:8443", "/a"},
		"HTTPS://api.test/a%2Fb//":     {"https", "api.test", "api.test:443", "/a%2Fb"}, // escapes stay as they are
	} {
		if got, err := ParseTarget(raw); err != nil || got != want {
			t.Errorf("ParseTarget(%q) = %+v, %v; want %+v", raw, got, err, want)
		}
	}
}

func TestParseTargetErrors(t *testing.T) {
	for _, raw := range []string{"", "api.test", "/v1", "ftp://canary.test", "https://", "https://:443", "https://canary%zz", "https://canary:x"} {
		_, err := ParseTarget(raw)
		if err == nil {
			t.Errorf("ParseTarget(%q) accepts it", raw)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("ParseTarget(%q) = %q, which shows the text; keys turn up in URLs", raw, err)
		}
	}
}

// The name that is verified is the one that was asked for, without a port.
func TestServerName(t *testing.T) {
	for raw, want := range map[string]string{
		"https://api.test:8443":    "api.test",
		"https://[2001:db8::1]:44": "2001:db8::1",
	} {
		target, err := ParseTarget(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := target.tlsConfig().ServerName; got != want {
			t.Errorf("%s: verifies %q, want %q", raw, got, want)
		}
	}
}
