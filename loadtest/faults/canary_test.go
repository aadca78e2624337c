package faults

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/shared/config"
)

// canary is a provider whose key must be seen by its upstream and nobody else.
type canary struct {
	name string
	auth string            // YAML
	keys map[string]string // environment
}

// long is a key of 4 KiB without a period, so that no part of it stands for
// another one.
func long(name string) string {
	var b strings.Builder
	for i := 0; b.Len() < 4<<10; i++ {
		fmt.Fprintf(&b, "%s-%d-", name, i)
	}
	return b.String()[:4<<10]
}

// canaries is every kind of credential with the characters that hurt it most.
var canaries = []canary{
	// Base64-like, in a header.
	{"k0", `{type: header, header: X-Key, value_env: K0}`, map[string]string{"K0": "Y2FuYXJ5LXplcm8/+A=="}},
	// Spaces inside and quotes of both kinds.
	{"k1", `{type: header, header: x-api-key, value_env: K1}`, map[string]string{"K1": `can"ary 'key' "one`}},
	// Something that looks escaped already, in a template.
	{"k2", `{type: header, header: Authorization, template: "Bearer {key}", value_env: K2}`, map[string]string{"K2": `canary%2Ftwo%20%zz%`}},
	// Every byte that means something in a URL.
	{"k3", `{type: query, param: apikey, value_env: K3}`, map[string]string{"K3": `canary/three?x#y&z+w=v;u`}},
	// Bytes beyond ASCII.
	{"k4", `{type: query, param: the.key, value_env: K4}`, map[string]string{"K4": "canäry-vier-日本"}},
	// Spaces, a percent sign and a backslash.
	{"k5", `{type: query, param: token, value_env: K5}`, map[string]string{"K5": `canary 5 100% \x "q"`}},
	{"k6", `{type: path, template: "/v2/{key}", value_env: K6}`, map[string]string{"K6": `canary/six?#&+ "q"`}},
	{"k7", `{type: path, template: "/v2/{key}/x", value_env: K7}`, map[string]string{"K7": "canary sept é %41"}},
	{"k8", `{type: path, template: "/{key}", value_env: K8}`, map[string]string{"K8": long("canary8")}},
	// A user name alone, and one with a password that holds colons.
	{"k9", `{type: basic, username_env: K9}`, map[string]string{"K9": "canary9/+YWJj=="}},
	{"k10", `{type: basic, username_env: K10, password_env: P10}`, map[string]string{"K10": `canary "ten"`, "P10": `pass:word/?&% é ~~~???>>> canary10`}},
	{"k11", `{type: header, header: X-Long, value_env: K11}`, map[string]string{"K11": long("canary11")}},
}

func canaryKeys(name string) (string, bool) {
	for _, c := range canaries {
		if key, ok := c.keys[name]; ok {
			return key, true
		}
	}
	return "", false
}

// canaryDocument sends all canaries to one upstream.
func canaryDocument(t *testing.T, upstream string, connect, read time.Duration) *config.Document {
	var yaml strings.Builder
	yaml.WriteString("circuit_breaker: {failure_threshold: 1000000}\nproviders:\n")
	for _, c := range canaries {
		fmt.Fprintf(&yaml, `  %s: {prefix: /%s/, upstream: %q, auth: %s, timeout: {connect: %v, send: 5s, read: %v}, retry: {times: 2, delay: 1ms}}`+"\n",
			c.name, c.name, upstream, c.auth, connect, read)
	}
	return document(t, yaml.String())
}

// sent is the credential as its own upstream has to find it in a request.
func (c *canary) sent() string {
	n := strings.TrimPrefix(c.name, "k")
	key := c.keys["K"+n]
	switch {
	case strings.Contains(c.auth, "type: query"):
		return "=" + strings.ReplaceAll(url.QueryEscape(key), "+", "%20") + " HTTP/1.1\r\n"
	case strings.Contains(c.auth, "type: path"):
		return "/" + url.PathEscape(key) + "/"
	case strings.Contains(c.auth, "type: basic"):
		return "\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"+c.keys["P"+n])) + "\r\n"
	}
	return " " + key + "\r\n"
}

// traces is every spelling in which the canary might be met.
func (c *canary) traces() []string {
	set := map[string]bool{}
	add := func(secret string) {
		quoted, _ := json.Marshal(secret)
		for _, s := range []string{
			secret, strings.Trim(string(quoted), `"`), strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret),
			base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		} {
			query, path := url.QueryEscape(s), url.PathEscape(s)
			for _, s := range []string{s, query, strings.ReplaceAll(query, "+", "%20"), path, url.QueryEscape(query), url.QueryEscape(path)} {
				set[s] = true
				set[lowerHex(s)] = true
			}
		}
	}
	for _, secret := range c.keys {
		add(secret)
	}
	if n := strings.TrimPrefix(c.name, "k"); strings.Contains(c.auth, "basic") {
		add(c.keys["K"+n] + ":" + c.keys["P"+n])
	}
	return slices.Collect(maps.Keys(set))
}

func lowerHex(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i+1:], strings.ToLower(string(b[i+1:i+3])))
		}
	}
	return string(b)
}

// allTraces is made once: the search is the larger part of these tests.
var allTraces = func() (all []struct{ name, trace string }) {
	for i := range canaries {
		for _, trace := range canaries[i].traces() {
			all = append(all, struct{ name, trace string }{canaries[i].name, trace})
		}
	}
	return all
}()

// clean fails the test if text holds a key.
func clean(t *testing.T, where, text string) {
	t.Helper()
	for _, c := range allTraces {
		if i := strings.Index(text, c.trace); i >= 0 {
			t.Errorf("%s holds the key of %s: ...%.80q", where, c.name, text[max(0, i-30):])
		}
	}
}

// cleanAnswer looks at what of an answer is the node's: all of the headers, and
// the body if it made it.
func cleanAnswer(t *testing.T, where string, a answer) {
	t.Helper()
	var text strings.Builder
	for name, values := range a.header {
		// net/http changes the case of names; no canary that can be one has capitals.
		text.WriteString(strings.ToLower(name) + ": " + strings.Join(values, "\n") + "\n")
	}
	if a.header.Get("Content-Type") == "application/problem+json" {
		text.WriteString(a.body)
	}
	clean(t, where, text.String())
}

// sinks looks for keys wherever a node tells of itself, and at the upstream for
// keys that are not its own.
func (b *bench) sinks(requests []string) {
	b.t.Helper()
	for _, path := range []string{"/metrics", "/status", "/circuit-breaker-stats", "/health", "/ready"} {
		clean(b.t, path, b.get(path).body)
	}
	warnings, err := node.Check(b.options)
	clean(b.t, "--check", fmt.Sprint(warnings, err))
	b.stop()
	clean(b.t, "access.log", b.file("access.log"))
	clean(b.t, "error.log", b.file("error.log"))
	clean(b.t, "the log handler", b.log.String())
	for _, request := range requests {
		onlyItsOwn(b.t, request)
	}
}

// onlyItsOwn expects the credential of the provider whose name ends the path.
func onlyItsOwn(t *testing.T, request string) {
	t.Helper()
	for _, c := range canaries {
		own := strings.Contains(request, "/for-"+c.name+"/")
		if own && !strings.Contains(request, c.sent()) {
			t.Errorf("a request to %s came without its credential: %.200q", c.name, request)
		}
		for _, trace := range c.traces() {
			if !own && strings.Contains(request, trace) {
				t.Errorf("the key of %s came with the request %.200q", c.name, request)
			}
		}
	}
}
