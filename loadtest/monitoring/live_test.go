package monitoring

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"apiproxy.internal/loadtest/cluster"
)

// ours are the names of metrics in an expression.
var ours = regexp.MustCompile(`\b(?:api_proxy|process|go)_[a-z0-9_]+`)

// control are the metrics of the control plane.
const control = "api_proxy_control_"

func start(t *testing.T) *cluster.Cluster {
	t.Helper()
	c, err := cluster.Start(cluster.Options{Nodes: 2, Listen: "127.0.0.1:0", ProviderListen: "127.0.0.1:0", Dir: t.TempDir(), LogDir: t.TempDir(),
		Lookup: os.LookupEnv})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(context.Background()) })
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

// Every metric that a query names is one that a node has.
func TestMetricsExist(t *testing.T) {
	c := start(t)
	get(t, c.URL(0)+"/zerion/test") // some families come with the first request
	text := get(t, c.URL(0)+"/metrics")
	for _, q := range queries(t) {
		names := ours.FindAllString(q.expr, -1)
		if len(names) == 0 && !strings.Contains(q.expr, "up{") {
			t.Errorf("%s: %s asks for nothing of ours", q.from, q.expr)
		}
		for _, name := range names {
			if !strings.HasPrefix(name, control) && !strings.Contains(text, "\n"+name+"{") && !strings.Contains(text, "\n"+name+" ") {
				t.Errorf("%s: there is no metric %s", q.from, name)
			}
		}
	}
}
