package fakeprovider

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Generic endpoints: what is asked, what comes back.
func TestGenericEndpoints(t *testing.T) {
	for _, tt := range []struct {
		method, path string
		status       int
		body         string // a part of it
	}{
		{"GET", "/test", 200, `{"ok":true,"provider":"unknown"}`},
		{"DELETE", "/success", 200, `"ok":true`},
		{"PATCH", "/get?a=b", 200, `"query":"a=b"`},
		// Every status that makes sense; an informational one is followed by 200.
		{"GET", "/status/200", 200, `{"status":200}`},
		{"GET", "/status/418", 418, `{"status":418}`},
		{"GET", "/status/599", 599, `{"status":599}`},
		{"GET", "/status/101", 400, "no protocol"},
		{"GET", "/status/99", 400, "100..599"},
		{"GET", "/status/600", 400, "100..599"},
		{"GET", "/status/x", 400, "100..599"},
		{"GET", "/status/-1", 400, "100..599"},
		{"GET", "/delay/0", 200, `"delay_ms":0`},
		{"GET", "/delay/soon", 400, "must be a number"},
		{"GET", "/bytes/5", 200, "\x00\x01\x02\x03\x04"},
		{"GET", "/bytes/1073741825", 400, "0..1073741824"},
		{"GET", "/stream/3", 200, "chunk 0\nchunk 1\nchunk 2\n"},
		{"GET", "/stream/2?sse=1", 200, "id: 0\ndata: chunk 0\n\nid: 1\ndata: chunk 1\n\n"},
		{"GET", "/stream/1?interval=1", 400, "interval must be a duration"},
		{"GET", "/stream/1000001", 400, "0..1000000"},
		{"GET", "/redirect?to=https%3A%2F%2Fexample.com%2F", 302, ""},
		{"GET", "/redirect", 400, "say where"},
		{"GET", "/nowhere", 404, `{"error":"no such path"}`},
		{"GET", "/test/x", 404, "no such path"},
		{"GET", "/status/200/x", 400, "must be a number"},
	} {
		s := New(Options{})
		w := ask(s, httptest.NewRequest(tt.method, tt.path, strings.NewReader("a body")))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) {
			t.Errorf("%s %s: %d %q, want %d with %q", tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
		if st := s.Stats(Unknown); st.ByStatus[tt.status] != 1 || st.ByMethod[tt.method] != 1 {
			t.Errorf("%s %s: stats %+v", tt.method, tt.path, st)
		}
	}
}

// Errors and answers in the words of each provider.
func TestProviderEndpoints(t *testing.T) {
	zerion := []string{"Authorization", demoBasic}
	coinGecko := []string{"X-Cg-Pro-Api-Key", DemoCoinGeckoKey}
	for _, tt := range []struct {
		method, path string
		headers      []string
		status       int
		body         string
	}{
		{"GET", "/zerion/v1/wallets/0xabc/portfolio", zerion, 200, `"id":"0xabc","type":"portfolio"`},
		{"GET", "/zerion/v1/wallets//portfolio", zerion, 404, `{"errors":[{"detail":"no such path","title":"Not Found"}]}`},
		{"GET", "/zerion/v1/test", zerion, 200, `{"ok":true,"provider":"zerion"}`},
		{"GET", "/zerion/test", nil, 401, `"title":"Unauthorized"`},
		{"GET", "/api/v3/ping", coinGecko, 200, `{"gecko_says":"(V3) To the Moon!"}`},
		{"GET", "/api/v3/simple/price?ids=bitcoin,nocoin,tether&vs_currencies=usd,eur,xxx", coinGecko, 200,
			`{"bitcoin":{"eur":59800,"usd":65000},"tether":{"eur":0.92,"usd":1}}`},
		{"GET", "/api/v3/simple/price?ids=bitcoin", coinGecko, 422, "Missing parameter vs_currencies"},
		{"GET", "/api/v3/nothing", coinGecko, 404, `"error_code":404`},
		{"GET", "/api/v3/ping", nil, 401, `"error_code":10002`},
		{"GET", "/v2/" + DemoAlchemyKey, nil, 405, `"jsonrpc":"2.0"`},
		{"GET", "/v2/" + DemoAlchemyKey + "/nothing", nil, 404, `"jsonrpc":"2.0"`},
		{"POST", "/v2/wrong", nil, 401, "Must be authenticated!"},
	} {
		s := New(Options{})
		w := ask(s, newServerRequest(tt.method, tt.path, "", tt.headers...))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.body) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s: %d %s, want %d with %s", tt.method, tt.path, w.Code, w.Body, tt.status, tt.body)
		}
	}
}

func newServerRequest(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestJSONRPC(t *testing.T) {
	for _, tt := range []struct {
		request string
		status  int
		want    string
	}{
		{`{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber"}`, 200, `{"jsonrpc":"2.0","id":1,"result":"0x134e82a"}`},
		{`{"id":"a","method":"eth_chainId","params":[]}`, 200, `{"jsonrpc":"2.0","id":"a","result":"0x1"}`},
		{`{"id":1,"method":"eth_gasPrice"}`, 200, `{"jsonrpc":"2.0","id":1,"result":"0x37e11d600"}`},
		{`{"id":1,"method":"eth_getBalance","params":["0xabc","latest"]}`, 200, `{"jsonrpc":"2.0","id":1,"result":"0x1bc16d674ec80000"}`},
		{`{"id":1,"method":"eth_getBalance"}`, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"Invalid params: [address, block] is needed"}}`},
		// An explicit null is an id, a missing one makes a notification (§4.1).
		{`{"id":null,"method":"eth_chainId"}`, 200, `{"jsonrpc":"2.0","id":null,"result":"0x1"}`},
		{`{"method":"eth_chainId"}`, 204, ""},
		{`{"id":1,"method":"eth_nothing"}`, 200, `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"The method eth_nothing does not exist/is not available"}}`},
		{`{"id":1,`, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`},
		{``, 400, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}`},
		{`3`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request: an object with a method is needed"}}`},
		{`{"id":5}`, 200, `{"jsonrpc":"2.0","id":5,"error":{"code":-32600,"message":"Invalid request: an object with a method is needed"}}`},
		// Batches (§6): answers in order, none for notifications, one error for an empty one.
		{` [{"id":1,"method":"eth_chainId"},{"method":"eth_chainId"},{"id":2,"method":"x"}]`, 200,
			`[{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"The method x does not exist/is not available"}}]`},
		{`[{"method":"eth_chainId"}]`, 204, ""},
		{`[]`, 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid request: empty batch"}}`},
	} {
		w := ask(New(Options{}), newServerRequest("POST", "/v2/"+DemoAlchemyKey, tt.request))
		if got := strings.TrimSpace(w.Body.String()); w.Code != tt.status || got != tt.want {
			t.Errorf("%s\n got %d %s\nwant %d %s", tt.request, w.Code, got, tt.status, tt.want)
		}
	}
}

func TestJSONRPCBodyTooLarge(t *testing.T) {
	body := io.LimitReader(zeros{}, maxRPCBody+1)
	if w := ask(New(Options{}), httptest.NewRequest("POST", "/v2/"+DemoAlchemyKey+"/", body)); w.Code != 413 {
		t.Errorf("body over 16 MiB: %d", w.Code)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestHeadersAreEchoedInOrderWithoutKeys(t *testing.T) {
	s := New(Options{})
	r := newServerRequest("POST", "/zerion/headers", "", "B", "2", "B", "1", "A", "x "+DemoAlchemyKey,
		"Authorization", demoBasic, "X-Cg-Pro-Api-Key", "theirs")
	r.TransferEncoding = []string{"chunked"}
	want := `[["A","x ***"],["Authorization","***"],["B","2"],["B","1"],["Host","example.com"],["Transfer-Encoding","chunked"],["X-Cg-Pro-Api-Key","***"]]`
	if got := strings.TrimSpace(ask(s, r).Body.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	var described struct {
		Provider, Method, Path, Query string
		Headers                       map[string]string
	}
	w := ask(s, newServerRequest("PUT", "/alchemy/v2/"+DemoAlchemyKey+"/get?k="+DemoZerionKey, "", "B", "2", "B", "1"))
	if err := json.Unmarshal(w.Body.Bytes(), &described); err != nil {
		t.Fatal(err)
	}
	if d := described; d.Provider != "alchemy" || d.Method != "PUT" || d.Path != "/alchemy/v2/***/get" || d.Query != "k=***" || d.Headers["B"] != "2, 1" {
		t.Errorf("described as %+v", d)
	}
}

func TestRedirectIsVerbatim(t *testing.T) {
	w := get(New(Options{}), "/redirect?to="+"%2Fa%2F..%2Fb%3Fc")
	if got := w.Header().Get("Location"); got != "/a/../b?c" {
		t.Errorf("Location %q", got)
	}
}

func TestDelayIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		for _, tt := range []struct {
			path string
			want time.Duration
		}{
			{"/delay/20", 20 * time.Millisecond},
			{"/delay/60000", time.Minute},
			{"/delay/9223372036854775807", time.Minute},
			{"/stream/3?interval=10ms", 20 * time.Millisecond},
		} {
			begun := time.Now()
			if w := get(s, tt.path); w.Code != 200 || time.Since(begun) != tt.want {
				t.Errorf("%s: %d after %v, want %v", tt.path, w.Code, time.Since(begun), tt.want)
			}
		}
	})
}

// Over a connection: lengths, trailing state of the connection, bodiless answers.
func TestFraming(t *testing.T) {
	s := start(t)
	c := client(t)
	for _, tt := range []struct {
		method, path  string
		status        int
		contentLength int64
		contentType   string
		read          int64
	}{
		{"GET", "/bytes/1000000", 200, 1000000, "application/octet-stream", 1000000},
		{"HEAD", "/bytes/1073741824", 200, 1 << 30, "application/octet-stream", 0},
		{"GET", "/bytes/0", 200, 0, "application/octet-stream", 0},
		{"GET", "/stream/2", 200, -1, "text/plain; charset=utf-8", 16},
		{"GET", "/stream/0", 200, -1, "text/plain; charset=utf-8", 0},
		{"HEAD", "/stream/2", 200, -1, "text/plain; charset=utf-8", 0},
		{"GET", "/stream/1?sse=1", 200, -1, "text/event-stream", 21},
		{"GET", "/status/204", 204, 0, "application/json", 0},
		{"GET", "/status/304", 304, 0, "", 0},
		{"GET", "/status/103", 200, 15, "application/json", 15},
		{"HEAD", "/test", 200, 33, "application/json", 0},
		{"POST", "/test", 200, 33, "application/json", 33},
	} {
		body := ""
		if tt.method == "POST" {
			body = strings.Repeat("x", 3<<20) // read to its end, or the connection would break
		}
		response, err := c.Do(newRequest(t, tt.method, "http://"+s.Addr()+tt.path, body))
		if err != nil {
			t.Errorf("%s %s: %v", tt.method, tt.path, err)
			continue
		}
		n, err := io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != tt.status || n != tt.read ||
			response.ContentLength != tt.contentLength || response.Header.Get("Content-Type") != tt.contentType {
			t.Errorf("%s %s: %d, %d of %d bytes, %q, %v; want %+v", tt.method, tt.path, response.StatusCode,
				n, response.ContentLength, response.Header.Get("Content-Type"), err, tt)
		}
	}
	for _, a := range s.Arrivals(Unknown) {
		if a.Conn != 1 {
			t.Fatalf("%s %s needed a new connection", a.Method, a.Path)
		}
	}
}

func TestBytesArePredictable(t *testing.T) {
	s := start(t)
	response, err := client(t).Do(newRequest(t, "GET", "http://"+s.Addr()+"/bytes/300000", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || len(body) != 300000 {
		t.Fatalf("%d bytes, %v", len(body), err)
	}
	for i, b := range body {
		if b != byte(i%patternPeriod) {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestEcho(t *testing.T) {
	s := start(t)
	c := client(t)
	for _, size := range []int{0, 1, echoChunk, 1 << 20, echoAhead*echoChunk + 5<<20} {
		body := bytes.Repeat([]byte("0123456789abcde"), size/15+1)[:size]
		for _, chunked := range []bool{false, true} {
			r := newRequest(t, "PUT", "http://"+s.Addr()+"/echo", "", "Content-Type", "a/b")
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(size)
			if chunked {
				r.ContentLength = -1
			}
			response, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || !bytes.Equal(got, body) || response.Header.Get("Content-Type") != "a/b" {
				t.Errorf("%d bytes, chunked %v: %d came back, %v", size, chunked, len(got), err)
			}
		}
	}
}

// A chunk comes back before the next one is sent.
func TestEchoStreams(t *testing.T) {
	s := start(t)
	reader, writer := io.Pipe()
	r := newRequest(t, "POST", "http://"+s.Addr()+"/echo", "")
	r.Body, r.ContentLength = reader, -1
	go func() { _, _ = writer.Write([]byte("0")) }()
	response, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	one := make([]byte, 1)
	for i := range 50 {
		if _, err := io.ReadFull(response.Body, one); err != nil || one[0] != byte('0'+i) {
			t.Fatalf("chunk %d: %q, %v", i, one, err)
		}
		if _, err := writer.Write([]byte{byte('0' + i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	_ = writer.Close()
	if rest, err := io.ReadAll(response.Body); err != nil || len(rest) != 1 {
		t.Errorf("the end: %q, %v", rest, err)
	}
}

// A client that sends everything before it reads anything does not deadlock.
func TestEchoReadsAhead(t *testing.T) {
	s := start(t)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const size = 10 << 20
	_, _ = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: "+strconv.Itoa(size)+"\r\n\r\n")
	if _, err := io.CopyN(conn, zeros{}, size); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, response.Body); n != size || err != nil {
		t.Errorf("%d bytes came back, %v", n, err)
	}
}

// Half a body must not come back as a whole one.
func TestEchoOfBrokenBody(t *testing.T) {
	s := start(t)
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // reset before the first flush
	}
	if body, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("ended well with %q", body)
	}
}

// Behind a proxy that is not ours either: mount prefix and inference both work.
func TestBehindReverseProxy(t *testing.T) {
	s := start(t)
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.Out.URL.Scheme, r.Out.URL.Host = "http", s.Addr()
		r.Out.SetBasicAuth(DemoZerionKey, "")
	}})
	defer proxy.Close()
	for _, path := range []string{"/zerion/v1/wallets/0x1/portfolio", "/v1/wallets/0x1/portfolio", "/stream/10"} {
		response, err := client(t).Do(newRequest(t, "GET", proxy.URL+path, ""))
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != 200 {
			t.Errorf("%s: %d", path, response.StatusCode)
		}
	}
	if st := s.Stats(Zerion); st.Authorized != 3 || len(st.Leaks) != 0 {
		t.Errorf("stats %+v", st)
	}
}
