package httpapi

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// writes is one request for each route that changes something.
var writes = []struct{ method, path, body string }{
	{"PUT", "/api/v1/config", "{}"},
	{"PATCH", "/api/v1/config", `{"server":{"max_in_flight":5}}`},
	{"POST", "/api/v1/config/revisions/1/restore", ""},
	{"PUT", "/api/v1/limits/global", `{"rate":5}`},
	{"PUT", "/api/v1/limits/per_ip", `{"rate":5}`},
	{"PUT", "/api/v1/limits/per_provider/zerion", `{"rate":5}`},
	{"DELETE", "/api/v1/nodes/n2", ""},
	{"POST", "/api/v1/breakers/zerion/trip", "{}"},
	{"POST", "/api/v1/breakers/zerion/reset", "{}"},
	{"POST", "/api/v1/cache/purge", `{"provider":"zerion"}`},
	{"POST", "/api/v1/breakers/zerion/auto", "{}"},
}

// The table of writes knows every route that is not a GET.
func TestWritesAreComplete(t *testing.T) {
	s := start(t, nil)
	described := 0
	for _, item := range openAPI(t, s)["paths"].(map[string]any) {
		for method := range item.(map[string]any) {
			if method != "get" {
				described++
			}
		}
	}
	if described != len(writes) {
		t.Errorf("%d routes write, the table has %d", described, len(writes))
	}
}

func TestEveryWriteNeedsTheToken(t *testing.T) {
	s := start(t, nil)
	for _, w := range writes {
		for _, head := range []string{
			"Authorization:", "Authorization: Bearer", "Authorization: Bearer wrong", "Authorization: Basic " + token,
			"Authorization: " + token, "Authorization: Bearer " + token + "x", "Authorization: Bearer " + token[1:],
		} {
			got := s.do(t, w.method, w.path+"?token="+token+"&access_token="+token, w.body, head, `If-Match: "1"`)
			if got.status != 401 || !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("%s %s with %q: %d %s", w.method, w.path, head, got.status, got.body)
			}
		}
	}
	if s.writes != 0 {
		t.Fatal("something was written without the token")
	}
	for _, w := range writes {
		if got := s.do(t, w.method, w.path, w.body, "Authorization: bEARER  "+token, `If-Match: *`); got.status != 200 {
			t.Errorf("%s %s with the token: %d %s", w.method, w.path, got.status, got.body)
		}
	}
	if strings.Contains(s.log.String(), token) {
		t.Error("the token is in the log")
	}
}

func TestOrigin(t *testing.T) {
	s := start(t, nil)
	own := strings.TrimPrefix(s.url, "http://")
	for _, row := range []struct {
		method, path string
		head         []string
		status       int
	}{
		{"PUT", "/api/v1/limits/global", []string{"Origin: https://evil.example"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Origin: null"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Origin: http://" + own + ".evil.example"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Origin: ftp://" + own}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: cross-site", "Origin: http://" + own}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: same-origin", "Origin: https://evil.example"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: cross-site", "Authorization:"}, 403},
		{"PUT", "/api/v1/limits/global", []string{"Sec-Fetch-Site: same-origin", "Origin: http://" + own}, 200},
		{"PUT", "/api/v1/limits/global", []string{"Host: proxy.example", "Origin: https://proxy.example"}, 200},
		{"PUT", "/api/v1/limits/global", []string{"Host: proxy.example:443", "Origin: https://Proxy.example"}, 200},
		{"GET", "/api/v1/config", []string{"Origin: https://evil.example"}, 403},
		{"GET", "/api/v1/config", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 403},
		{"GET", "/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"}, 403},
		{"GET", "/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"}, 200}, // a link in a chat
		{"GET", "/status", []string{"Sec-Fetch-Site: none"}, 200},
	} {
		if got := s.do(t, row.method, row.path, `{"rate":5}`, row.head...); got.status != row.status {
			t.Errorf("%s %s %v: %d %s, want %d", row.method, row.path, row.head, got.status, got.body, row.status)
		}
	}
}

func TestWithoutToken(t *testing.T) {
	s := start(t, func(o *Options) { o.Token = "" })
	for _, row := range []struct {
		head   []string
		status int
	}{
		{nil, 200},
		{[]string{"Authorization: Bearer whatever"}, 200},
		{[]string{"X-Forwarded-For: 127.0.0.1"}, 403},
		{[]string{"Forwarded: for=127.0.0.1"}, 403},
		{[]string{"X-Real-IP: 10.0.0.1"}, 403},
		{[]string{"Origin: http://localhost:8090", "Host: localhost:8090"}, 200},
		{[]string{"Origin: http://evil.example:8090", "Host: evil.example:8090"}, 403}, // a name that was made to mean us
	} {
		head := append([]string{"Authorization:"}, row.head...)
		if got := s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`, head...); got.status != row.status {
			t.Errorf("%v: %d %s, want %d", row.head, got.status, got.body, row.status)
		}
	}
	if n := strings.Count(s.log.String(), "there is no admin token"); n != 1 {
		t.Errorf("%d warnings about the missing token", n)
	}
}

// Whoever is not on this machine may not write without a token, whatever the
// header says.
func TestWithoutTokenFromElsewhere(t *testing.T) {
	s := start(t, func(o *Options) { o.Token = "" })
	for peer, local := range map[string]bool{
		"127.0.0.1:5": true, "[::1]:5": true, "127.8.9.1:5": true, "[::ffff:127.0.0.1]:5": true,
		"10.0.0.1:5": false, "192.168.1.7:5": false, "[fe80::1%eth0]:5": false, "[::ffff:10.0.0.1]:5": false, "": false, "@": false, "localhost:5": false,
	} {
		r, _ := http.NewRequest("PUT", "/", nil)
		r.RemoteAddr = peer
		if p := s.api.authorizeLocal(r); (p == nil) != local {
			t.Errorf("peer %q: %v", peer, p)
		}
	}
}

// A body that is too large is refused, and the client sees it: also one who sends
// all of it before it listens.
func TestTooLarge(t *testing.T) {
	s := start(t, nil)
	body := `{"providers":{` + strings.Repeat(" ", 10<<20) + `}}`
	if got := s.do(t, "PUT", "/api/v1/config", body, `If-Match: "1"`); got.status != 413 {
		t.Errorf("10 MiB: %d %s", got.status, got.body)
	}
	for name, head := range map[string]string{
		"413": "Content-Length: 10000000\r\nAuthorization: Bearer " + token + "\r\n",
		"401": "Content-Length: 10000000\r\n",
	} {
		if got := s.raw(t, "PUT /api/v1/config HTTP/1.1\r\nHost: x\r\nIf-Match: *\r\n"+head+"\r\n"+strings.Repeat("x", 10_000_000)); !strings.HasPrefix(got, "HTTP/1.1 "+name) {
			t.Errorf("%q, want %s", got, name)
		}
	}
	chunk := strings.Repeat("x", 2_000_000)
	if got := s.raw(t, fmt.Sprintf("PUT /api/v1/config HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", token, len(chunk), chunk)); !strings.HasPrefix(got, "HTTP/1.1 413") {
		t.Errorf("chunked: %q", got)
	}
	if got := s.raw(t, "PUT /api/v1/config HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+token+"\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 413") {
		t.Errorf("with Expect: %q", got)
	}
	// 1 MiB to the byte is no problem of size.
	exact := `{"revision":1}` + strings.Repeat(" ", 1<<20-14)
	if got := s.do(t, "PUT", "/api/v1/config", exact, `If-Match: "1"`); got.status != 200 {
		t.Errorf("1 MiB: %d %s", got.status, got.body)
	}
	if got := s.do(t, "PUT", "/api/v1/config", exact+" ", `If-Match: "2"`); got.status != 413 {
		t.Errorf("1 MiB and a byte: %d %s", got.status, got.body)
	}
}

// raw writes all of a request and then reads the first line of the answer.
func (s *server) raw(t *testing.T, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Errorf("the server stopped listening: %v", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		t.Errorf("no answer: %v", err)
	}
	return line
}

func TestHead(t *testing.T) {
	s := start(t, nil)
	for path := range openAPI(t, s)["paths"].(map[string]any) {
		path = strings.Replace(path, "{n}", "1", 1)
		get := s.options(path)
		if get == "" {
			continue
		}
		got := s.do(t, "HEAD", path, "")
		if got.status != 200 || got.body != "" || got.header.Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %+v", path, got)
		}
	}
	if s.writes != 0 {
		t.Error("HEAD wrote something")
	}
}

// options is the pattern of GET on a path.
func (s *server) options(path string) string {
	r, _ := http.NewRequest("GET", path, nil)
	_, pattern := s.api.routes.Handler(r)
	return pattern
}

func TestAudit(t *testing.T) {
	s := start(t, nil)
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`, "X-Change-Author: zoe", "X-Change-Reason: slow")
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`)
	s.do(t, "PUT", "/api/v1/limits/global?dry_run=true", `{"rate":6}`)
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":-5, "canary-of-the-body":1}`)
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`, "Authorization: Bearer canary-of-the-token", "X-Change-Author: eve")
	s.do(t, "PUT", "/api/v1/limits/global", `{"rate":5}`, "Origin: https://evil.example")
	s.do(t, "PUT", "/api/v1/config", `{}`, `If-Match: "9"`)
	s.do(t, "POST", "/api/v1/breakers/zerion/trip", `{"reason":"why not"}`)
	s.do(t, "DELETE", "/api/v1/everything", ``)
	s.do(t, "GET", "/api/v1/config", "")
	want := []string{
		"INFO published 200 PUT /api/v1/limits/global zoe dry=false 1>2 slow ",
		"INFO unchanged 200 PUT /api/v1/limits/global admin dry=false 2>2  ",
		"INFO dry_run 200 PUT /api/v1/limits/global admin dry=true 2>0  ",
		"WARN refused 400 PUT /api/v1/limits/global admin dry=false 2>0  Bad Request",
		"WARN refused 401 PUT /api/v1/limits/global eve dry=false 0>0  Unauthorized",
		"WARN refused 403 PUT /api/v1/limits/global  dry=false 0>0  Forbidden",
		"WARN refused 412 PUT /api/v1/config admin dry=false 2>0  Precondition Failed",
		"INFO done 200 POST /api/v1/breakers/zerion/trip admin dry=false 0>0 why not ",
		"WARN refused 404 DELETE /api/v1/everything  dry=false 0>0  Not Found",
	}
	lines := s.log.audits(t)
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d: %v", len(lines), len(want), lines)
	}
	for i, line := range lines {
		refusal, _ := line["refusal"].(string)
		got := fmt.Sprint(line["level"], " ", line["result"], " ", line["status"], " ", line["method"], " ", line["path"], " ", line["author"],
			" dry=", line["dry_run"], " ", line["revision_from"], ">", line["revision_to"], " ", line["reason"], " ", refusal)
		if got != want[i] {
			t.Errorf("line %d is %q, want %q", i, got, want[i])
		}
		if line["peer"] != "127.0.0.1" {
			t.Errorf("line %d has peer %v", i, line["peer"])
		}
	}
	if strings.Contains(s.log.String(), "canary") {
		t.Errorf("the log has a token or a body: %s", s.log)
	}
}

func TestObserve(t *testing.T) {
	s := start(t, nil)
	for _, row := range []struct {
		method, path string
		want         observed
	}{
		{"GET", "/api/v1/config", observed{"GET", "/api/v1/config", 200}},
		{"DELETE", "/api/v1/nodes/n9", observed{"DELETE", "/api/v1/nodes/{id}", 404}},
		{"GET", "/", observed{"GET", "/", 302}},
		{"GET", "/secret/path", observed{"GET", "none", 404}},
		{"BREW", "/health", observed{"other", "none", 405}},
	} {
		s.do(t, row.method, row.path, "")
		if got := <-s.seen; got != row.want {
			t.Errorf("%s %s observed as %v, want %v", row.method, row.path, got, row.want)
		}
	}
}
