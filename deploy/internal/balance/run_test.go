package balance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A stand is a real nginx pair in front of stand-in nodes on 127.0.0.x.
type stand struct {
	t     *testing.T
	url   string
	tls   string
	port  int
	mu    sync.Mutex
	names map[string][]netip.Addr // what the names resolve to
	dead  atomic.Bool
}

// fakeNode answers with its name; draining makes it ask to be left alone.
type fakeNode struct {
	*httptest.Server
	name     string
	draining atomic.Bool
	served   atomic.Int64
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs the balancer; method is LB_METHOD.
func start(t *testing.T, method string) *stand {
	t.Helper()
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nginx is not installed")
		}
		t.Skip("SKIP: nginx is not installed")
	}
	s := &stand{t: t, port: freePort(t), names: map[string][]netip.Addr{}}
	cert, key := certificate(t)
	front, frontTLS := freePort(t), freePort(t)
	settings := Settings{
		Nodes: fmt.Sprintf("nodes:%d", s.port), Control: fmt.Sprintf("control:%d", s.port), ByClient: method == "hash",
		Listen: fmt.Sprintf("127.0.0.1:%d", front), ListenTLS: fmt.Sprintf("127.0.0.1:%d", frontTLS),
		TLSCert: cert, TLSKey: key, Dir: shortDir(t), Nginx: nginx,
		lookup: func(_ context.Context, _, host string) ([]netip.Addr, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			if len(s.names[host]) == 0 {
				return nil, fmt.Errorf("%s is not known", host)
			}
			return slices.Clone(s.names[host]), nil
		},
	}
	s.url, s.tls = "http://"+settings.Listen, "https://"+settings.ListenTLS
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := Run(ctx, settings, nil, slog.New(slog.NewTextHandler(t.Output(), nil)))
		s.dead.Store(err != nil)
		ended <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the balancer: %v", err)
		}
	})
	s.eventually("the balancer answers", func() bool { code, _ := s.get("/lb-health"); return code == 200 })
	return s
}

// shortDir is a folder whose name leaves room for a socket's 107 bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are another user
		t.Fatal(err)
	}
	return dir
}

// node starts a stand-in at 127.0.0.i; control is one for the control plane.
func (s *stand) node(i int, name string) *fakeNode {
	s.t.Helper()
	addr := netip.AddrFrom4([4]byte{127, 0, 0, byte(i)})
	l, err := net.Listen("tcp", netip.AddrPortFrom(addr, uint16(s.port)).String())
	if err != nil {
		s.t.Fatal(err)
	}
	n := &fakeNode{name: fmt.Sprintf("%s-%d", name, i)}
	n.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(n.serve)}}
	n.Start()
	s.t.Cleanup(n.Close)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name] = append(s.names[name], addr)
	return n
}

func (n *fakeNode) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/ready" && n.draining.Load():
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case r.URL.Path == "/ready":
		return
	case r.URL.Path == "/steer":
		w.Header().Set("X-Accel-Redirect", "/lb-health")
	}
	n.served.Add(1)
	if n.draining.Load() {
		w.Header().Set("Connection", "close")
	}
	body, _ := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %s for=%s body=%d", n.name, r.Method, r.RequestURI, r.Header.Get("X-Forwarded-For"), len(body))
}

func (s *stand) get(path string, header ...string) (int, string) {
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.URL.Opaque, _, _ = strings.Cut(path, "?") // as it is
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func (s *stand) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && !s.dead.Load(); {
		if ok() {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain until %s", what)
}

// reaches waits until exactly these nodes answer.
func (s *stand) reaches(want ...string) {
	s.t.Helper()
	slices.Sort(want)
	s.eventually(fmt.Sprint("only these answer: ", want), func() bool {
		seen := map[string]bool{}
		for range 40 {
			_, body := s.get("/x")
			name, _, _ := strings.Cut(body, " ")
			seen[name] = true
		}
		got := make([]string, 0, len(seen))
		for name := range seen {
			got = append(got, name)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

func TestFollowsTheNodes(t *testing.T) {
	s := start(t, "least_conn")
	if code, body := s.get("/zerion/x"); code != 502 || !strings.Contains(body, "reaches no node") {
		t.Errorf("without nodes: %d %s", code, body)
	}
	one := s.node(2, "nodes")
	s.reaches("nodes-2")
	s.node(3, "nodes")
	s.reaches("nodes-2", "nodes-3")
	one.draining.Store(true)
	s.reaches("nodes-3")

	// /status: of a node without a control plane, else the cluster's.
	if code, body := s.get("/status"); code != 200 || !strings.HasPrefix(body, "nodes-3 ") {
		t.Errorf("/status without a control plane: %d %s", code, body)
	}
	control := s.node(4, "control")
	s.eventually("/status is the control plane's", func() bool { _, body := s.get("/status?format=json"); return strings.HasPrefix(body, "control-4 ") })
	control.Close()
	s.eventually("/status falls back", func() bool { _, body := s.get("/status"); return strings.HasPrefix(body, "nodes-3 ") })

	for _, row := range []struct{ what, path, want string }{
		{"bytes of a path stay", "/zerion//a%2fb/%41?x=1&x=%2F", "nodes-3 GET /zerion//a%2fb/%41?x=1&x=%2F for=127.0.0.1"},
		{"an answer does not steer the balancer", "/steer", "nodes-3 GET /steer"},
		{"/metrics is a node's", "/metrics", "nodes-3 GET /metrics"},
		{"/health is a node's", "/health", "nodes-3 GET /health"},
	} {
		if code, body := s.get(row.path); code != 200 || !strings.HasPrefix(body, row.want) {
			t.Errorf("%s: %d %s", row.what, code, body)
		}
	}
	if _, body := s.get("/x", "X-Forwarded-For", "9.9.9.9"); !strings.Contains(body, "for=127.0.0.1 ") {
		t.Errorf("a client chose its address: %s", body)
	}

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	resp, err := client.Get(s.tls + "/zerion/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Errorf("HTTPS: %s %d", resp.Proto, resp.StatusCode)
	}
}

// With hash a client stays at one node.
func TestByClient(t *testing.T) {
	s := start(t, "hash")
	s.node(2, "nodes")
	s.node(3, "nodes")
	s.eventually("a node answers", func() bool { code, _ := s.get("/x"); return code == 200 })
	for range 3 { // until both are known, the node may change
		<-time.After(interval)
	}
	_, first := s.get("/x")
	for range 50 {
		if _, body := s.get("/x"); body != first {
			t.Fatalf("%s, then %s", first, body)
		}
	}
}

// Nodes come and go under load; each POST arrives once, on connections that are
// kept, without a client that tries again.
func TestNothingIsLost(t *testing.T) {
	s := start(t, "least_conn")
	nodes := []*fakeNode{s.node(2, "nodes"), s.node(3, "nodes")}
	s.reaches("nodes-2", "nodes-3")
	for _, n := range nodes {
		n.served.Store(0)
	}
	var sent, lost atomic.Int64
	stop := make(chan struct{})
	var wg sync.WaitGroup
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	for range 8 {
		wg.Go(func() {
			client := &http.Client{Transport: transport}
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				sent.Add(1)
				// A reader that cannot be read twice: the client cannot try again.
				req, _ := http.NewRequest(http.MethodPost, s.url+"/x", io.MultiReader(strings.NewReader("body")))
				req.ContentLength = 4
				resp, err := client.Do(req)
				if err != nil {
					lost.Add(1)
					t.Logf("lost: %v", err)
					continue
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != 200 || !strings.HasSuffix(string(body), "body=4") {
					lost.Add(1)
					t.Logf("lost: %d %s", resp.StatusCode, body)
				}
			}
		})
	}
	for i := range 4 { // four times: one drains, comes back, the other drains
		n := nodes[i%2]
		before := n.served.Load()
		s.eventually("it serves", func() bool { return n.served.Load() > before })
		n.draining.Store(true)
		s.eventually("it is left alone", func() bool {
			before := n.served.Load()
			<-time.After(2 * interval)
			return n.served.Load() == before
		})
		n.draining.Store(false)
	}
	close(stop)
	wg.Wait()
	arrived := nodes[0].served.Load() + nodes[1].served.Load()
	if lost.Load() > 0 || arrived != sent.Load() {
		t.Errorf("%d sent, %d arrived, %d lost", sent.Load(), arrived, lost.Load())
	}
	t.Logf("%d sent, %d arrived", sent.Load(), arrived)
}

func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}
