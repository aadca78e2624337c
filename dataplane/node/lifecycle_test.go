package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// A New that fails says everything that is wrong, and leaves nothing behind.
func TestNewErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name   string
		change func(*Options)
		want   []string
	}{
		{"options", func(o *Options) { o.Listen, o.NodeID, o.DrainDelay = "", "a b", -1 }, []string{"--listen", `--node-id "a b"`, "--drain-delay"}},
		{"nothing set", func(o *Options) { o.Lookup = nil }, []string{"DefaultOptions"}},
		{"half of TLS", func(o *Options) { o.TLSCert, o.TLSMin = "x", "1.1" }, []string{"--tls-key", `--tls-min "1.1"`}},
		{"TLS files", func(o *Options) { o.TLSCert, o.TLSKey = file, file }, []string{"--tls-cert"}},
		{"data folder", func(o *Options) { o.NodeID, o.DataDir = "", file }, []string{"--data-dir", "--node-id"}},
		{"log folder", func(o *Options) { o.LogDir = file }, []string{"--log-dir"}},
		{"no such file", func(o *Options) { o.Source = FileSource(file + ".yaml") }, []string{"--config", "no such file"}},
		{"measuring aid", func(o *Options) { o.DebugAdmittedAt, o.Source = true, presets }, []string{"--debug-admitted-at", "upstream of"}},
		{"document", func(o *Options) {
			x := new(text)
			x.set("proxi: {}\nserver: {max_in_flight: -1}\n")
			o.Source = x.source
		}, []string{"line 1: proxi", "line 2: server.max_in_flight"}},
	} {
		o := DefaultOptions()
		dir := t.TempDir()
		o.NodeID, o.DataDir, o.LogDir = "n1", dir, dir
		row.change(&o)
		_, err := New(o)
		if err == nil {
			t.Errorf("%s: no error", row.name)
			continue
		}
		for _, want := range row.want {
			if strings.Count(err.Error(), want) != 1 {
				t.Errorf("%s: want %q once in %q", row.name, want, err)
			}
		}
		if err := goleak.Find(leaks...); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestLifecycle(t *testing.T) {
	ctx := context.Background()
	b := newBench(t, nil)
	if b.Addr() != nil || b.AdminAddr() != nil {
		t.Error("an address before Start")
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err == nil {
		t.Error("a second Start went well")
	}
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := b.Stop(ctx); err != nil {
		t.Errorf("a second Stop: %v", err)
	}
	if err := b.Start(); err == nil {
		t.Error("a Start after Stop went well")
	}
	if err := b.Reload(); err != nil {
		t.Errorf("a Reload after Stop: %v", err)
	}
	if err := b.ReopenLogs(); err == nil {
		t.Error("closed logs were reopened")
	}
	if _, err := net.Dial("tcp", b.Addr().String()); err == nil {
		t.Error("the port is open after Stop")
	}

	never := newBench(t, nil)
	if err := never.Stop(ctx); err != nil {
		t.Errorf("Stop without Start: %v", err)
	}
	if err := never.Start(); err == nil {
		t.Error("a Start after Stop went well")
	}
}

// A server that has not got going yet must not outlive its Stop.
func TestStopAtOnce(t *testing.T) {
	for range 30 {
		b := start(t, func(o *Options) { o.AdminListen = "127.0.0.1:0" })
		if err := b.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		b.upstream.Close()
		if err := goleak.Find(leaks...); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for flag, change := range map[string]func(*Options){
		"--listen":       func(o *Options) { o.Listen = taken.Addr().String() },
		"--admin-listen": func(o *Options) { o.AdminListen = taken.Addr().String() },
	} {
		b := newBench(t, change)
		err := b.Start()
		if err == nil || !strings.Contains(err.Error(), flag+" "+taken.Addr().String()) || !strings.Contains(err.Error(), "choose another") {
			t.Errorf("%s: %v", flag, err)
		}
		if b.Addr() != nil {
			t.Errorf("%s: half of the node was started", flag)
		}
	}
}

// A request in flight finishes; nobody else gets in.
func TestStopWaitsForRequests(t *testing.T) {
	b := start(t, nil)
	b.get("/up/x") // leaves an idle connection, which must not hold up the stop
	answer := b.inBackground("/up/slow")
	<-b.upstream.entered
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(context.Background()) }()
	eventually(t, "the port to close", func() bool {
		c, err := net.Dial("tcp", b.Addr().String())
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a request in flight: %v", err)
	default:
	}
	close(b.upstream.release)
	if code := <-answer; code != 200 {
		t.Errorf("the request in flight got %d", code)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := strings.Count(b.logFile("access.log"), "\n"); n != 2 {
		t.Errorf("%d lines in the access log, want 2", n)
	}
}

// Requests that take too long are cut off, recorded and reported.
func TestStopCutsOff(t *testing.T) {
	hurry, cancel := context.WithCancel(context.Background())
	cancel()
	for _, row := range []struct {
		name  string
		ctx   context.Context
		limit time.Duration
		want  string
	}{
		{"the drain timeout", context.Background(), time.Millisecond, "2 requests were cut off: they took longer than --drain-timeout 1ms"},
		{"a second signal", hurry, time.Hour, "2 requests were cut off: context canceled"},
	} {
		b := start(t, func(o *Options) { o.DrainTimeout = row.limit })
		first, second := b.inBackground("/up/slow/1"), b.inBackground("/up/slow/2")
		<-b.upstream.entered
		<-b.upstream.entered
		if err := b.Stop(row.ctx); err == nil || err.Error() != row.want {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
		if one, two := <-first, <-second; one != 0 || two != 0 {
			t.Errorf("%s: answers %d and %d", row.name, one, two)
		}
		if n := strings.Count(b.logFile("access.log"), "\n"); n != 2 {
			t.Errorf("%s: %d lines in the access log, want 2", row.name, n)
		}
		if !strings.Contains(b.logFile("error.log"), "2 requests were cut off") {
			t.Errorf("%s: error.log is silent", row.name)
		}
		if n := b.proxy.InFlight(); n != 0 {
			t.Errorf("%s: %d requests still in flight", row.name, n)
		}
	}
}

// A connection that never sent a request is no reason for an error.
func TestStopIgnoresSilentConnections(t *testing.T) {
	b := start(t, func(o *Options) { o.DrainTimeout = time.Millisecond })
	c, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b.get("/up/x") // the first one was accepted before this one
	if err := b.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the silent connection got something")
	}
}

// For the drain delay the node serves on, but sends everybody away.
func TestDrainDelay(t *testing.T) {
	b := start(t, func(o *Options) { o.DrainDelay, o.AdminListen = time.Hour, "127.0.0.1:0" })
	old, err := net.Dial("tcp", b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	_ = old.SetDeadline(time.Now().Add(10 * time.Second))
	answers := bufio.NewReader(old)
	ask := func(path string) *http.Response {
		t.Helper()
		fmt.Fprintf(old, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path)
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp
	}
	if resp := ask("/up/x"); resp.Close {
		t.Error("a node that is not draining closes connections")
	}

	ctx, endDelay := context.WithCancel(context.Background())
	defer endDelay()
	stopped := make(chan error, 1)
	go func() { stopped <- b.Stop(ctx) }()
	admin := "http://" + b.AdminAddr().String()
	eventually(t, "/ready to turn 503", func() bool { resp, _ := b.do("GET", admin+"/ready"); return resp.StatusCode == 503 })

	for _, url := range []string{b.url("/up/x"), b.url("/nobody"), b.url("/health"), admin + "/metrics", admin + "/nobody"} {
		resp, _ := b.do("GET", url)
		if !resp.Close || resp.StatusCode != 200 && !strings.HasSuffix(url, "/nobody") {
			t.Errorf("%s on a new connection: %d, Connection: close %t", url, resp.StatusCode, resp.Close)
		}
	}
	if resp, body := b.get("/ready"); resp.StatusCode != 503 || !strings.HasPrefix(body, `{"status":"draining","node":"n1"`) {
		t.Errorf("/ready: %d %s", resp.StatusCode, body)
	}
	if resp := ask("/up/x"); resp.StatusCode != 200 || !resp.Close {
		t.Errorf("on the old connection: %d, Connection: close %t", resp.StatusCode, resp.Close)
	}
	if state := b.Status().Nodes[0].State; state != "draining" {
		t.Errorf("the status says %s", state)
	}
	endDelay()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", b.Addr().String()); err == nil {
		t.Error("the port is open after the drain")
	}
}

// Nodes in one process share nothing.
func TestTwoNodes(t *testing.T) {
	a, b := start(t, nil), start(t, func(o *Options) { o.NodeID = "n2" })
	a.yaml.set("rate_limit: {global: {rate: 1/h, burst: 1}}\ncircuit_breaker: {failure_threshold: 1}\n" + a.upstream.provider())
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	a.upstream.Close()
	for _, want := range []int{502, 429} {
		if resp, body := a.get("/up/x"); resp.StatusCode != want {
			t.Errorf("first node: %d %s, want %d", resp.StatusCode, body, want)
		}
	}
	for range 3 {
		if resp, body := b.get("/up/x"); resp.StatusCode != 200 {
			t.Errorf("second node: %d %s", resp.StatusCode, body)
		}
	}
	for n, want := range map[*bench]string{a: "open", b: "closed"} {
		if got := n.Status().Providers["up"].State; got != want {
			t.Errorf("%s: the breaker is %s, want %s", n.ID(), got, want)
		}
	}
	if _, body := b.get("/metrics"); !strings.Contains(body, `api_proxy_requests_total{provider="up",method="GET"} 3`) || strings.Contains(body, `node="n1"`) {
		t.Error("the second node's metrics hold more than its own")
	}
	if err := a.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if resp, _ := b.get("/up/x"); resp.StatusCode != 200 {
		t.Errorf("after the first node's stop: %d", resp.StatusCode)
	}
}
