package proxy

import (
	"encoding/json"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
	"apiproxy.internal/shared/config"
)

// What the node answers by itself, each as a problem document. None of these
// reaches the upstream.
func TestRefusals(t *testing.T) {
	type row struct {
		name   string
		change func(*config.Document)
		raw    string
		status int
		kind   verdict.ErrorType
	}
	get := func(target, more string) string {
		return "GET " + target + " HTTP/1.1\r\nHost: proxy\r\n" + more + "\r\n"
	}
	noLimit := func(*config.Document) {}
	for _, r := range []row{
		{"an unknown prefix", noLimit, get("/other/x", ""), 404, verdict.NotFound},
		{"a prefix that only begins alike", noLimit, get("/apis/x", ""), 404, verdict.NotFound},
		{"a dot segment", noLimit, get("/api/../x", ""), 400, verdict.Malformed},
		{"an encoded dot segment", noLimit, get("/api/%2e%2E/x", ""), 400, verdict.Malformed},
		{"an absolute-form target", noLimit, get("http://proxy/api/x", ""), 400, verdict.Malformed},
		{"a folded header", noLimit, get("/api/x", "A: b\r\n c\r\n"), 400, verdict.Malformed},
		{"a header without a colon", noLimit, get("/api/x", "Abc\r\n"), 400, verdict.Malformed},
		{"an upgrade", noLimit, get("/api/x", "Connection: upgrade\r\nUpgrade: websocket\r\n"), 501, verdict.Malformed},
		{"an expectation that nobody knows", noLimit, get("/api/x", "Expect: coffee\r\n"), 417, verdict.Malformed},
		{"TRACE", noLimit, "TRACE /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n", 405, verdict.Malformed},
		{"a target of 65 KiB", noLimit, get("/api/"+strings.Repeat("a", 65<<10), ""), 414, verdict.Malformed},
		{"headers just over 64 KiB", noLimit, get("/api/x", "A: "+strings.Repeat("a", 64<<10-10)+"\r\n"), 431, verdict.Malformed},
		{"headers of 70 KiB", noLimit, get("/api/x", "A: "+strings.Repeat("a", 70<<10)+"\r\n"), 431, verdict.Malformed},
		{"a body that is declared too large",
			func(d *config.Document) { d.Proxy.MaxBodySize = 100 },
			"POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 101\r\n\r\n", 413, verdict.RequestTooLarge},
		{"a chunked body that grows too large",
			func(d *config.Document) { d.Proxy.MaxBodySize = 3 },
			"POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", 413, verdict.RequestTooLarge},
		{"a broken chunk",
			noLimit, "POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, verdict.Malformed},
		{"an address that is not on the list",
			func(d *config.Document) { d.Proxy.AllowedIPs = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
			get("/api/x", ""), 403, verdict.Forbidden},
		{"a rate of zero",
			func(d *config.Document) {
				d.RateLimit.PerProvider = map[string]*config.Limit{"api": {Burst: 1}}
			}, get("/api/x", ""), 429, verdict.RateLimit},
	} {
		t.Run(r.name, func(t *testing.T) {
			b := newBench(t, func(net.Conn) { t.Error("the upstream was called") }, r.change)
			resp, body := b.do(r.raw)
			var problem struct {
				Type, Title, Detail string
				Status              int
				ErrorType           string `json:"error_type"`
				Provider            string
				RequestID           string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(body), &problem); err != nil {
				t.Fatalf("%v in %q", err, body)
			}
			if resp.StatusCode != r.status || problem.Status != r.status || problem.ErrorType != r.kind.String() {
				t.Errorf("got %d %+v, want %d %s", resp.StatusCode, problem, r.status, r.kind)
			}
			if problem.RequestID == "" || problem.RequestID != resp.Header.Get("X-Proxy-Request-ID") || problem.Detail == "" || problem.Title == "" {
				t.Errorf("incomplete: %+v, %v", problem, resp.Header)
			}
			if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
				t.Errorf("Content-Type %q", got)
			}
			if line := b.lines(1)[0]; !strings.Contains(line, `"error_type":"`+r.kind.String()+`"`) {
				t.Errorf("log: %s", line)
			}
		})
	}
}

// What goes upstream and what comes back.
func TestForwarding(t *testing.T) {
	var heads []string
	b := newBench(t, replies(&heads, "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-Own: 1\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"+
		"Keep-Alive: 5\r\nX-Provider: evil\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nLocation: https://up/?k=canary-key-1234\r\n"+
		"RateLimit: theirs\r\nCache-Status: theirs; hit\r\nContent-Length: 5\r\n\r\nhello"), limited)
	resp, body := b.do("POST /api/a//b%2Fc?x=1&y=%20 HTTP/1.1\r\nHost: proxy\r\nX-Request-ID: my-id_1\r\nX-key: theirs\r\n" +
		"Cookie: c\r\nConnection: close, X-Gone\r\nX-Gone: 1\r\nX-Kept: v\r\nX_Under: 1\r\nX-Forwarded-For: 1.2.3.4\r\nContent-Length: 3\r\n\r\nabc")
	want := "POST /a//b%2Fc?x=1&y=%20 HTTP/1.1\r\nHost: " + b.upstream.addr + "\r\nX-Kept: v\r\nX-Key: canary-key-1234\r\nContent-Length: 3\r\n\r\nabc"
	if len(heads) != 1 || heads[0] != want {
		t.Errorf("upstream got\n%q\nwant\n%q", heads, want)
	}
	if resp.StatusCode != 201 || body != "hello" {
		t.Errorf("client got %d %q", resp.StatusCode, body)
	}
	for name, want := range map[string]string{
		"X-Own": "1", "X-Hop": "", "Keep-Alive": "", "X-Provider": "api", "X-Proxy-Request-Id": "my-id_1",
		"Location": "https://up/?k=redacted", "Ratelimit-Policy": `"per_ip";q=1000000000;w=2`,
		"Cache-Status": "theirs; hit|api-proxy; fwd=bypass", "Set-Cookie": "a=1|b=2", "Content-Type": "text/plain",
	} {
		if got := strings.Join(resp.Header.Values(name), "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if line := b.lines(1)[0]; !strings.Contains(line, `"client_ip":"1.2.3.4"`) || !strings.Contains(line, `"bytes_in":3,"bytes_out":5`) ||
		!strings.Contains(line, `"path":"/api/a//b%2Fc"`) || strings.Contains(line, "y=") {
		t.Errorf("log: %s", line)
	}
}

// Answers that have no body, or announce one that is not sent.
func TestBodilessAnswers(t *testing.T) {
	b := newBench(t, replies(nil,
		"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
		"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), nil)
	for _, row := range []struct {
		method string
		status int
		length string
	}{{"HEAD", 200, "1234"}, {"GET", 304, ""}, {"GET", 204, ""}, {"GET", 200, "0"}} {
		resp, body := b.do(row.method + " /api/x HTTP/1.1\r\nHost: proxy\r\n\r\n")
		if resp.StatusCode != row.status || body != "" || resp.Header.Get("Content-Length") != row.length {
			t.Errorf("%s: %d %q, Content-Length %q; want %d and %q", row.method, resp.StatusCode, body, resp.Header.Get("Content-Length"), row.status, row.length)
		}
	}
}

// A large, an unknown-length and an event-stream answer arrive whole, in the
// framing that they need, and are recorded once with their size.
func TestStreamedAnswers(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 10<<10)
	b := newBench(t, replies(nil,
		"HTTP/1.1 200 OK\r\nContent-Length: 163840\r\n\r\n"+large,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 9\r\n\r\ndata: 1\n\n"), nil)
	for i, want := range []string{large, "hello!", "data: 1\n\n"} {
		resp, body := b.get("/api/x")
		if resp.StatusCode != 200 || body != want {
			t.Errorf("answer %d: %d with %d bytes, want %d bytes", i, resp.StatusCode, len(body), len(want))
		}
		if len(resp.Trailer) != 0 {
			t.Errorf("trailer: %v", resp.Trailer)
		}
	}
	b.proxyIdle()
	log := strings.Join(b.lines(3), "\n") // in any order: a line comes after the client has its body
	for _, size := range []string{`"bytes_out":163840,`, `"bytes_out":6,`, `"bytes_out":9,`} {
		if strings.Count(log, size) != 1 {
			t.Errorf("not one %s in\n%s", size, log)
		}
	}
}

// A client of HTTP/1.0 knows no chunks: the answer ends with the connection.
func TestStreamToHTTP10(t *testing.T) {
	b := newBench(t, replies(nil, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n"), nil)
	resp, body := b.do("GET /api/x HTTP/1.0\r\nHost: proxy\r\nConnection: keep-alive\r\n\r\n")
	if resp.StatusCode != 200 || body != "hello!" || len(resp.TransferEncoding) > 0 || !resp.Close || resp.ContentLength != -1 {
		t.Errorf("%d %q %v, close %t, length %d", resp.StatusCode, body, resp.TransferEncoding, resp.Close, resp.ContentLength)
	}
	b.proxyIdle()
	if line := b.lines(1)[0]; !strings.Contains(line, `"status":200`) || !strings.Contains(line, `"bytes_out":6,`) || !strings.Contains(line, `"error_type":""`) {
		t.Errorf("log: %s", line)
	}
}

// A truncated answer never looks complete: one that is held in memory becomes a
// 502, one that is streamed breaks.
func TestTruncatedAnswers(t *testing.T) {
	short := "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"
	long := "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc"
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"
	for _, row := range []struct {
		reply  string
		status int
	}{{short, 502}, {long, 200}, {chunked, 200}} {
		b := newBench(t, func(c net.Conn) {
			buf := make([]byte, 4096)
			_, _ = c.Read(buf)
			_, _ = io.WriteString(c, row.reply)
		}, nil)
		resp, body := b.get("/api/x")
		if resp.StatusCode != row.status || row.status == 200 && !strings.Contains(body, "unexpected EOF") {
			t.Errorf("%.50q: %d %q, want %d and a broken body", row.reply, resp.StatusCode, body, row.status)
		}
		if line := b.lines(1)[0]; !strings.Contains(line, `"error_type":"connection_broken"`) {
			t.Errorf("log: %s", line)
		}
		if got := b.snap.Plans[0].Breaker.Stats(0).Failures; got == 0 {
			t.Error("the breaker did not hear of it")
		}
	}
}

// An idle connection that the upstream closed is no failure: the request goes
// out again on a fresh one, uncharged and uncounted.
func TestStaleConnectionIsResent(t *testing.T) {
	var heads []string
	b := newBench(t, replies(&heads, okReply, "", okReply), func(d *config.Document) {
		d.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: mustRate(t, "1/h"), Burst: 2}}
	})
	for range 2 {
		if resp, body := b.get("/api/x"); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
	stats := b.snap.Plans[0].Breaker.Stats(0)
	if len(heads) != 3 || stats.Failures != 0 {
		t.Errorf("%d requests arrived and %d failures counted, want 3 and 0", len(heads), stats.Failures)
	}
	if resp, _ := b.get("/api/x"); resp.StatusCode != 429 {
		t.Errorf("the third request got %d, want 429: two were charged", resp.StatusCode)
	}
}

// The upstream's own answer passes when retries are used up, and its Retry-After
// with it.
func TestLastAnswerPasses(t *testing.T) {
	var heads []string
	b := newBench(t, replies(&heads, errorReply), nil)
	resp, body := b.get("/api/x")
	if resp.StatusCode != 503 || body != "busy" || len(heads) != 3 {
		t.Errorf("%d %q after %d attempts, want the provider's 503 after 3", resp.StatusCode, body, len(heads))
	}
	if line := b.lines(1)[0]; !strings.Contains(line, `"attempts":3`) || !strings.Contains(line, `"error_type":"upstream_5xx"`) {
		t.Errorf("log: %s", line)
	}
}

// No answer at all: 502 or 504 by what went wrong.
func TestUnansweredRequests(t *testing.T) {
	refused := newRawUpstream(t, loopbackNetwork{}, func(net.Conn) {})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedAddr := l.Addr().String()
	_ = l.Close()
	for _, row := range []struct {
		name   string
		serve  func(net.Conn)
		addr   string
		status int
		kind   verdict.ErrorType
	}{
		{"nobody listens", nil, closedAddr, 502, verdict.ConnectionRefused},
		{"it closes at once", func(net.Conn) {}, refused.addr, 502, verdict.ConnectionBroken},
		{"it says nothing", func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, "", 504, verdict.Timeout},
		{"it speaks another protocol", replies(nil, "SSH-2.0-OpenSSH\r\n\r\n"), "", 502, verdict.ConnectionBroken},
		{"contradictory framing", replies(nil, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "", 502, verdict.ConnectionBroken},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := newBench(t, row.serve, func(d *config.Document) {
				p := d.Providers["api"]
				p.Retry.Times = 0
				p.Timeout.Read = config.Duration(50 * time.Millisecond)
				if row.addr != "" {
					p.Upstream = "http://" + row.addr
				}
				d.Providers["api"] = p
			})
			resp, body := b.get("/api/x")
			if resp.StatusCode != row.status || !strings.Contains(body, row.kind.String()) {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, body, row.status, row.kind)
			}
		})
	}
}

// A large request body is streamed, framed as it came, and is not sent twice.
func TestStreamedRequests(t *testing.T) {
	large := strings.Repeat("x", 200<<10)
	var heads []string
	b := newBench(t, replies(&heads, errorReply, okReply), nil)
	resp, _ := b.do("PUT /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 204800\r\n\r\n" + large)
	if resp.StatusCode != 503 || len(heads) != 1 || !strings.HasSuffix(heads[0], large) {
		t.Errorf("%d after %d attempts, want the 503 of the only one, with the whole body", resp.StatusCode, len(heads))
	}
	// A small chunked body is held, so it gets a length and may be sent again.
	heads = nil
	resp, _ = b.do("PUT /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	if resp.StatusCode != 200 || len(heads) != 1 || !strings.HasSuffix(heads[0], "Content-Length: 5\r\n\r\nabcde") {
		t.Errorf("%d, upstream got %q", resp.StatusCode, heads)
	}
}

// A body that waits for "100 Continue" is asked for only if it would be taken.
func TestExpectContinue(t *testing.T) {
	b := newBench(t, replies(nil, okReply), func(d *config.Document) {
		d.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: mustRate(t, "1/h"), Burst: 1}}
	})
	head := "POST /api/x HTTP/1.1\r\nHost: proxy\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, head)
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil || string(buf[:n]) != "HTTP/1.1 100 Continue\r\n\r\n" {
		t.Fatalf("%q %v", buf[:n], err)
	}
	_, _ = io.WriteString(conn, "abc")
	if n, err = conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 200 ") {
		t.Errorf("%q %v", buf[:n], err)
	}
	if resp, body := b.do(head); resp.StatusCode != 429 || !strings.Contains(body, "rate_limit") {
		t.Errorf("over the limit: %d %s, want 429 without a 100", resp.StatusCode, body)
	}
	if got := b.proxy.InFlight(); got != 0 {
		t.Errorf("%d in flight", got)
	}
	if lines := b.lines(2); len(lines) != 2 {
		t.Errorf("%d log lines for 2 requests", len(lines))
	}
}

// A client that asks for leave to send a body and goes away leaves nothing
// behind: no slot, no token, and one line in the log.
func TestExpectingClientsThatLeave(t *testing.T) {
	b := newBench(t, replies(nil, okReply), func(d *config.Document) {
		d.RateLimit.PerProvider = map[string]*config.Limit{"api": {Rate: mustRate(t, "1/h"), Burst: 1}}
	})
	for range 20 {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "POST /api/x HTTP/1.1\r\nHost: proxy\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
		buf := make([]byte, 100)
		if n, err := conn.Read(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 100 ") {
			t.Fatalf("%q %v", buf[:n], err)
		}
		_ = conn.(*net.TCPConn).SetLinger(0)
		_ = conn.Close()
		b.proxyIdle()
	}
	lines := b.lines(20)
	if len(lines) != 20 || !strings.Contains(lines[19], `"method":"POST","path":"/api/x","status":408`) || !strings.Contains(lines[19], `"error_type":"client_gone"`) {
		t.Errorf("%d log lines, the last is %s", len(lines), lines[len(lines)-1])
	}
	if resp, body := b.get("/api/x"); resp.StatusCode != 200 {
		t.Errorf("the only token was spent on clients that left: %d %s", resp.StatusCode, body)
	}
}

func mustRate(t *testing.T, text string) config.Rate {
	t.Helper()
	r, err := config.ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
