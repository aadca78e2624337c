package monitoring

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
)

// ours are the names of metrics in an expression.
var ours = regexp.MustCompile(`\b(?:api_proxy|process|go)_[a-z0-9_]+`)

// rare are metrics that are there from their first event on.
var rare = regexp.MustCompile(`\bapi_proxy_control_breaker_transitions_total\b`)

func start(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(cluster.Options{Nodes: 2, Listen: "127.0.0.1:0", ProviderListen: "127.0.0.1:0", ControlListen: "127.0.0.1:0", Dir: t.TempDir(), LogDir: t.TempDir(),
		Lookup: os.LookupEnv, Node: func(_ int, o *node.Options) { o.DrainDelay = 0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := c.WaitConverged(ctx, 2); err != nil {
		t.Fatal(err)
	}
	return c
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// Every metric that a query names is one that a node or the controller has.
func TestMetricsExist(t *testing.T) {
	c := start(t)
	get(t, c.URL(0)+"/zerion/test") // some families come with the first request
	get(t, c.ControlURL()+"/api/v1/limits")
	text := get(t, c.URL(0)+"/metrics") + "\n" + get(t, c.ControlURL()+"/metrics")
	for _, q := range queries(t) {
		names := ours.FindAllString(q.expr, -1)
		if len(names) == 0 && !strings.Contains(q.expr, "up{") {
			t.Errorf("%s: %s asks for nothing of ours", q.from, q.expr)
		}
		for _, name := range names {
			if !rare.MatchString(name) && !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "# TYPE "+name+" ") {
				t.Errorf("%s: there is no metric %s", q.from, name)
			}
		}
	}
}
