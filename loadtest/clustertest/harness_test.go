// Package clustertest tries a whole cluster from outside: a real controller with
// its NATS, real nodes, and the fake providers as the oracle. Where a process must
// be killed or frozen it runs the programs themselves.
//
// A few tests take longer when APIPROXY_LONG is set: outages of 20 s instead of 3,
// and 20 kills instead of 4.
package clustertest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/loadtest/process"
	"apiproxy.internal/shared/config"
)

// Nothing outlives a stopped cluster but two goroutines of fasthttp: the cleaner
// of its workers, which looks every ten seconds whether it may end, and the one
// that formats the date for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) { process.Clean(); os.Exit(code) }),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// long reports whether the tests may take their time.
func long() bool { return os.Getenv("APIPROXY_LONG") != "" }

// patience is how long anything that has to happen may take on a loaded machine.
const patience = 60 * time.Second

// token is the admin token of all controllers here.
const token = "open-sesame"

// highLimits are limits that no test reaches by accident, so that a refusal is
// news.
const highLimits = `
rate_limit:
  global: {rate: 1000000}
  per_ip: {rate: 1000000}
  per_provider: {zerion: {rate: 1000000}, coingecko: {rate: 1000000}, alchemy: {rate: 1000000}}
`

// bench is a running cluster and a client for it.
type bench struct {
	*cluster.Cluster
	*client
	dir string
}

// start runs a controller and nodes with a configuration and waits until all of
// them follow it.
func start(t testing.TB, nodes int, yaml string, changes ...func(o *cluster.Options)) *bench {
	t.Helper()
	doc := uncached(t, yaml)
	dir := t.TempDir()
	o := cluster.Options{
		Nodes: nodes, Listen: "127.0.0.1:0", ProviderListen: "127.0.0.1:0", ControlListen: "127.0.0.1:0", Token: token,
		Config: doc, Dir: dir, LogDir: dir,
		Node: func(_ int, o *node.Options) { o.DrainDelay = 0 },
	}
	for _, change := range changes {
		change(&o)
	}
	c, err := cluster.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Cluster: c, client: newClient(t, func() string { return c.ControlURL() }), dir: dir}
	t.Cleanup(func() {
		b.close()
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	b.converged(nodes)
	return b
}

// uncached is a configuration without a cache: what is asked for here must arrive.
func uncached(t testing.TB, yaml string) *config.Document {
	t.Helper()
	doc, _, err := config.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	doc.Proxy.CacheSize = 0
	return doc
}

func relays(o *cluster.Options) { o.Relays = true }

// converged waits until that many nodes follow the controller at its newest
// revision.
func (b *bench) converged(nodes int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.WaitConverged(ctx, nodes); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) fault(f fakeprovider.Fault) {
	b.t.Helper()
	if err := b.Provider.SetFault(f); err != nil {
		b.t.Fatal(err)
	}
}

// client speaks HTTP with nodes and the controller.
type client struct {
	t         testing.TB
	http      *http.Client
	transport *http.Transport
	control   func() string // base URL of the controller
}

func newClient(t testing.TB, control func() string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 100}
	return &client{t, &http.Client{Transport: transport, Timeout: patience}, transport, control}
}

func (c *client) close() { c.transport.CloseIdleConnections() }

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (c *client) try(method, url, body string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// get sends one request to a node.
func (c *client) get(url string) answer {
	c.t.Helper()
	a, err := c.try("GET", url, "")
	if err != nil {
		c.t.Errorf("GET %s: %v", url, err)
	}
	return a
}

// api calls the controller; the answer must be a 2xx.
func (c *client) api(method, path, body string, header ...string) answer {
	c.t.Helper()
	a, err := c.try(method, c.control()+path, body, append(header, "Authorization", "Bearer "+token)...)
	if err != nil || a.status/100 != 2 {
		c.t.Fatalf("%s %s: %d %s %v", method, path, a.status, a.body, err)
	}
	return a
}

// outcome is what a change answers.
type outcome struct {
	Revision uint64 `json:"revision"`
	Nodes    int    `json:"nodes"`
	Applied  int    `json:"applied"`
	Pending  []struct {
		ID     string `json:"id"`
		Reason string `json:"reason"`
	} `json:"pending"`
}

// change puts or patches something.
func (c *client) change(method, path, body string, header ...string) (o outcome) {
	c.t.Helper()
	decode(c.t, c.api(method, path, body, header...).body, &o)
	return o
}

func decode(t testing.TB, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
}

// breakerView is a breaker as the API shows it.
type breakerView struct {
	State  string `json:"state"`
	Forced *struct {
		State, Reason, Author string
		Until                 *time.Time
	} `json:"forced"`
}

func (c *client) breaker(provider string) breakerView {
	c.t.Helper()
	var all struct{ Breakers map[string]breakerView }
	decode(c.t, c.api("GET", "/api/v1/breakers", "").body, &all)
	return all.Breakers[provider]
}

// metric is the value of a series at a node or controller; absent is 0.
func (c *client) metric(base, series string) (value float64) {
	c.t.Helper()
	for line := range strings.Lines(c.get(base + "/metrics").body) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			if _, err := fmt.Sscan(rest, &value); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	return value
}

// eventually polls until ok; what it waited for is in the failure.
func (c *client) eventually(what string, ok func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	c.t.Fatalf("waited in vain for: %s", what)
}

// traffic sends requests to all nodes, evenly and without end, until it is ended.
type traffic struct {
	sent   atomic.Int64
	mu     sync.Mutex
	failed map[string]int // by node, status and error
	stop   chan struct{}
	done   sync.WaitGroup
}

// send begins traffic of about rate requests per second over urls.
func (c *client) send(rate int, urls ...string) *traffic {
	tr := &traffic{failed: map[string]int{}, stop: make(chan struct{})}
	const senders = 4
	for s := range senders {
		tr.done.Go(func() {
			tick := time.NewTicker(time.Second * senders / time.Duration(rate))
			defer tick.Stop()
			for i := s; ; i++ {
				select {
				case <-tr.stop:
					return
				case <-tick.C:
				}
				url := urls[i%len(urls)]
				a, err := c.try("GET", url, "")
				tr.sent.Add(1)
				if err != nil || a.status != http.StatusOK {
					tr.mu.Lock()
					tr.failed[fmt.Sprintf("%s: %d %s %v", url, a.status, a.body, err)]++
					tr.mu.Unlock()
				}
			}
		})
	}
	return tr
}

// end stops the traffic when there was enough of it, and fails the test if a request
// failed. A fast machine is through with a test before much was sent.
func (tr *traffic) end(t testing.TB, atLeast int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); tr.sent.Load() < atLeast && time.Now().Before(deadline); {
		<-time.After(5 * time.Millisecond)
	}
	close(tr.stop)
	tr.done.Wait()
	for what, n := range tr.failed {
		t.Errorf("%d times: %s", n, what)
	}
	t.Logf("%d requests", tr.sent.Load())
	if n := tr.sent.Load(); n < atLeast {
		t.Errorf("only %d requests were sent, want %d at least", n, atLeast)
	}
}

// urls are the addresses of a path at all nodes.
func (b *bench) urls(path string) (all []string) {
	for i := range b.Nodes {
		all = append(all, b.URL(i)+path)
	}
	return all
}

// burst sends n requests to a URL at once and counts the statuses.
func (c *client) burst(n int, url string) map[int]int {
	c.t.Helper()
	statuses := make([]int, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			statuses[i] = c.get(url).status
		})
	}
	close(begin)
	wg.Wait()
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	return count
}

// log is what a node or the controller has logged.
func (b *bench) log(who, file string) string {
	b.t.Helper()
	text, err := os.ReadFile(filepath.Join(b.dir, who, file))
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// forget removes all that the controller, which has been stopped, has on disk.
func (b *bench) forget(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(b.dir, "controller")); err != nil {
		t.Fatal(err)
	}
}
