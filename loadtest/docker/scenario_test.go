//go:build docker

package docker

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The stages build on one another: one stack, changed like an operator would
// change it, under load that must not notice.
func TestScenario(t *testing.T) {
	s := newStack(t)
	if os.Getenv("CLUSTER") == "no" { // nodes on their own
		s.env = append(s.env, "NATS_URL=")
	}
	// One client is the whole load here: its own limit is not what is tried.
	demo := s.read("deploy/config/demo.yaml")
	s.write("deploy/config/demo.yaml", strings.Replace(demo, "per_ip:       {rate: 100, burst: 200", "per_ip:       {rate: 10000, burst: 20000", 1))
	s.compose("build", "-q")
	s.compose("up", "-d", "--scale", "api-proxy=3")
	s.answering(3)

	stage := func(name string, f func(*stack)) {
		if t.Failed() {
			return
		}
		t.Run(name, func(t *testing.T) {
			inner := *s
			inner.t = t
			f(&inner)
		})
	}
	stage("what the guide promises", (*stack).promises)
	stage("rotation", (*stack).rotation)
	stage("scale under load", (*stack).scaleUnderLoad)
	stage("stop a node", (*stack).stopNode)
	stage("stop and restart the control plane", (*stack).stopControl)
	stage("rollout", (*stack).rollout)
	if os.Getenv("CLUSTER") != "no" {
		stage("limits hold", (*stack).limitsHold)
	}
	stage("two clients, two buckets", (*stack).twoClients)
	stage("redis", (*stack).redis)
	if os.Getenv("CLUSTER") != "no" {
		stage("backup, destroy, restore", (*stack).backup)
	}
	stage("HTTPS and HTTP/2 at the balancer", (*stack).https)
	stage("down", (*stack).down)
}

func (s *stack) promises() {
	t := s.t
	for _, row := range []struct{ url, want string }{
		{s.proxy + "/health", `"status":"ok"`},
		{s.proxy80 + "/health", `"status":"ok"`},
		{s.proxy + "/metrics", "api_proxy_build_info"},
		{s.proxy + "/circuit-breaker-stats", `"zerion":{"state":"closed"`},
		{s.proxy + "/coingecko/api/v3/ping", ""},
		{s.proxy + "/zerion/v1/wallets/0x42b9df65b219b3dd36ff330a4dd8f327a6ada990/portfolio", "portfolio"},
		{s.control + "/health", ""},
		{s.prometheus + "/-/ready", ""},
		{s.grafana + "/", ""},
	} {
		s.eventually(row.url, func() bool {
			code, body := get("http://" + row.url)
			return code == 200 && strings.Contains(body, row.want)
		})
	}
	s.eventually("Prometheus finds all nodes", func() bool {
		_, body := get("http://" + s.prometheus + `/api/v1/query?query=count(up{job="api-proxy"}==1)`)
		return strings.Contains(body, `"3"]`)
	})
	// The files of the guide's chapter on logs are on the host.
	var line struct {
		Provider, Node string
		Status         int
	}
	first, _, _ := strings.Cut(s.read("logs/access.log"), "\n")
	if err := json.Unmarshal([]byte(first), &line); err != nil || line.Provider == "" || line.Node == "" || line.Status == 0 {
		t.Errorf("logs/access.log: %v: %s", err, first)
	}
	if out := s.compose("exec", "-T", "api-proxy", "dataplane", "--check"); !strings.Contains(out, "configuration ok") {
		t.Errorf("--check: %s", out)
	}
	if out := s.try("docker-compose", "exec", "-T", "api-proxy", "dataplane", "--diagnose"); strings.Count(out, "tcp") < 3 {
		t.Errorf("--diagnose: %s", out)
	}
	secret := s.compose("exec", "-T", "control-plane", "ops", "print", "/secrets/admin-token")
	if len(strings.TrimSpace(secret)) < 40 {
		t.Errorf("the admin token is %d characters long", len(secret))
	}
	if out, err := s.command("docker-compose", "exec", "-T", "api-proxy", "ops", "print", "/secrets/admin-token").CombinedOutput(); err == nil {
		t.Errorf("a node can read the admin token: %d bytes", len(out))
	}
	for _, c := range append(s.nodes(), strings.Fields(s.try("docker-compose", "ps", "-q", "control-plane", "nginx-lb"))...) {
		if out := s.run("docker", "inspect", "--format", "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}", c); strings.HasPrefix(out, "0") || !strings.Contains(out, "true [ALL]") {
			t.Errorf("%s runs as %s", c, out)
		}
	}
	// A large upload that is refused gets its answer.
	resp, err := http.Post("http://"+s.proxy+"/alchemy", "application/json", strings.NewReader(strings.Repeat("x", 20<<20)))
	if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("20 MiB: %v, %v", resp, err)
	}
}

// rotation: logrotate with our file, after which everybody writes into new files.
func (s *stack) rotation() {
	if _, err := exec.LookPath("logrotate"); err != nil && os.Getenv("CI") == "" {
		s.t.Skip("logrotate is not installed")
	}
	s.write("logrotate.conf", strings.ReplaceAll(s.read("deploy/logrotate.conf"), "/path/to/api-proxy", s.dir))
	s.run("logrotate", "--force", "--state", filepath.Join(s.dir, "logrotate.state"), filepath.Join(s.dir, "logrotate.conf"))
	for _, name := range []string{"logs/access.log", "logs/control-plane/control.log"} {
		if s.read(name+".1") == "" {
			s.t.Errorf("%s.1 is empty", name)
		}
	}
	s.eventually("the nodes log into a new file", func() bool {
		_, _ = get("http://" + s.proxy + "/coingecko/test")
		lines, _ := os.ReadFile(filepath.Join(s.dir, "logs/access.log"))
		return len(lines) > 0
	})
}

func (s *stack) scaleUnderLoad() {
	l := startLoad(s.t, s.proxy)
	s.scale(5)
	s.answering(5)
	s.scale(2)
	s.answering(2)
	s.scale(3)
	s.answering(3)
	l.end(0)
}

func (s *stack) stopNode() {
	l := startLoad(s.t, s.proxy)
	node := s.nodes()[0]
	s.run("docker", "stop", "-t", "60", node)
	s.answering(2)
	s.run("docker", "start", node)
	s.answering(3)
	l.end(0)
}

// stopControl: requests do not need the control plane.
func (s *stack) stopControl() {
	l := startLoad(s.t, s.proxy)
	s.compose("stop", "control-plane")
	s.eventually("/status is a node's meanwhile", func() bool {
		code, body := get("http://" + s.proxy + "/status")
		return code == 200 && strings.Contains(body, `"nodes"`)
	})
	s.compose("start", "control-plane")
	s.eventually("the control plane is back", func() bool { code, _ := get("http://" + s.control + "/health"); return code == 200 })
	s.compose("restart", "control-plane")
	s.eventually("the control plane is back", func() bool { code, _ := get("http://" + s.control + "/health"); return code == 200 })
	l.end(0)
	if l.limited.Load() > 0 {
		s.t.Errorf("%d requests got 429 at half the limits", l.limited.Load())
	}
}

// rollout replaces all nodes while requests come; each POST arrives once.
func (s *stack) rollout() {
	before, old := s.arrivals("alchemy"), s.nodes()
	l := startLoad(s.t, s.proxy)
	s.env = append(s.env, "BUILD=no")
	s.t.Log(s.run("make", "rollout"))
	for enough := time.Now().Add(time.Minute); l.sent.Load() < 6000 && time.Now().Before(enough); {
		<-time.After(100 * time.Millisecond)
	}
	l.end(6000)
	if arrived := s.arrivals("alchemy") - before; arrived != l.posts.Load()-l.limitedPosts.Load() {
		s.t.Errorf("%d POSTs were sent, %d of them answered 429, %d arrived at the provider", l.posts.Load(), l.limitedPosts.Load(), arrived)
	}
	for _, node := range s.nodes() {
		for _, gone := range old {
			if node == gone {
				s.t.Errorf("%s was not replaced", node)
			}
		}
	}
	s.answering(3)
}

// limitsHold: one limit for all nodes, changed at run time, judged by what
// arrived at the provider while nodes come, go, and lose the control plane.
func (s *stack) limitsHold() {
	const limit, burst = 50, 60
	s.put("/api/v1/limits/per_provider/coingecko?wait=10s", fmt.Sprintf(`{"rate":%d,"burst":%d}`, limit, burst))
	_, _ = http.Post("http://"+s.fake+"/_control/reset", "", nil)
	l := startLoad(s.t, s.proxy)
	s.scale(4)
	s.answering(4)
	s.compose("restart", "control-plane")
	s.eventually("the control plane is back", func() bool { code, _ := get("http://" + s.control + "/ready"); return code == 200 })
	s.scale(3)
	s.answering(3)
	l.end(0)
	arrived, seconds := s.arrivals("coingecko"), s.spread("coingecko")
	allowed := float64(limit)*(seconds+0.2) + burst // the way to the provider: at most 0.2 s
	s.t.Logf("limit %d/s, burst %d: %d arrived within %.1f s, at most %.0f may", limit, burst, arrived, seconds, allowed)
	if float64(arrived) > allowed || float64(arrived) < 0.7*limit*seconds {
		s.t.Errorf("%d arrived, want at most %.0f and not much less", arrived, allowed)
	}
	if l.limited.Load() == 0 {
		s.t.Error("nothing was refused; the limit was not tried")
	}
}

// put is a change over the API; it must be published.
func (s *stack) put(path, body string) {
	s.t.Helper()
	token := strings.TrimSpace(s.compose("exec", "-T", "control-plane", "ops", "print", "/secrets/admin-token"))
	req, err := http.NewRequest(http.MethodPut, "http://"+s.control+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, _ := io.ReadAll(resp.Body)
	s.t.Logf("PUT %s %s: %s %s", path, body, resp.Status, answer)
	if resp.StatusCode != http.StatusOK {
		s.t.Fatal("the change was not published")
	}
}

// twoClients: behind the balancer a client has its own bucket, and cannot say
// that it is another.
func (s *stack) twoClients() {
	s.scale(1)
	s.answering(1)
	config := s.read("deploy/config/demo.yaml")
	s.write("deploy/config/demo.yaml", strings.Replace(config, "per_ip:       {rate: 10000, burst: 20000", "per_ip:       {rate: 1/h, burst: 5", 1))
	defer s.write("deploy/config/demo.yaml", config)
	s.reload()
	s.eventually("the limit is in force", func() bool {
		code, _ := get("http://" + s.proxy + "/coingecko/test")
		return code == http.StatusTooManyRequests
	})
	if code, _ := get("http://"+s.proxy+"/coingecko/test", "X-Forwarded-For", "9.9.9.9"); code != http.StatusTooManyRequests {
		s.t.Errorf("a client that says it is another gets %d, want 429", code)
	}
	other := func() string {
		out, _ := s.command("docker", "run", "--rm", "--network", "apiproxy-test_default", "--entrypoint", "ops", "api-proxy/dataplane:test",
			"health", "/coingecko/test", "nginx-lb:8080").CombinedOutput()
		return string(out)
	}
	if out := other(); out != "" {
		s.t.Errorf("another client: %s", out)
	}
	s.write("deploy/config/demo.yaml", config)
	s.reload()
}

// reload puts the file into force.
func (s *stack) reload() {
	if os.Getenv("CLUSTER") == "no" {
		s.compose("kill", "-s", "SIGHUP", "api-proxy")
		return
	}
	s.compose("kill", "-s", "SIGHUP", "control-plane")
}

// redis: the profile starts, the switch is accepted.
func (s *stack) redis() {
	s.compose("--profile", "redis", "up", "-d", "--no-recreate", "redis")
	s.eventually("redis answers", func() bool {
		return strings.Contains(s.try("docker-compose", "--profile", "redis", "exec", "-T", "redis", "redis-cli", "ping"), "PONG")
	})
	out, _ := s.command("docker-compose", "run", "--rm", "--no-deps", "-e", "REDIS_ENABLED=true", "api-proxy", "--check").CombinedOutput()
	if !strings.Contains(string(out), "REDIS_ENABLED") || !strings.Contains(string(out), "configuration ok") {
		s.t.Errorf("REDIS_ENABLED=true: %s", out)
	}
}

// backup: what was published over the API, the secrets and the files survive the
// loss of every volume.
func (s *stack) backup() {
	s.put("/api/v1/limits/per_provider/alchemy?wait=10s", `{"rate":123,"burst":456}`)
	print := []string{"exec", "-T", "control-plane", "ops", "print", "/secrets/admin-token"}
	token, config := s.compose(print...), s.read("deploy/config/demo.yaml")
	s.run("make", "backup")
	files, err := filepath.Glob(filepath.Join(s.dir, "backups", "*.tar.gz"))
	if err != nil || len(files) != 1 {
		s.t.Fatalf("%v, %v", files, err)
	}
	s.compose("--profile", "redis", "down", "-v")
	s.run("rm", "-r", "deploy/config", ".env")
	s.run("deploy/restore.sh", files[0])
	s.eventually("the published limit is back", func() bool {
		code, body := get("http://" + s.control + "/api/v1/limits")
		return code == 200 && strings.Contains(strings.ReplaceAll(body, " ", ""), `"rate":123,"burst":456`)
	})
	if s.compose(print...) != token || s.read("deploy/config/demo.yaml") != config {
		s.t.Error("the token or the configuration is another one")
	}
	s.answering(1)
	s.eventually("a node runs it", func() bool { code, _ := get("http://" + s.proxy + "/coingecko/test"); return code == 200 })
}

// https adds a certificate to the balancer.
func (s *stack) https() {
	port := freePort(s.t)
	s.run("mkdir", "-p", "certs")
	s.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout", "certs/tls.key", "-out", "certs/tls.crt")
	s.run("chmod", "644", "certs/tls.key")
	s.env = append(s.env, "PROXY_PORT_TLS="+port, "COMPOSE_FILE=docker-compose.yml:deploy/compose.demo.yml:deploy/compose.tls.yml")
	s.compose("up", "-d", "--no-deps", "nginx-lb")
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	s.eventually("HTTP/2 over TLS", func() bool {
		resp, err := client.Get("https://127.0.0.1:" + port + "/coingecko/test")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == 200 && resp.ProtoMajor == 2 && resp.Header.Get("X-Provider") == "coingecko"
	})
}

func (s *stack) down() {
	s.compose("--profile", "redis", "down", "-v")
	for _, list := range [][]string{{"ps", "-aq"}, {"volume", "ls", "-q"}, {"network", "ls", "-q"}} {
		cmd := exec.Command("docker", append(list, "--filter", "label=com.docker.compose.project=apiproxy-test")...)
		if left := strings.TrimSpace(must(s.t, cmd)); left != "" {
			s.t.Errorf("docker %s: left behind: %s", strings.Join(list, " "), left)
		}
	}
}
