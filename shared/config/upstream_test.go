package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestUpstreams(t *testing.T) {
	for _, text := range []string{
		"https://api.example.org", "http://api.example.org", "HTTPS://API.example.org", "https://api.example.org:1", "https://api.example.org:65535",
		"https://api.example.org/base/path", "https://fake_provider:9100", "http://localhost:9100", "http://127.0.0.1:9100", "http://10.0.0.5",
		"http://[::1]:9100", "http://[fd12::1]", "https://xn--bcher-kva.example", "https://0x.org", "https://1inch.io", "https://a.0xyz", "https://example.org.",
		"https://" + strings.Repeat("a", 63) + ".org",
	} {
		if _, p := parseUpstream(text); p != nil {
			t.Errorf("%s: %v", text, p)
		}
	}
	for _, text := range []string{
		// not an http origin
		"", "api.example.org", "//api.example.org", "ftp://api.example.org", "file:///etc/passwd", "https:api.example.org", "https://", "https:///x", "://",
		// more than scheme, host, port and path
		"https://user@api.example.org", "https://user:pw@api.example.org", "https://@api.example.org", "https://api.example.org?a", "https://api.example.org/?",
		"https://api.example.org#f", "https://api.example.org/a%2fb", "https://api.example.org/a/../b", "https://api.example.org/./a", "https://api.example.org//a",
		"https://api.example.org\\evil", "https://api.example.org/a b", "https://api.example.org/\r\n", "https://api.example.org/ä", "https://bücher.example",
		// ports
		"https://api.example.org:", "https://api.example.org:0", "https://api.example.org:65536", "https://api.example.org:x", "https://api.example.org:-1", "https://[::1]:",
		// hosts
		"https://-a.org", "https://a-.org", "https://a..org", "https://.a.org", "https://a.org..", "https://a,b.org", "https://*.org", "https://a:b:c", "https://::1",
		"https://[::1", "https://[fe80::1%25eth0]", "https://[127.0.0.1]", "https://[api.example.org]", "https://%61pi.example.org",
		"https://" + strings.Repeat("a", 64) + ".org", "https://" + strings.Repeat("a.", 127) + "org",
		// metadata, link-local, unspecified, multicast
		"http://169.254.169.254", "http://169.254.1.1:80/latest", "http://[fe80::1]", "http://[fd00:ec2::254]", "http://metadata.google.internal", "http://Metadata.Google.Internal.",
		"http://100.100.100.200", "http://0.0.0.0", "http://[::]", "http://224.0.0.1", "http://[ff02::1]", "http://255.255.255.255",
		// the same in disguise
		"http://[::ffff:169.254.169.254]", "http://[::ffff:a9fe:a9fe]", "http://[64:ff9b::a9fe:a9fe]", "http://[::ffff:0.0.0.0]",
		"http://2852039166", "http://0xa9fea9fe", "http://0xA9.254.169.254", "http://0251.0376.0251.0376", "http://169.254.43518", "http://169.254.169.254.", "http://127.1",
		"http://0", "http://0x", "http://1.2.3.4.5", "http://example.0x7f", "http://00.0.0.0", "http://999.1.1.1", "http://127.0.0.01",
	} {
		if u, p := parseUpstream(text); p == nil {
			t.Errorf("%s accepted as %s", text, u)
		}
	}
}

func TestRefusedUpstream(t *testing.T) {
	for text, refused := range map[string]bool{
		"169.254.0.1": true, "fe80::1": true, "fe80::1%eth0": true, "::ffff:169.254.169.254": true, "64:ff9b::169.254.169.254": true,
		"0.0.0.0": true, "::": true, "ff02::1": true, "239.1.1.1": true, "255.255.255.255": true, "fd00:ec2::254": true,
		"127.0.0.1": false, "10.0.0.1": false, "::1": false, "192.0.2.1": false, "2001:db8::1": false, "64:ff9b::192.0.2.1": false,
	} {
		if reason := RefusedUpstream(netip.MustParseAddr(text)); (reason != "") != refused {
			t.Errorf("%s: %q", text, reason)
		}
	}
	if RefusedUpstream(netip.Addr{}) == "" {
		t.Error("the zero address is no upstream")
	}
}

// A key over plain http is worth a warning, unless it stays at home.
func TestPlainCredentialWarning(t *testing.T) {
	const key = `"type": "query", "param": "k", "value_env": "K"`
	for _, row := range []struct {
		upstream, auth string
		warned         bool
	}{
		{"http://api.example.org", key, true},
		{"http://192.0.2.1", key, true},
		{"http://api.example.org", `"pass_authorization": true`, true},
		{"http://api.example.org", `"type": "none"`, false},
		{"https://api.example.org", key, false},
		{"http://localhost:9100", key, false},
		{"http://fake", key, false},
		{"http://a.svc.cluster.local", key, false},
		{"http://127.0.0.1:9100", key, false},
		{"http://192.168.1.1", key, false},
		{"http://[::ffff:10.0.0.1]", key, false},
	} {
		text := `{"rate_limit": {"global": {"rate": 1}, "per_ip": {"rate": 1}, "per_provider": {"p": {"rate": 1}}},
			"providers": {"p": {"upstream": "` + row.upstream + `", "auth": {` + row.auth + `}}}}`
		_, warnings, err := Parse([]byte(text))
		if err != nil || (len(warnings) == 1) != row.warned {
			t.Errorf("%s %s: %v %v", row.upstream, row.auth, warnings, err)
		}
	}
}
