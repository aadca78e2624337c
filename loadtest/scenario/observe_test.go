package scenario

import (
	"bufio"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// series scrapes the first node: name and labels, as written, to value.
func (b *bench) series() map[string]float64 {
	b.t.Helper()
	all := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(b.get("/metrics").body))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			b.t.Fatalf("line %q: %v", line, err)
		}
		all[line[:i]] = value
	}
	return all
}

// scripted sends one request of each kind that a node knows.
func scripted(t *testing.T) *bench {
	b := start(t, 1, `
rate_limit:
  global: {rate: 100000}
  per_ip: {rate: 100000}
  per_provider: {zerion: {rate: 100000}, coingecko: {rate: 1/h, burst: 2}, alchemy: {rate: 100000}}
circuit_breaker: {failure_threshold: 4, success_threshold: 1, timeout: 1h, half_open_requests: 1}
proxy: {max_body_size: 1KiB}
`)
	for range 3 {
		b.get("/zerion/test")
	}
	b.send("POST", b.URL(0)+"/alchemy", `{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}`)
	b.send("DELETE", b.URL(0)+"/zerion/status/204", "")
	b.get("/zerion/status/404")
	b.get("/nobody/here")
	b.send("BREW", b.URL(0)+"/zerion/test", "")
	b.send("POST", b.URL(0)+"/zerion/echo", strings.Repeat("x", 2000))
	b.volley(5, "GET", "/coingecko/test") // 2 admitted
	b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1, Status: 503, Count: 1})
	b.get("/zerion/test") // one retry, then well
	b.fault(fakeprovider.Fault{Provider: "zerion", ErrorRate: 1, Status: 500})
	for range 6 {
		b.get("/zerion/test") // 4 open the breaker, 2 are refused
	}
	return b
}

// The metrics that dashboards rely on, with their labels, against what the oracle
// counted.
func TestMetricsMatchTheOracle(t *testing.T) {
	b := scripted(t)
	got := b.series()
	zerion, alchemy, coingecko := b.Provider.Stats(fakeprovider.Zerion), b.Provider.Stats(fakeprovider.Alchemy), b.Provider.Stats(fakeprovider.CoinGecko)
	if leaks := len(zerion.Leaks) + len(alchemy.Leaks) + len(coingecko.Leaks); leaks != 0 || zerion.Unauthorized+alchemy.Unauthorized+coingecko.Unauthorized != 0 {
		t.Errorf("wrong credentials or leaked headers arrived: %v %v %v", zerion, alchemy, coingecko)
	}
	attempts := func(provider string) (sum float64) {
		for name, value := range got {
			if strings.HasPrefix(name, `api_proxy_upstream_attempts_total{provider="`+provider+`"`) {
				sum += value
			}
		}
		return sum
	}
	for provider, arrived := range map[string]int64{"zerion": zerion.Arrivals, "alchemy": alchemy.Arrivals, "coingecko": coingecko.Arrivals} {
		if got := attempts(provider); got != float64(arrived) {
			t.Errorf("%s: %v attempts counted, %d arrived", provider, got, arrived)
		}
	}
	for series, want := range map[string]float64{
		`api_proxy_requests_total{provider="zerion",method="GET"}`:                         11,
		`api_proxy_requests_total{provider="zerion",method="DELETE"}`:                      1,
		`api_proxy_requests_total{provider="zerion",method="other"}`:                       1,
		`api_proxy_requests_total{provider="alchemy",method="POST"}`:                       1,
		`api_proxy_requests_total{provider="coingecko",method="GET"}`:                      5,
		`api_proxy_requests_total{provider="none",method="GET"}`:                           1,
		`api_proxy_requests_success_total{provider="zerion"}`:                              6,
		`api_proxy_requests_failure_total{provider="zerion"}`:                              8,
		`api_proxy_requests_success_total{provider="coingecko"}`:                           2,
		`api_proxy_requests_failure_total{provider="coingecko"}`:                           3,
		`api_proxy_requests_by_status{provider="zerion",method="GET",status="200"}`:        4,
		`api_proxy_requests_by_status{provider="zerion",method="GET",status="404"}`:        1,
		`api_proxy_requests_by_status{provider="zerion",method="GET",status="500"}`:        4,
		`api_proxy_requests_by_status{provider="zerion",method="GET",status="503"}`:        2,
		`api_proxy_requests_by_status{provider="zerion",method="POST",status="413"}`:       1,
		`api_proxy_requests_by_status{provider="zerion",method="DELETE",status="204"}`:     1,
		`api_proxy_requests_by_status{provider="coingecko",method="GET",status="429"}`:     3,
		`api_proxy_requests_by_status{provider="none",method="GET",status="404"}`:          1,
		`api_proxy_requests_error_total{provider="zerion",error_type="upstream_4xx"}`:      1,
		`api_proxy_requests_error_total{provider="zerion",error_type="upstream_5xx"}`:      4,
		`api_proxy_requests_error_total{provider="zerion",error_type="circuit_breaker"}`:   2,
		`api_proxy_requests_error_total{provider="zerion",error_type="request_too_large"}`: 1,
		`api_proxy_requests_error_total{provider="coingecko",error_type="rate_limit"}`:     3,
		`api_proxy_requests_error_total{provider="none",error_type="not_found"}`:           1,
		`api_proxy_rate_limited_total{provider="coingecko",limit="per_provider"}`:          3,
		`api_proxy_rate_limited_total{provider="coingecko",limit="global"}`:                0,
		`api_proxy_retries_total{provider="zerion"}`:                                       1,
		`api_proxy_upstream_attempts_total{provider="zerion",outcome="status_5xx"}`:        5,
		`api_proxy_latency_count{provider="zerion"}`:                                       14,
		`api_proxy_latency_bucket{provider="zerion",le="+Inf"}`:                            14,
		`api_proxy_provider_health{provider="zerion"}`:                                     0,
		`api_proxy_provider_health{provider="alchemy"}`:                                    1,
		`api_proxy_circuit_breaker_state{provider="zerion",state="open"}`:                  1,
		`api_proxy_circuit_breaker_state{provider="zerion",state="closed"}`:                0,
		`api_proxy_circuit_breaker_failures{provider="zerion"}`:                            4,
		`api_proxy_circuit_breaker_half_open_slots{provider="zerion"}`:                     0,
		`api_proxy_active_connections{provider="zerion"}`:                                  0,
		`api_proxy_config_revision`:                                                        0,
		`api_proxy_nats_connected`:                                                         0,
		`api_proxy_log_dropped_total`:                                                      0,
		`api_proxy_coordination_mode{mode="standalone"}`:                                   1,
		`api_proxy_limit_share{limit="per_provider",provider="alchemy"}`:                   100000,
	} {
		if value, ok := got[series]; !ok || value != want {
			t.Errorf("%s = %v (there: %t), want %v", series, value, ok, want)
		}
	}
	for _, name := range []string{"latency_avg_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "latency_sum"} {
		if got[`api_proxy_`+name+`{provider="alchemy"}`] <= 0 {
			t.Errorf("api_proxy_%s is not above 0", name)
		}
	}
	if t.Failed() {
		for _, name := range slices.Sorted(maps.Keys(got)) {
			if strings.HasPrefix(name, "api_proxy_requests") && got[name] != 0 {
				t.Logf("%s %v", name, got[name])
			}
		}
	}
}

// The jq lines of the guide, on our logs and status.
func TestGuidesQueries(t *testing.T) {
	if _, err := exec.LookPath("jq"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("jq is missing; CI installs it")
		}
		t.Skip("SKIP: jq is not installed; the guide's queries are not tried")
	}
	b := scripted(t)
	b.get("/alchemy/delay/1100")
	b.accessLog(22)
	log := filepath.Join(b.dir, "node-1", "access.log")
	status := filepath.Join(b.dir, "status.json")
	if err := os.WriteFile(status, []byte(b.get("/status").body), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ query, want string }{
		{"cat " + log + " | jq -r '.provider' | sort | uniq -c | awk '{print $2\"=\"$1}' | xargs", "alchemy=2 coingecko=5 none=1 zerion=14"},
		{"cat " + log + " | jq -r '.status' | sort | uniq -c | awk '{print $2\"=\"$1}' | xargs", "200=9 204=1 404=2 413=1 429=3 500=4 503=2"},
		{"cat " + log + " | jq -c 'select(.latency_ms > 1000)' | wc -l", "1"},
		{"grep \"$(tail -1 " + log + " | jq -r .request_id)\" " + log + " | jq -r .provider", "alchemy"},
		{"jq -r '.providers.zerion.state' " + status, "open"},
		{"jq -r '.providers.coingecko.limit.burst' " + status, "2"},
		{"jq -r '.nodes[0].mode' " + status, "standalone"},
	} {
		out, err := exec.Command("bash", "-c", row.query).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != row.want {
			t.Errorf("%s\n got %q (%v)\nwant %q", row.query, got, err, row.want)
		}
	}
	if a := b.get("/circuit-breaker-stats"); !strings.Contains(a.body, `"zerion":{"state":"open","failures":4`) {
		t.Errorf("/circuit-breaker-stats: %s", a.body)
	}
	if a := b.get("/health"); a.status != 200 || !strings.Contains(a.body, `"status":"ok"`) {
		t.Errorf("/health: %d %s", a.status, a.body)
	}
	if a := b.send("POST", b.URL(0)+"/status", ""); a.status != 405 {
		t.Errorf("POST /status: %d, want 405", a.status)
	}
}

// Secrets are seen by the right provider only.
func TestKeysStayHome(t *testing.T) {
	b := scripted(t)
	b.accessLog(21)
	texts := map[string]string{"metrics": b.get("/metrics").body, "status": b.get("/status").body}
	for _, name := range []string{"access.log", "error.log"} {
		data, err := os.ReadFile(filepath.Join(b.dir, "node-1", name))
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = string(data)
	}
	for where, text := range texts {
		for _, key := range []string{fakeprovider.DemoZerionKey, fakeprovider.DemoCoinGeckoKey, fakeprovider.DemoAlchemyKey} {
			if strings.Contains(text, key) {
				t.Errorf("%s holds a key", where)
			}
		}
	}
}
