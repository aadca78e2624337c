package fakeprovider

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const demoBasic = "Basic ZGVtby16ZXJpb24ta2V5Og==" // demo-zerion-key:

func start(t testing.TB) *Server {
	t.Helper()
	s := New(Options{Logf: t.Logf})
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// client keeps connections to one server only and follows no redirects.
func client(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// newRequest takes headers as name, value, name, value, ...
func newRequest(t testing.TB, method, url, body string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header[headers[i]] = append(r.Header[headers[i]], headers[i+1])
	}
	return r
}

// ask answers a request by the handler alone, without a network.
func ask(s *Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func get(s *Server, path string) *httptest.ResponseRecorder {
	return ask(s, httptest.NewRequest("GET", path, nil))
}

// eventually polls for a state that the other end of a connection brings about.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !reached(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestStartAndClose(t *testing.T) {
	s := New(Options{})
	if s.Addr() != "" {
		t.Errorf("Addr before Start = %q", s.Addr())
	}
	if err := s.Start("256.0.0.1:0"); err == nil {
		t.Error("Start at an impossible address succeeded")
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		t.Fatalf("Start after a failed one: %v", err)
	}
	if err := s.Start("127.0.0.1:0"); err == nil {
		t.Error("second Start succeeded")
	}
	var wg sync.WaitGroup
	for range 4 { // idempotent, also at the same time
		wg.Go(s.Close)
	}
	wg.Wait()
	if err := s.Start("127.0.0.1:0"); !errors.Is(err, ErrClosed) {
		t.Errorf("Start after Close = %v, want ErrClosed", err)
	}
	if w := get(s, "/test"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("request after Close: %d", w.Code)
	}
	New(Options{}).Close() // never started
}

// Close ends what would never end, and counts stay readable.
func TestCloseEndsEverything(t *testing.T) {
	s := start(t)
	c := client(t)
	if err := s.SetFault(Fault{Provider: "zerion", HangRate: 1}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, path := range []string{"/zerion/test", "/delay/60000", "/stream/1000000?interval=60s", "/bytes/1073741824"} {
		wg.Go(func() {
			response, err := c.Do(newRequest(t, "GET", "http://"+s.Addr()+path, ""))
			if err != nil {
				return
			}
			defer response.Body.Close()
			if strings.HasPrefix(path, "/bytes") {
				eventually(t, "server closed", func() bool { return s.Stats(Zerion).InFlight == 0 })
			}
			if _, err = io.Copy(io.Discard, response.Body); err == nil {
				t.Errorf("%s ended as if it were whole", path)
			}
		})
	}
	idle, err := net.Dial("tcp", s.Addr()) // a connection without a request
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	eventually(t, "four requests in flight", func() bool {
		return s.Stats(Zerion).InFlight == 1 && s.Stats(Unknown).InFlight == 3
	})
	s.Close()
	wg.Wait()
	for _, p := range []Provider{Zerion, Unknown} {
		if st := s.Stats(p); st.InFlight != 0 || st.Arrivals == 0 {
			t.Errorf("%v after Close: %d in flight, %d arrivals", p, st.InFlight, st.Arrivals)
		}
	}
}

// A client that goes away releases its request, read body or not.
func TestClientGone(t *testing.T) {
	s := start(t)
	if err := s.SetFault(Fault{Provider: "coingecko", HangRate: 1}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		provider Provider
		url      string
	}{
		{CoinGecko, "/coingecko/test"},
		{Unknown, "/delay/60000"},
		{Unknown, "/stream/1000?interval=60s"},
	} {
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			response, err := client(t).Do(newRequest(t, "POST", "http://"+s.Addr()+tt.url, "body").WithContext(ctx))
			if err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		}()
		eventually(t, "arrival of "+tt.url, func() bool { return s.Stats(tt.provider).InFlight == 1 })
		leave()
		<-done
		eventually(t, "release of "+tt.url, func() bool { return s.Stats(tt.provider).InFlight == 0 })
	}
}

// Connections are told apart: keep-alive keeps the number, a new one gets the next.
func TestConnectionNumbers(t *testing.T) {
	s := start(t)
	for range 2 {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		reader := bufio.NewReader(conn)
		for range 3 {
			_, _ = io.WriteString(conn, "POST /test HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody")
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
		}
		_ = conn.Close()
	}
	var numbers []uint32
	for _, a := range s.Arrivals(Unknown) {
		numbers = append(numbers, a.Conn)
	}
	want := []uint32{1, 1, 1, 2, 2, 2}
	for i := range want {
		if len(numbers) != len(want) || numbers[i] != want[i] {
			t.Fatalf("connections %v, want %v", numbers, want)
		}
	}
}

// "OPTIONS *" and absolute-form targets are arrivals like all others.
func TestOddRequestTargets(t *testing.T) {
	s := start(t)
	for _, tt := range []struct {
		line   string
		status int
	}{
		{"OPTIONS * HTTP/1.1", 404},
		{"GET http://x/test HTTP/1.1", 200},
		{"GET //test HTTP/1.1", 404},
		{"GET /a/../test HTTP/1.1", 404},
		{"BREW /test HTTP/1.1", 200},
	} {
		conn, err := net.Dial("tcp", s.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, tt.line+"\r\nHost: x\r\n\r\n")
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || response.StatusCode != tt.status {
			t.Errorf("%s: %v %v, want %d", tt.line, response, err, tt.status)
		}
		_ = conn.Close()
	}
	if st := s.Stats(Unknown); st.Arrivals != 5 || st.ByMethod["other"] != 1 || st.ByPath["/a/../test"] != 1 {
		t.Errorf("stats %+v", st)
	}
}

// No request makes the server panic, lose count or show a key.
func FuzzServe(f *testing.F) {
	f.Add("GET", "/zerion/v1/wallets/0x/portfolio", "Authorization", demoBasic, "")
	f.Add("POST", "/v2/demo-alchemy-key", "X", "", `[{"id":1,"method":"eth_chainId"},null,3]`)
	f.Add("GET", "/coingecko/api/v3/simple/price?ids=bitcoin&vs_currencies=usd", "X-Cg-Pro-Api-Key", DemoCoinGeckoKey, "")
	f.Add("GET", "/alchemy/%762/demo-alchemy-key/headers?x=demo-zerion-key", "Connection", DemoAlchemyKey, "")
	f.Add("POST", "/_control/faults", "", "", `{"provider":"","error_rate":1}`)
	f.Add("GET", "/stream/3?interval=0s&sse=1", "Cookie", "a", "")
	f.Add("PUT", "/echo", "Content-Type", "a/b", "body")
	f.Fuzz(func(t *testing.T, method, target, name, value, body string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(
			method + " " + target + " HTTP/1.1\r\nHost: x\r\n" + name + ": " + value + "\r\n\r\n")))
		if err != nil || strings.Contains(target, "delay") || strings.Contains(target, "interval") || strings.Contains(target, "bytes") {
			return // waits and gigabytes have tests of their own
		}
		r.Body = io.NopCloser(strings.NewReader(body))
		s := New(Options{})
		w := ask(s, r)
		for _, key := range []string{DemoZerionKey, DemoCoinGeckoKey, DemoAlchemyKey} {
			if strings.Contains(w.Body.String(), key) && !strings.Contains(body, key) {
				t.Errorf("the answer shows %s: %s", key, w.Body)
			}
		}
		var arrivals, recorded int64
		for p := range Provider(numProviders) {
			st := s.Stats(p)
			arrivals += st.Arrivals
			for _, n := range st.ByStatus {
				recorded += n
			}
			if st.InFlight != 0 || st.Authorized+st.Unauthorized != st.Arrivals {
				t.Errorf("%v: %+v", p, st)
			}
		}
		if control := strings.HasPrefix(r.URL.Path, controlPrefix); control == (arrivals == 1) || recorded > arrivals {
			t.Errorf("control %v: %d arrivals, %d statuses", control, arrivals, recorded)
		}
	})
}

func BenchmarkServe(b *testing.B) {
	s := start(b)
	c := client(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := c.Do(newRequest(b, "GET", "http://"+s.Addr()+"/zerion/test", "", "Authorization", demoBasic))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, response.Body)
			_ = response.Body.Close()
		}
	})
}

func BenchmarkLedger(b *testing.B) {
	var l ledger
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			seq := l.begin(arrival{ns: 1, authorized: true}, "/v1/wallets/0x/portfolio")
			l.answered(seq, 200)
			l.end()
		}
	})
}
