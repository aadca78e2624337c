package forward

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"apiproxy.internal/dataplane/internal/credential"
	"apiproxy.internal/dataplane/internal/http1"
	"apiproxy.internal/dataplane/internal/route"
	"apiproxy.internal/shared/config"
)

func compile(t testing.TB, a config.Auth) *credential.Credential {
	t.Helper()
	c, err := credential.Compile(a, func(string) (string, bool) { return "k/ey", true })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var (
	key    = &config.SecretRef{Env: "KEY"}
	none   = config.Auth{Type: config.AuthNone}
	pass   = config.Auth{Type: config.AuthNone, PassAuthorization: true}
	basic  = config.Auth{Type: config.AuthBasic, Username: key}
	header = config.Auth{Type: config.AuthHeader, Header: "X-Api-Key", Value: key}
	bearer = config.Auth{Type: config.AuthHeader, Header: "Authorization", Template: "Bearer {key}", Value: key}
	query  = config.Auth{Type: config.AuthQuery, Param: "apikey", Value: key}
	inPath = config.Auth{Type: config.AuthPath, Template: "/v2/{key}", Value: key}
)

func parse(t testing.TB, lines ...string) []http1.Field {
	t.Helper()
	block := ""
	for _, line := range lines {
		block += line + "\r\n"
	}
	fields, err := http1.ParseFields(nil, []byte(block))
	if err != nil {
		t.Fatal(err)
	}
	return fields
}

func TestAppendHead(t *testing.T) {
	get := func(basePath, target string, lines ...string) Request {
		r := Request{Method: []byte("GET"), Host: "api.test", BasePath: basePath, Fields: parse(t, lines...), BodyLength: NoBody}
		path, query, marked := strings.Cut(target, "?")
		r.Path = []byte(path)
		if marked {
			r.Query = []byte(query)
		}
		return r
	}
	with := func(r Request, change func(*Request)) Request { change(&r); return r }
	for _, tc := range []struct {
		auth config.Auth
		r    Request
		want string // "\n" for CRLF, without the empty line
	}{
		// The rest goes upstream as it is; nothing at all is "/".
		{none, get("", "/v1/x%2Fy//z;p=1"), "GET /v1/x%2Fy//z;p=1 HTTP/1.1\nHost: api.test\n"},
		{none, get("", ""), "GET / HTTP/1.1\nHost: api.test\n"},
		{none, get("", "?a=1"), "GET /?a=1 HTTP/1.1\nHost: api.test\n"},
		{none, get("/base", ""), "GET /base HTTP/1.1\nHost: api.test\n"},
		{none, get("/base", "/"), "GET /base/ HTTP/1.1\nHost: api.test\n"},
		{none, get("/base", "/x?a=b?c;d&&%zz"), "GET /base/x?a=b?c;d&&%zz HTTP/1.1\nHost: api.test\n"},
		{none, get("", "/x?"), "GET /x? HTTP/1.1\nHost: api.test\n"},
		// Fields keep their order, their spelling and their number.
		{none, get("", "/", "accept: */*", "X-A: 1", "x-a:2", "X-Empty:"),
			"GET / HTTP/1.1\nHost: api.test\naccept: */*\nX-A: 1\nx-a: 2\nX-Empty: \n"},

		// The credential of each type, and the client's own copy gone.
		{basic, get("/base", "/x", "Authorization: Bearer mine", "A: 1"),
			"GET /base/x HTTP/1.1\nHost: api.test\nA: 1\nAuthorization: Basic ay9leTo=\n"},
		{header, get("/base", "/x", "x-api-KEY: mine", "Authorization: mine", "A: 1"),
			"GET /base/x HTTP/1.1\nHost: api.test\nA: 1\nX-Api-Key: k/ey\n"},
		{bearer, get("", "/x", "authorization: mine", "Authorization: mine"),
			"GET /x HTTP/1.1\nHost: api.test\nAuthorization: Bearer k/ey\n"},
		{inPath, get("", "/x", "Authorization: mine"), "GET /v2/k%2Fey/x HTTP/1.1\nHost: api.test\n"},
		{inPath, get("", ""), "GET /v2/k%2Fey HTTP/1.1\nHost: api.test\n"},
		{inPath, get("/base", "/x?a=1"), "GET /base/v2/k%2Fey/x?a=1 HTTP/1.1\nHost: api.test\n"},
		{none, get("", "/x", "Authorization: mine"), "GET /x HTTP/1.1\nHost: api.test\n"},
		{pass, get("", "/x", "Authorization: mine"), "GET /x HTTP/1.1\nHost: api.test\nAuthorization: mine\n"},
		// A credential that Connection names is added all the same.
		{header, get("", "/x", "Connection: x-api-key, A", "A: 1", "B: 2"),
			"GET /x HTTP/1.1\nHost: api.test\nB: 2\nX-Api-Key: k/ey\n"},

		// A key in the query: alone, behind what the client sends.
		{query, get("", "/x"), "GET /x?apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", ""), "GET /?apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?"), "GET /x?apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?a=1&b=%zz&c"), "GET /x?a=1&b=%zz&c&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		// The client's own one goes: first, last, in the middle, alone, repeated,
		// without a value.
		{query, get("", "/x?apikey=mine&a=1"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?a=1&apikey=mine"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?a=1&apikey=mine&b=2"), "GET /x?a=1&b=2&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?apikey=mine"), "GET /x?apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?apikey&a&apikey=&apikey=1=2"), "GET /x?a&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		// Escaped in part or whole, in either case.
		{query, get("", "/x?%61pikey=mine&a=1"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?a=1&%61%70%69%6b%65%79=mine"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?api%6Bey=mine"), "GET /x?apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		// Between semicolons, at which some servers split.
		{query, get("", "/x?a=1;apikey=mine"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?apikey=mine;a=1"), "GET /x?a=1&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?a=1;apikey=mine;b=2&c"), "GET /x?a=1;b=2&c&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		// Other parameters stay, however much they look like it; so do empty ones.
		{query, get("", "/x?xapikey=1&apikeyx=2&a=apikey&APIKEY=3&api%6xkey"),
			"GET /x?xapikey=1&apikeyx=2&a=apikey&APIKEY=3&api%6xkey&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},
		{query, get("", "/x?&a=1&&b=2&"), "GET /x?&a=1&&b=2&&apikey=k%2Fey HTTP/1.1\nHost: api.test\n"},

		// Bodies: of known length, empty, of unknown length, none. What the
		// client said about them is not repeated.
		{none, with(get("", "/x", "Content-Length: 7", "Content-Type: text/plain"), func(r *Request) { r.Method, r.BodyLength = []byte("POST"), 5 }),
			"POST /x HTTP/1.1\nHost: api.test\nContent-Type: text/plain\nContent-Length: 5\n"},
		{none, with(get("", "/x"), func(r *Request) { r.Method, r.BodyLength = []byte("PUT"), 0 }),
			"PUT /x HTTP/1.1\nHost: api.test\nContent-Length: 0\n"},
		{none, with(get("", "/x", "Transfer-Encoding: chunked", "Trailer: T"), func(r *Request) { r.Method, r.BodyLength = []byte("PATCH"), -1 }),
			"PATCH /x HTTP/1.1\nHost: api.test\nTransfer-Encoding: chunked\n"},
		{none, with(get("", "/x", "Content-Length: 0"), func(r *Request) { r.Method = []byte("DELETE") }),
			"DELETE /x HTTP/1.1\nHost: api.test\n"},

		// The moment of admission is the node's to write.
		{none, with(get("", "/x", "X-Proxy-Admitted-At: 1"), func(r *Request) { r.AdmittedAt = 1700000000000000001 }),
			"GET /x HTTP/1.1\nHost: api.test\nX-Proxy-Admitted-At: 1700000000000000001\n"},
		{none, get("", "/x", "X-Proxy-Admitted-At: 1"), "GET /x HTTP/1.1\nHost: api.test\n"},
	} {
		tc.r.Credential = compile(t, tc.auth)
		want := strings.ReplaceAll(tc.want+"\n", "\n", "\r\n")
		if got := string(AppendHead([]byte("before"), &tc.r)); got != "before"+want {
			t.Errorf("%s %s?%s:\n got %q\nwant %q", tc.r.Method, tc.r.Path, tc.r.Query, got, want)
		}
	}
}

// Whatever a client may send, the upstream finds one request, for its own host,
// with one credential, and none of the fields that stop at the node.
func FuzzAppendHead(f *testing.F) {
	f.Add([]byte("A: 1\r\nHost: evil\r\nconnection: a, host\r\nX_Api_Key: 1\r\nx-api-key: 2\r\n"), []byte("/x?apikey=1;%61pikey=2"), int64(-2))
	f.Add([]byte("Content-Length: 5\r\nTransfer-Encoding: chunked\r\nAuthorization: a\r\n"), []byte("//evil/\\x?&;&"), int64(3))
	f.Add([]byte("Keep-Alive: 1\r\nExpect: 100-continue\r\nTE: trailers\r\n"), []byte("/caf\xc3\xa9?\xff"), int64(0))
	auths := []config.Auth{none, basic, header, bearer, query, inPath}
	f.Fuzz(func(t *testing.T, block, target []byte, length int64) {
		fields, err := http1.ParseFields(nil, block)
		if err != nil {
			return
		}
		path, rawQuery, err := route.Split(target)
		if err != nil {
			return
		}
		length = max(length%100, NoBody)
		for _, auth := range auths {
			r := Request{Method: []byte("POST"), Host: "api.test", BasePath: "/base", Path: path, Query: rawQuery,
				Fields: fields, BodyLength: length, AdmittedAt: 1, Credential: compile(t, auth)}
			checkHead(t, &r, auth, AppendHead(nil, &r))
		}
	})
}

func checkHead(t *testing.T, r *Request, auth config.Auth, head []byte) {
	wire := bytes.Clone(head)
	switch {
	case r.BodyLength >= 0:
		wire = append(wire, strings.Repeat("x", int(r.BodyLength))...)
	case r.BodyLength == -1:
		wire = append(wire, "1\r\nx\r\n0\r\n\r\n"...)
	}
	br := bufio.NewReader(bytes.NewReader(wire))
	got, err := http.ReadRequest(br)
	if err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	if _, err := io.Copy(io.Discard, got.Body); err != nil {
		t.Fatalf("%q: body: %v", head, err)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Fatalf("%q: a second request in %q", head, rest)
	}
	if hosts := bytes.Count(bytes.ToLower(head), []byte("\r\nhost:")); hosts != 1 || got.Host != "api.test" {
		t.Fatalf("%q: %d hosts, read as %q", head, hosts, got.Host)
	}
	if !strings.HasPrefix(got.RequestURI, "/base/") {
		t.Fatalf("%q: path %q", head, got.RequestURI)
	}
	for name := range got.Header {
		switch lower := strings.ToLower(name); {
		case strings.Contains(lower, "_"), strings.HasPrefix(lower, "x-forwarded-"), strings.HasPrefix(lower, "proxy-"),
			lower == "cookie", lower == "connection", lower == "keep-alive", lower == "te", lower == "upgrade", lower == "expect":
			t.Fatalf("%q: %s went upstream", head, name)
		}
	}
	checkCredential(t, auth, got, head)
}

// checkCredential counts the credentials that any reader of the request finds.
func checkCredential(t *testing.T, auth config.Auth, r *http.Request, head []byte) {
	want := map[string][]string{}
	switch auth.Type {
	case config.AuthBasic:
		want["Authorization"] = []string{"Basic ay9leTo="}
	case config.AuthHeader:
		want[auth.Header] = []string{expand(auth.Template)}
	}
	for _, name := range []string{"Authorization", "X-Api-Key"} {
		if name == "X-Api-Key" && auth.Header != name {
			continue // then it is nobody's credential
		}
		if got := r.Header.Values(name); strings.Join(got, "|") != strings.Join(want[name], "|") {
			t.Fatalf("%q: %s is %q, want %q", head, name, got, want[name])
		}
	}
	var keys []string
	for _, part := range strings.FieldsFunc(r.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, value, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err == nil && plain == auth.Param {
			keys = append(keys, value)
		}
	}
	if auth.Type == config.AuthQuery && strings.Join(keys, "|") != "k%2Fey" {
		t.Fatalf("%q: the parameter is %q", head, keys)
	}
	if auth.Type == config.AuthPath && !strings.HasPrefix(r.RequestURI, "/base/v2/k%2Fey") {
		t.Fatalf("%q: no key in the path", head)
	}
}

func expand(template string) string {
	if template == "" {
		return "k/ey"
	}
	return strings.Replace(template, "{key}", "k/ey", 1)
}
