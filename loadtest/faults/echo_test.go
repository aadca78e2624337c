package faults

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// echo answers with everything that it got, wherever an answer has room for it
// and in every spelling that servers use.
func echo(status int) func(*peer) {
	return func(p *peer) {
		for {
			got, ok := p.request()
			if !ok {
				return
			}
			var reply strings.Builder
			lines := strings.Split(strings.TrimSuffix(got[:strings.Index(got, "\r\n\r\n")], "\r\n"), "\r\n")
			target := strings.Split(lines[0], " ")[1]
			fmt.Fprintf(&reply, "HTTP/1.1 %d no: %s\r\n", status, lines[0])
			fmt.Fprintf(&reply, "Location: https://other.test%s\r\nContent-Location: %s\r\nVia: 1.1 %s\r\n", target, target, target)
			fmt.Fprintf(&reply, "Refresh: 0; url=/login?to=%s\r\n", url.QueryEscape(target))
			fmt.Fprintf(&reply, "Link: <%s>; rel=self\r\nWWW-Authenticate: Bearer realm=\"%s\"\r\n", target, url.QueryEscape(target))
			if plain, err := url.PathUnescape(target); err == nil {
				fmt.Fprintf(&reply, "X-Target: %s\r\nX-Target-Twice: %s %s\r\n", plain, plain, plain)
			}
			for _, l := range lines[1:] {
				name, value, _ := strings.Cut(l, ": ")
				fmt.Fprintf(&reply, "X-Echo-%s: %s\r\nSet-Cookie: seen=%s; Path=/\r\n", name, value, value)
				fmt.Fprintf(&reply, "X-Query: %s\r\nX-Path: %s\r\n", url.QueryEscape(value), url.PathEscape(value))
				fmt.Fprintf(&reply, "X-Next: /login?to=%s\r\nX-Realm: realm=%q\r\n", url.QueryEscape(url.PathEscape(value)), value)
				fmt.Fprintf(&reply, "X-Base64: %s\r\n", base64.StdEncoding.EncodeToString([]byte(value)))
				fmt.Fprintf(&reply, "Location: https://other.test/?key=%s\r\n", url.QueryEscape(value))
				if token, ok := strings.CutPrefix(value, "Basic "); ok {
					pair, _ := base64.StdEncoding.DecodeString(token)
					fmt.Fprintf(&reply, "X-Decoded: %s\r\nX-Url-Token: %s\r\n", pair, base64.RawURLEncoding.EncodeToString(pair))
					fmt.Fprintf(&reply, "X-Token: %s\r\n", url.QueryEscape(token))
				}
				if !strings.ContainsAny(value, " \"/%?&+=,;:()<>@[]{}\\") && isASCII(value) {
					fmt.Fprintf(&reply, "%s: as a name\r\n", value)
				}
			}
			body := got
			if strings.HasPrefix(got, "HEAD ") {
				body = ""
			}
			fmt.Fprintf(&reply, "Content-Length: %d\r\n\r\n%s", len(body), body)
			if !p.say(reply.String()) {
				return
			}
		}
	}
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e || r < '!' }) < 0
}

// An upstream that tells everybody what it knows: the headers lose the key, the
// body is the provider's and passes unchanged.
func TestEcho(t *testing.T) {
	for _, status := range []int{200, 301, 302, 307, 308, 400, 401, 403, 404, 500, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			up := newUpstream(t, nil, echo(status))
			b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, nil)
			for i, c := range canaries {
				for _, method := range []string{"GET", "POST", "HEAD"} {
					a := b.do(request(method, c.name))
					if a.failed != nil || a.status != status || a.cut {
						t.Fatalf("%s with %s: %d, %v", method, c.name, a.status, a.failed)
					}
					cleanAnswer(t, fmt.Sprintf("%s with %s", method, c.name), a)
					if method == "GET" && !strings.Contains(a.body, canaries[i].sent()) {
						t.Errorf("%s: the body of the upstream was changed: %.200q", c.name, a.body)
					}
				}
			}
			b.sinks(up.seen())
		})
	}
}

// Redirects are the client's to follow, without the key, and only by name.
func TestRedirects(t *testing.T) {
	other := newUpstream(t, nil, answers(ok("Content-Length: 0\r\n", "")))
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, body := range []string{"Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
			up := newUpstream(t, nil, func(p *peer) {
				for {
					got, ok := p.request()
					if !ok {
						return
					}
					target := strings.Split(got, " ")[1]
					if !p.say(fmt.Sprintf("HTTP/1.1 %d Moved\r\nLocation: %s%s\r\nRefresh: 0; url=%s\r\n%s", status, other.url(), target, target, body)) {
						return
					}
				}
			})
			b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, nil)
			for _, c := range canaries {
				a := b.get("/" + c.name + "/for-" + c.name + "/")
				if location := a.header.Get("Location"); a.status != status || !strings.HasPrefix(location, other.url()) {
					t.Errorf("%s: %d to %q, want %d to the other host", c.name, a.status, location, status)
				}
				cleanAnswer(t, c.name, a)
			}
			b.sinks(up.seen())
		}
	}
	if n, _ := other.counts(); n != 0 {
		t.Errorf("%d connections to the other host, want 0", n)
	}
}

// A provider without its key answers so, and says nothing of any other key.
func TestKeyMissing(t *testing.T) {
	up := newUpstream(t, nil, echo(200))
	b := start(t, canaryDocument(t, up.url(), patient, patient), func(name string) (string, bool) {
		if name == "K10" || name == "K3" {
			return "", false
		}
		return canaryKeys(name)
	}, nil)
	for _, c := range canaries {
		want := 200
		if c.name == "k10" || c.name == "k3" {
			want = 503
		}
		a := b.get("/" + c.name + "/for-" + c.name + "/")
		if a.status != want || want == 503 && !strings.Contains(a.body, `"error_type":"credential_missing"`) {
			t.Errorf("%s: %d %.200s", c.name, a.status, a.body)
		}
		cleanAnswer(t, c.name, a)
	}
	b.sinks(up.seen())
}

// What the client sends in place of the credential goes nowhere, and neither do
// another provider's keys if it should know them.
func TestClientsOwnKeys(t *testing.T) {
	up := newUpstream(t, nil, answers(ok("Content-Length: 2\r\n", "{}")))
	b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, nil)
	for _, c := range canaries {
		a := b.do("GET /" + c.name + "/for-" + c.name + "/?apikey=mine&token=mine&the.key=mine HTTP/1.1\r\nHost: proxy\r\n" +
			"Authorization: Basic bWluZTptaW5l\r\nX-Key: mine\r\nX-Api-Key: mine\r\nX-Long: mine\r\n\r\n")
		if a.status != 200 {
			t.Errorf("%s: %d", c.name, a.status)
		}
	}
	for _, request := range up.seen() {
		for i, sent := range []string{"X-Key: mine", "X-Api-Key: mine", "Authorization: Basic bWluZTptaW5l", "apikey=mine", "the.key=mine", "token=mine"} {
			own := strings.Contains(request, fmt.Sprintf("/for-k%d/", i))
			if strings.Contains(request, sent) && (own || i == 2) {
				t.Errorf("the client's own key arrived: %.200q", request)
			}
		}
	}
	b.sinks(up.seen())
}
