package accuracy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/status"
)

// Limit is a token bucket for the whole cluster.
type Limit struct {
	Rate  float64 `json:"rate"` // per second
	Burst float64 `json:"burst"`
}

func (l Limit) String() string { return fmt.Sprintf("%g/s burst %g", l.Rate, l.Burst) }

// Limits beside the one that is measured are so high that they never refuse.
var (
	openIP     = Limit{1e6, 1e6} // all requests come from one address
	openGlobal = Limit{1e5, 2e5}
	openThird  = Limit{1e5, 2e5}
)

// settings are what a cluster is started with.
type settings struct {
	bin, dir string
	size     int   // nodes
	limit    Limit // of each provider
	global   bool  // it is the limit of all requests instead
	static   bool  // no controller: each node has its part of the limit for ever
	extra    string
}

const (
	adminToken = "accuracy-admin-token"
	natsSecret = "accuracy-nats-secret" //nolint:gosec // of the test cluster alone
)

// providers are used in turn: while one limit is measured, the others fill up.
var providers = [...]fakeprovider.Provider{fakeprovider.Zerion, fakeprovider.CoinGecko, fakeprovider.Alchemy}

// cluster is a controller, its nodes and the fake providers. The providers run
// here, so that what arrived can be read directly.
type cluster struct {
	settings
	provider *fakeprovider.Server
	control  *process // nil with static
	config   string
	runs     int

	mu    sync.Mutex
	nodes []*process // all that were started, by number; nil where one was ended
}

func startCluster(ctx context.Context, s settings) (*cluster, error) {
	c := &cluster{settings: s, provider: fakeprovider.New(fakeprovider.Options{})}
	dir, err := os.MkdirTemp(s.dir, "cluster-")
	if err != nil {
		return nil, err
	}
	c.dir = dir
	if err := c.provider.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	c.config = filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(c.config, []byte(c.document()), 0o600); err != nil {
		return nil, err
	}
	if !s.static {
		if err := c.startController(ctx); err != nil {
			c.stop()
			return nil, err
		}
	}
	for range s.size {
		if err := c.addNode(ctx); err != nil {
			c.stop()
			return nil, err
		}
	}
	return c, c.ready(ctx, s.size)
}

// document is the configuration: one limit that is measured, all others open.
func (c *cluster) document() string {
	limit, global, third := c.limit, openGlobal, c.limit
	if c.global {
		global, third = c.limit, openThird
	}
	if c.static {
		n := float64(c.size)
		third = Limit{limit.Rate / n, max(1, limit.Burst/n)}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("rate_limit:")
	line("  global: %s", global.yaml())
	line("  per_ip: %s", openIP.yaml())
	line("  per_provider:")
	for _, p := range providers {
		line("    %s: %s", p, strings.TrimSuffix(third.yaml(), "}")+c.extra+"}")
	}
	line("circuit_breaker: {failure_threshold: 1000000}")
	line("providers:")
	auth := [...]string{
		"{type: basic, username_env: ZERION_API_KEY}",
		"{type: header, header: x-cg-pro-api-key, value_env: COINGECKO_API_KEY}",
		`{type: path, template: "/v2/{key}", value_env: ALCHEMY_API_KEY}`,
	}
	for i, p := range providers {
		line("  %s: {prefix: /%[1]s/, upstream: \"http://%[2]s/%[1]s\", cache_mode: off, retry: {times: 2, delay: 10ms}, auth: %[3]s}",
			p, c.provider.Addr(), auth[i])
	}
	return b.String()
}

// yaml writes the numbers out: 1e+06 is no burst.
func (l Limit) yaml() string {
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	return "{rate: " + number(l.Rate) + ", burst: " + number(float64(int64(l.Burst))) + "}"
}

// startController starts it, or starts it again with the same data and addresses.
func (c *cluster) startController(ctx context.Context) error {
	listen, nats := "127.0.0.1:0", "127.0.0.1:0"
	if c.control != nil {
		listen, nats = c.control.addr, c.control.nats
	}
	dir := filepath.Join(c.dir, "controller")
	p, err := start(ctx, "controller", filepath.Join(c.bin, "controlplane"),
		[]string{"APIPROXY_NATS_SECRET=" + natsSecret, "APIPROXY_ADMIN_TOKEN=" + adminToken},
		"--config", c.config, "--listen", listen, "--nats-listen", nats, "--data-dir", dir, "--log-dir", dir)
	if err == nil {
		c.control = p
	}
	return err
}

// addNode starts one more node.
func (c *cluster) addNode(ctx context.Context) error {
	c.mu.Lock()
	i := len(c.nodes)
	c.nodes = append(c.nodes, nil)
	c.mu.Unlock()
	return c.startNode(ctx, i)
}

// startNode starts node i, for the first time or again.
func (c *cluster) startNode(ctx context.Context, i int) error {
	id := "node-" + strconv.Itoa(i+1)
	dir := filepath.Join(c.dir, id)
	args := []string{"--config", c.config, "--node-id", id, "--listen", "127.0.0.1:0", "--data-dir", dir, "--log-dir", dir,
		"--drain-delay", "200ms", "--debug-admitted-at"}
	if !c.static {
		args = append(args, "--nats-url", "nats://"+c.control.nats)
	}
	p, err := start(ctx, id, filepath.Join(c.bin, "dataplane"), []string{
		"APIPROXY_NATS_SECRET=" + natsSecret, "ZERION_API_KEY=" + fakeprovider.DemoZerionKey,
		"COINGECKO_API_KEY=" + fakeprovider.DemoCoinGeckoKey, "ALCHEMY_API_KEY=" + fakeprovider.DemoAlchemyKey,
	}, args...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.nodes[i] = p
	c.mu.Unlock()
	return nil
}

// node is node i, which must be there.
func (c *cluster) node(i int) *process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nodes[i]
}

// ready waits until that many nodes serve and have their part of the limits.
func (c *cluster) ready(ctx context.Context, nodes int) error {
	if c.static {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		doc, err := c.status(ctx)
		n := 0
		for _, node := range doc.Nodes {
			if node.State == status.Live && node.Mode == status.Leased && node.Revision == doc.Config.Revision {
				n++
			}
		}
		if n == nodes {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the controller does not see %d nodes with their leases but %+v: %w", nodes, doc.Nodes, errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// settle waits until nobody holds more than its part of a full bucket.
func (c *cluster) settle(ctx context.Context) { pause(ctx, 700*time.Millisecond) }

func (c *cluster) status(ctx context.Context) (doc status.Document, err error) {
	err = c.call(ctx, "GET", "/status?format=json", nil, &doc)
	return doc, err
}

// change sets a provider's limit and returns when every node runs it.
func (c *cluster) change(ctx context.Context, p fakeprovider.Provider, l Limit) error {
	var answer struct{ Nodes, Applied int }
	err := c.call(ctx, "PUT", "/api/v1/limits/per_provider/"+p.String()+"?wait=5s", l, &answer)
	if err == nil && answer.Applied < answer.Nodes {
		return fmt.Errorf("only %d of %d nodes have the new limit", answer.Applied, answer.Nodes)
	}
	return err
}

// call asks the controller.
func (c *cluster) call(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.control.addr+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// usage is what the controller has done and used since it was started.
type usage struct {
	at       time.Time
	messages float64 // reports and answers
	cpu      float64 // seconds
}

// usage reads the controller's metrics; zero if there is none to be asked.
func (c *cluster) usage(ctx context.Context) (u usage) {
	if c.control == nil {
		return u
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+c.control.addr+"/metrics", nil)
	if err != nil {
		return u
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return u
	}
	defer func() { _ = resp.Body.Close() }()
	u.at = time.Now()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		x, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "api_proxy_control_reports_total", "api_proxy_control_answers_total":
			u.messages += x
		case "process_cpu_seconds_total":
			u.cpu = x
		}
	}
	return u
}

// since is messages per second and cores used since before; zero if the
// controller was started anew between the two.
func (u usage) since(before usage) (messages, cores float64) {
	seconds := u.at.Sub(before.at).Seconds()
	if before.at.IsZero() || u.at.IsZero() || u.messages < before.messages || seconds <= 0 {
		return 0, 0
	}
	return (u.messages - before.messages) / seconds, (u.cpu - before.cpu) / seconds
}

// stop ends everything that was started.
func (c *cluster) stop() {
	c.mu.Lock()
	all := append([]*process{c.control}, c.nodes...)
	c.mu.Unlock()
	for _, p := range all {
		if p != nil {
			p.kill()
		}
	}
	http.DefaultClient.CloseIdleConnections()
	c.provider.Close()
	_ = os.RemoveAll(c.dir)
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
