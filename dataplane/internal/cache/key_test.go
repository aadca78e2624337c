package cache

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/forward"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/config"
)

const canary = "canary-key-0123456789"

// secrets are the ways to inject a key.
var secrets = map[string]config.Auth{
	"none":   {Type: config.AuthNone},
	"pass":   {Type: config.AuthNone, PassAuthorization: true},
	"basic":  {Type: config.AuthBasic, Username: &config.SecretRef{Env: "KEY"}},
	"header": {Type: config.AuthHeader, Header: "x-api-key", Value: &config.SecretRef{Env: "KEY"}},
	"query":  {Type: config.AuthQuery, Param: "apikey", Value: &config.SecretRef{Env: "KEY"}},
	"path":   {Type: config.AuthPath, Template: "/v2/{key}", Value: &config.SecretRef{Env: "KEY"}},
}

func compile(t testing.TB, auth config.Auth) *credential.Credential {
	t.Helper()
	c, err := credential.Compile(auth, func(string) (string, bool) { return canary, true })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// request is one as the path sees it: the target after route.Split, the fields
// after http1.ParseFields.
type request struct {
	method verdict.Method
	target string
	fields []http1.Field
}

func (r *request) key(provider string, c *credential.Credential) string {
	path, query := cutTarget(r.target)
	key, _ := AppendKey(nil, &Key{Provider: provider, Path: path, Query: query, Method: r.method, Fields: r.fields, StripHeader: c.StripHeader})
	return string(key)
}

func cutTarget(target string) (path, query []byte) {
	before, after, found := strings.Cut(target, "?")
	if found {
		query = append([]byte{}, after...)
	}
	return []byte(before), query
}

// seen is what the provider sees of a request, without the fields that only a
// Vary makes count, and without an Authorization that is passed on: answers to
// those are kept apart by the rules (RFC 9111 §3.5), not by the key.
func (r *request) seen(c *credential.Credential) string {
	path, query := cutTarget(r.target)
	head := forward.AppendHead(nil, &forward.Request{Method: []byte(r.method.String()), Host: "api.test", Path: path, Query: query,
		Fields: r.fields, BodyLength: forward.NoBody, Credential: c})
	var kept []string
	for line := range strings.SplitSeq(string(head), "\r\n") {
		name, value, isField := strings.Cut(line, ": ")
		if isField && (kindOf([]byte(name), "") == neutral || c.PassAuthorization && strings.EqualFold(name, "authorization")) {
			continue
		}
		if isField {
			line = strings.ToLower(name) + ": " + value
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "\r\n")
}

// hostile are the requests of a stranger who wants others to see what he put
// into an answer, each beside the plain GET /p/x?a=1&b=2.
var hostile = []string{
	// What frameworks read as the target or the host.
	"X-Forwarded-Host: evil.test", "X-Forwarded-Scheme: http", "X-Forwarded-Proto: http", "Forwarded: host=evil.test", "X-Host: evil.test",
	"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-Forwarded-Prefix: /evil", "X-Forwarded-Port: 1", "X-Real-IP: 192.0.2.1",
	"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: PUT", "X-Method-Override: POST", "Host: evil.test", "X-Wap-Profile: http://evil.test/",
	// What picks another representation.
	"Accept: text/html", "Accept-Encoding: br", "Accept-Language: xx", "Accept-Charset: utf-7", "Content-Type: application/x-evil",
	"X-Requested-With: XMLHttpRequest", "Origin: https://evil.test", "Referer: https://evil.test", "Via: 1.0 evil", "Save-Data: on",
	// What makes an error of it.
	"X-Oversized: " + strings.Repeat("x", 9000), "X-Metachar: \x80\xff", "If-Match: \"no\"", "Max-Forwards: 0", "Expect: 100-continue", "Content-Encoding: gzip",
	// Who asks.
	"Authorization: Bearer evil", "Cookie: session=evil", "X-Api-Key: evil", "X-User: evil", "X_Forwarded_Host: evil.test",
	"X-Correlation-ID: evil", "X-Request-ID: evil", "Proxy-Authorization: x", "Transfer-Encoding: chunked",
}

// A stranger's request never leaves a copy for a plain one, unless the provider
// cannot tell the two apart.
func TestPoisoning(t *testing.T) {
	plain := request{verdict.MethodGet, "/p/x?a=1&b=2", lines(t, "Host: proxy.test", "Accept: */*")}
	for kind, auth := range secrets {
		c := compile(t, auth)
		check := func(name string, r request) {
			if r.key("p", c) == plain.key("p", c) && r.seen(c) != plain.seen(c) {
				t.Errorf("%s, %s: same key, but the provider sees\n%q instead of\n%q", kind, name, r.seen(c), plain.seen(c))
			}
		}
		for _, line := range hostile {
			check(line, request{plain.method, plain.target, lines(t, "Host: proxy.test", line, "Accept: */*")})
			check(line+" last", request{plain.method, plain.target, lines(t, "Host: proxy.test", "Accept: */*", line)})
			check(line+" hidden", request{plain.method, plain.target, lines(t, "Host: proxy.test", "Accept: */*", "Connection: Accept", line)})
		}
	}
	c := compile(t, secrets["none"])
	for _, other := range []request{
		{verdict.MethodHead, plain.target, plain.fields},
		{verdict.MethodGet, "/p/x?b=2&a=1", plain.fields},
		{verdict.MethodGet, "/p/x?a=1;b=2", plain.fields},
		{verdict.MethodGet, "/p/x?a=1&b=2;a=3", plain.fields},
		{verdict.MethodGet, "/p/x?a=1&b=2&", plain.fields},
		{verdict.MethodGet, "/p/x?a=1&b=2&utm_content=x", plain.fields},
		{verdict.MethodGet, "/p/x?a=1&b=%32", plain.fields},
		{verdict.MethodGet, "/p/x?a=1&b=2?", plain.fields},
		{verdict.MethodGet, "/p/x", plain.fields},
		{verdict.MethodGet, "/p/x?", plain.fields},
		{verdict.MethodGet, "/p/%78?a=1&b=2", plain.fields},
		{verdict.MethodGet, "/p//x?a=1&b=2", plain.fields},
		{verdict.MethodGet, "/p/X?a=1&b=2", plain.fields},
		{verdict.MethodGet, "/p/x;v=1?a=1&b=2", plain.fields},
	} {
		if other.key("p", c) == plain.key("p", c) {
			t.Errorf("%v %s has the key of %s", other.method, other.target, plain.target)
		}
	}
	if plain.key("p", c) == plain.key("q", c) {
		t.Error("two providers share a key")
	}
}

// What differs for every request of one client must not make each a miss.
func TestWhatIsNotInTheKey(t *testing.T) {
	c := compile(t, secrets["header"])
	plain := request{verdict.MethodGet, "/p/x", lines(t, "Host: a.test", "Accept: */*")}
	for _, line := range []string{
		"User-Agent: curl/8", "traceparent: 00-1-2-01", "Cache-Control: max-age=5", "Pragma: no-cache", `If-None-Match: "a"`, "Range: bytes=0-1",
		"X-Request-ID: 1", "X-Forwarded-For: 192.0.2.7", "Connection: keep-alive", "X-Api-Key: mine", "Authorization: mine", "Cookie: a=b",
		"x-b3-traceid: 1", "Sec-Fetch-Mode: cors", "HOST: b.test",
	} {
		r := request{verdict.MethodGet, "/p/x", lines(t, line, "ACCEPT: */*")}
		if r.key("p", c) != plain.key("p", c) {
			t.Errorf("%s is in the key", line)
		}
	}
}

// The key holds neither our credential nor what a client sent in its place.
func TestNoCredentialInTheKey(t *testing.T) {
	for kind, auth := range secrets {
		c := compile(t, auth)
		r := request{verdict.MethodGet, "/p/x?a=1", lines(t, "X-Api-Key: "+canary, "Authorization: Bearer "+canary, "Cookie: "+canary, "Proxy-Authorization: "+canary)}
		key := r.key("p", c)
		if kind != "header" { // elsewhere an X-Api-Key is a field like any other
			key = strings.Replace(key, "x-api-key:"+canary, "", 1)
		}
		if strings.Contains(key, canary) {
			t.Errorf("%s: %q", kind, key)
		}
		answer := lines(t, "Vary: Authorization, Cookie, X-Api-Key, User-Agent")
		if variant := AppendVariant(nil, answer, r.fields); bytes.Contains(variant, []byte(canary)) {
			t.Errorf("%s: variant %q", kind, variant)
		}
	}
}

// Two requests with one key look the same to the provider, whatever they are.
func TestOneKeyOneQuestion(t *testing.T) {
	credentials := map[string]*credential.Credential{}
	var kinds []string
	for kind, auth := range secrets {
		credentials[kind] = compile(t, auth)
		kinds = append(kinds, kind)
	}
	names := []string{"Accept", "accept", "X-A", "X-a:", "X-A-B", "Cookie", "Authorization", "User-Agent", "X-Api-Key", "Connection", "X-Forwarded-Host", "Range", "TE"}
	draw := func(t *rapid.T, label string) request {
		var block strings.Builder
		for range rapid.IntRange(0, 3).Draw(t, label+" fields") {
			name := strings.TrimSuffix(rapid.SampledFrom(names).Draw(t, label+" name"), ":")
			block.WriteString(name + ": " + rapid.SampledFrom([]string{"", "1", "2", "X-A", "a:1", "keep-alive"}).Draw(t, label+" value") + "\r\n")
		}
		fields, err := http1.ParseFields(nil, []byte(block.String()))
		if err != nil {
			t.Fatal(err)
		}
		return request{
			method: rapid.SampledFrom([]verdict.Method{verdict.MethodGet, verdict.MethodHead}).Draw(t, label+" method"),
			target: "/p/" + rapid.StringMatching(`[ab/]{0,2}(\?[ab=&;]{0,3})?`).Draw(t, label+" target"),
			fields: fields,
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := credentials[rapid.SampledFrom(kinds).Draw(t, "auth")]
		a, b := draw(t, "a"), draw(t, "b")
		if a.key("p", c) == b.key("p", c) && a.seen(c) != b.seen(c) {
			t.Fatalf("same key, but the provider sees\n%q and\n%q", a.seen(c), b.seen(c))
		}
	})
}

// Whatever this package takes for hidden is hidden: otherwise it would be a
// field outside of the key that the provider sees.
func TestHiddenFieldsAreHidden(t *testing.T) {
	c := compile(t, secrets["none"])
	for _, name := range []string{
		"authorization", "connection", "content-length", "cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive", "origin",
		"proxy-x", "referer", "te", "trailer", "transfer-encoding", "upgrade", "via", "x-forwarded-x", "x-real-ip", "x-request-id",
		"x-proxy-admitted-at", "with_underscore",
	} {
		if kindOf([]byte(name), "") != hidden {
			t.Errorf("%s is not hidden here", name)
		}
		r := request{verdict.MethodGet, "/", lines(t, name+": canary")}
		if strings.Contains(r.seen(c), "canary") {
			t.Errorf("%s reaches the provider", name)
		}
	}
}

// The first part of a key names the resource, for invalidation and purging.
func TestResourceOfAKey(t *testing.T) {
	k := Key{Provider: "p", Path: []byte("/p/x"), Query: []byte("a=1"), Method: verdict.MethodGet, Fields: lines(t, "Accept: a")}
	key, n := AppendKey([]byte("before"), &k)
	key = key[len("before"):]
	if resource := AppendResource(nil, "p", k.Path, k.Query); string(resource) != string(key[:n]) {
		t.Errorf("%q, want %q", key[:n], resource)
	}
	provider, target := Target(key)
	if string(provider) != "p" || string(target) != "/p/x?a=1" {
		t.Errorf("%s, %s", provider, target)
	}
	k.Method, k.Fields = verdict.MethodHead, nil
	if other, m := AppendKey(nil, &k); m != n || !bytes.Equal(other[:m], key[:n]) {
		t.Error("HEAD is another resource")
	}
}

func TestSelection(t *testing.T) {
	key, _ := AppendKey(nil, &Key{Provider: "p", Path: []byte("/p/a/b"), Query: []byte("x=1"), Method: verdict.MethodGet, Fields: lines(t, "Accept: a")})
	for _, tc := range []struct {
		provider, prefix, exact string
		want                    bool
	}{
		{"", "", "", true}, {"p", "", "", true}, {"q", "", "", false}, {"p", "/p/a", "", true}, {"p", "/p/c", "", false},
		{"", "/p/a/b?x=1&", "", false}, {"p", "", "/p/a/b?x=1", true}, {"p", "", "/p/a/b", false}, {"q", "", "/p/a/b?x=1", false}, {"p", "/q", "/p/a/b?x=1", false},
	} {
		if got := (Selection{tc.provider, []byte(tc.prefix), []byte(tc.exact)}).Matches(key); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestRFC9111_4_1_Vary(t *testing.T) {
	for _, tc := range []struct {
		vary          string
		first, second string
		want          bool
	}{
		{"User-Agent", "User-Agent: a", "User-Agent: a", true},
		{"User-Agent", "User-Agent: a", "user-agent: a", true},
		{"User-Agent", "User-Agent: a", "User-Agent: b", false},
		{"User-Agent", "User-Agent: a", "", false},
		{"User-Agent", "", "User-Agent: a", false},
		{"User-Agent", "", "", true},
		{"User-Agent", "User-Agent:", "", false},
		{"User-Agent", "User-Agent: ab", "User-Agent: a|User-Agent: b", false},
		{"User-Agent", "User-Agent: a|User-Agent: b", "User-Agent: a|User-Agent: b", true},
		{"User-Agent", "User-Agent: a|User-Agent: b", "User-Agent: a", false},
		{"user-agent, USER-AGENT,Accept", "User-Agent: a", "User-Agent: a", true},
		{"traceparent, User-Agent", "User-Agent: a|traceparent: 1", "User-Agent: a|traceparent: 2", false},
		// In the key already, or never seen by the provider.
		{"Accept, Origin, Cookie", "Accept: a|Origin: x", "Accept: b|Origin: y", true},
		{"", "User-Agent: a", "User-Agent: b", true},
	} {
		variant := AppendVariant(nil, split(t, "Vary: "+tc.vary), split(t, tc.first))
		if got := MatchesVariant(variant, split(t, tc.second)); got != tc.want {
			t.Errorf("Vary: %s, stored for %q, asked with %q: %v", tc.vary, tc.first, tc.second, got)
		}
	}
	many := AppendVariant(nil, split(t, "Vary: "+strings.Repeat("User-Agent, ", 30)), split(t, "User-Agent: a"))
	if string(many) != "user-agent:a\n\x00" {
		t.Errorf("%q", many)
	}
}

func TestHeadRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64()
		flag := rapid.Bool()
		m := Meta{rapid.IntRange(100, 999).Draw(t, "status"), n.Draw(t, "stored"), n.Draw(t, "age"), n.Draw(t, "lifetime"), n.Draw(t, "swr"), n.Draw(t, "sie"),
			flag.Draw(t, "no-cache"), flag.Draw(t, "must"), flag.Draw(t, "immutable"), flag.Draw(t, "all")}
		fields := []http1.Field{{Name: []byte("A"), Value: []byte("1")}, {Name: []byte("b"), Value: []byte("")}}
		variant := rapid.SliceOf(rapid.Byte()).Draw(t, "variant")
		head := AppendHead(nil, &m, variant, fields)
		got, gotVariant, block, ok := ParseHead(head)
		parsed := StoredFields(nil, block)
		if !ok || got != m || !bytes.Equal(gotVariant, variant) || text(parsed) != text(fields) {
			t.Fatalf("%+v %q %q", got, gotVariant, block)
		}
		for n := range block { // a cut block gives fewer fields
			if cut := StoredFields(nil, block[:n]); len(cut) >= len(fields) {
				t.Fatalf("%d of %d bytes give %d fields", n, len(block), len(cut))
			}
		}
		if _, _, _, ok := ParseHead(head[:rapid.IntRange(0, metaSize+len(variant)-1).Draw(t, "cut")]); ok {
			t.Fatal("a cut head is read")
		}
	})
}

// No fields, however odd, break a rule: no panic, and the promises that matter
// hold.
func FuzzRules(f *testing.F) {
	for _, line := range hostile {
		f.Add("Accept: a\r\n"+line+"\r\n", "Cache-Control: max-age=5\r\n", int64(3))
	}
	f.Add("Cache-Control: max-stale=\"1\r\nRange: bytes=-\r\n", "Cache-Control: private=\"a,b\", ,=,\"\\\r\nVary: ,\r\nAge: 9\r\nExpires: 0\r\n", int64(1e18))
	f.Add("If-None-Match: \"\r\nIf-Range: W/\r\nRange: bytes=--1\r\n", "ETag: \"\r\nDate: x\r\n", int64(-5))
	f.Fuzz(func(t *testing.T, requestBlock, answerBlock string, after int64) {
		request, err := http1.ParseFields(nil, []byte(requestBlock))
		if err != nil {
			return
		}
		fields, err := http1.ParseFields(nil, []byte(answerBlock))
		if err != nil {
			return
		}
		w := ParseWish(verdict.MethodGet, request)
		for _, r := range []Rules{byDefault, byHeaders} {
			a := Answer{Status: 200, Fields: fields, Complete: true, Asked: now - second, Received: now, Date: clock}
			m, reason := r.Storable(&w, &a)
			lower := strings.ToLower(answerBlock)
			if reason == Stored && !strings.Contains(lower, `"`) && strings.Contains(lower, "cache-control: no-store\r\n") {
				t.Error("no-store is stored")
			}
			if reason != Stored {
				continue
			}
			at := now + min(max(after, -1e18), 1e18)
			j := r.Judge(&m, &w, at)
			if j.Age < 0 || j.Kept < 0 || j.Use == Fresh && j.TTL <= 0 || j.Use == Fresh && !j.Fallback {
				t.Errorf("%+v", j)
			}
			variant := AppendVariant(nil, fields, request)
			if !MatchesVariant(variant, request) {
				t.Errorf("variant %q does not match its own request", variant)
			}
			if _, first, end := w.Cut(200, fields, 10); first < 0 || end < first || end > 10 {
				t.Errorf("part %d-%d of 10 bytes", first, end)
			}
			w.NotModified(200, fields)
			Confirms(fields, fields)
			AppendConditions(nil, request, fields)
			Update(nil, fields, fields)
			r.KeepUntil(&m, fields)
		}
		AppendKey(nil, &Key{Provider: "p", Path: []byte("/"), Fields: request})
	})
}
