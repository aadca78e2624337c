// Package scenario tries whole nodes from outside: real listeners, real logs,
// and the fake providers as the oracle of what really arrived.
package scenario

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/config"
)

// Nothing outlives a stopped cluster but two goroutines of fasthttp: the cleaner
// of its workers, which looks every ten seconds whether it may end, and the one
// that formats the date for the whole process.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// bench is a running cluster and a client for it.
type bench struct {
	*cluster.Cluster
	t      *testing.T
	dir    string
	client *http.Client
}

// start runs nodes with the given YAML; sections that it leaves out have the
// defaults.
func start(t *testing.T, nodes int, yaml string) *bench {
	t.Helper()
	doc, _, err := config.Parse([]byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(yaml, "cache_") {
		doc.Proxy.CacheSize = 0 // what is counted at the providers must get there
	}
	dir := t.TempDir()
	c, err := cluster.Start(cluster.Options{
		Nodes: nodes, Listen: "127.0.0.1:0", ProviderListen: "127.0.0.1:0",
		Config: doc, Dir: dir, LogDir: dir,
		Node: func(_ int, o *node.Options) { o.DrainDelay, o.DebugAdmittedAt = 0, true },
	})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := c.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &bench{Cluster: c, t: t, dir: dir, client: &http.Client{Transport: transport, Timeout: 20 * time.Second}}
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
}

func (b *bench) send(method, url, body string) answer {
	b.t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Errorf("%s %s: %v", method, url, err)
		return answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Errorf("%s %s: %v", method, url, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

func (b *bench) get(path string) answer { b.t.Helper(); return b.send("GET", b.URL(0)+path, "") }

// volley sends n equal requests at once and counts the statuses.
func (b *bench) volley(n int, method, path string) (statuses map[int]int, answers []answer) {
	b.t.Helper()
	answers = make([]answer, n)
	begin := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-begin
			answers[i] = b.send(method, b.URL(0)+path, "")
		})
	}
	close(begin)
	wg.Wait()
	statuses = map[int]int{}
	for _, a := range answers {
		statuses[a.status]++
	}
	return statuses, answers
}

func (b *bench) fault(f fakeprovider.Fault) {
	b.t.Helper()
	if err := b.Provider.SetFault(f); err != nil {
		b.t.Fatal(err)
	}
}

// eventually polls until ok; what it waited for is in the failure.
func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		if ok() {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	b.t.Fatalf("waited in vain for: %s", what)
}

// accessLog returns the lines of the first node once there are n.
func (b *bench) accessLog(n int) []string {
	b.t.Helper()
	var lines []string
	b.eventually(fmt.Sprintf("%d access log lines", n), func() bool {
		data, err := os.ReadFile(filepath.Join(b.dir, "node-1", "access.log"))
		if err != nil {
			b.t.Fatal(err)
		}
		lines = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		return strings.Count(string(data), "\n") >= n
	})
	return lines
}
