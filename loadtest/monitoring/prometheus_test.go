//go:build prometheus

package monitoring

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/loadtest/cluster"
)

// A real Prometheus has an answer to every query while requests come. What an
// alert compares is asked for without the comparison.
func TestQueriesHaveAnswers(t *testing.T) {
	prometheus := tool(t, "prometheus")
	c := start(t)
	base := startPrometheus(t, prometheus, c)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go traffic(ctx, c)

	comparison := regexp.MustCompile(`\s*(?:==|>|<)\s*[0-9.]+`)
	for _, q := range queries(t) {
		if rare.MatchString(q.expr) {
			continue
		}
		expr := comparison.ReplaceAllString(q.expr, "")
		expr = strings.ReplaceAll(expr, `unless on (instance) api_proxy_coordination_mode{mode="standalone"}`, "")
		var last string
		for deadline := time.Now().Add(60 * time.Second); ; {
			var ok bool
			if ok, last = answered(t, base, expr); ok {
				break
			}
			if time.Now().After(deadline) {
				t.Errorf("%s: no data: %s: %s", q.from, expr, last)
				break
			}
			<-time.After(250 * time.Millisecond)
		}
	}
}

func answered(t *testing.T, base, expr string) (bool, string) {
	body := get(t, base+"/api/v1/query?query="+url.QueryEscape(expr))
	var answer struct {
		Status string
		Data   struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return answer.Status == "success" && len(answer.Data.Result) > 0, body
}

// traffic is a request every few milliseconds until ctx ends. Some are wrong, one
// provider fails, and somebody looks at the API.
func traffic(ctx context.Context, c *cluster.Cluster) {
	paths := []string{"/zerion/test", "/coingecko/test", "/alchemy/status/503", "/zerion/status/404", "/nobody"}
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for i := 0; ctx.Err() == nil; i++ {
		url := c.URL(i%2) + paths[i%len(paths)]
		if i%50 == 0 {
			url = c.ControlURL() + "/api/v1/limits"
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		<-ticker.C
	}
}

// startPrometheus scrapes the nodes with our rules and the job names of
// prometheus.yml, every half second.
func startPrometheus(t *testing.T, program string, c *cluster.Cluster) (base string) {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs(folder + "/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`global: {scrape_interval: 500ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: api-proxy
    static_configs: [{targets: [%q, %q]}]
  - job_name: control-plane
    static_configs: [{targets: [%q]}]
`, rules, host(c.URL(0)), host(c.URL(1)), host(c.ControlURL()))
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "--config.file="+file, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+addr)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	base = "http://" + addr
	for deadline := time.Now().Add(60 * time.Second); ; {
		if resp, err := http.Get(base + "/-/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return base
			}
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("Prometheus does not start:\n%s", text)
		}
		<-time.After(50 * time.Millisecond)
	}
}

func host(base string) string { return strings.TrimPrefix(base, "http://") }
