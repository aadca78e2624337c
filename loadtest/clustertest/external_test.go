package clustertest

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"apiproxy.internal/controlplane/controller"
	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/shared/wire"
)

// natsServer is Debian's nats-server, which is older than the embedded one.
type natsServer struct {
	url, secret string
	cmd         *exec.Cmd
}

// startNATS runs it with a user for the controller and one for each node, who has
// the permissions that the embedded server gives.
func startNATS(t *testing.T, nodes int) *natsServer {
	t.Helper()
	program, err := exec.LookPath("nats-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("SKIP: nats-server is not installed (Debian: apt-get install nats-server); an external NATS was not tried")
	}
	s := &natsServer{secret: rand.Text()}
	dir := t.TempDir()
	users := fmt.Sprintf("{user: controller, password: %q}", s.secret)
	for i := range nodes {
		id := fmt.Sprint("node-", i+1)
		publish := []string{wire.ReportSubject(id), "$JS.API.INFO"}
		for _, bucket := range []string{wire.ConfigBucket, wire.MembersBucket, wire.BreakerBucket} {
			stream := "KV_" + bucket
			publish = append(publish, "$JS.API.STREAM.INFO."+stream, "$JS.API.STREAM.MSG.GET."+stream, "$JS.API.DIRECT.GET."+stream+".>",
				"$JS.API.CONSUMER.CREATE."+stream+".>", "$JS.API.CONSUMER.DELETE."+stream+".>", "$JS.FC."+stream+".>")
		}
		allow := func(subjects ...string) string { return `["` + strings.Join(subjects, `", "`) + `"]` }
		users += fmt.Sprintf("\n{user: %q, password: %q, permissions: {publish: {allow: %s}, subscribe: {allow: %s}}}",
			id, s.secret, allow(publish...), allow(wire.InboxPrefix(id)+".>", wire.AnswerSubject(id)))
	}
	text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\nports_file_dir: %q\njetstream: {store_dir: %q}\nmax_payload: 3MB\nauthorization: {users: [%s]}\n", dir, dir, users)
	file := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "nats.log"))
	if err != nil {
		t.Fatal(err)
	}
	s.cmd = exec.Command(program, "-c", file)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("nats-server:\n%s", text)
		}
		_ = log.Close()
	})
	c := &client{t: t}
	c.eventually("nats-server listens", func() bool {
		var ports struct{ NATS []string }
		text, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("nats-server_%d.ports", s.cmd.Process.Pid)))
		if err != nil || json.Unmarshal(text, &ports) != nil || len(ports.NATS) == 0 {
			return false
		}
		s.url = ports.NATS[0]
		return true
	})
	return s
}

// use makes it the NATS of a cluster.
func (s *natsServer) use(o *cluster.Options) {
	o.Control = func(o *controller.Options) { o.NATSURL, o.NATSSecret = s.url, s.secret }
	o.Node = func(_ int, o *node.Options) { o.DrainDelay, o.NATSURL, o.NATSSecret = 0, s.url, s.secret }
}

// A cluster over an external NATS: changes arrive, breakers open, and a NATS that
// is frozen for a while costs no request and no node.
func TestExternalNATS(t *testing.T) {
	t.Parallel()
	s := startNATS(t, 3)
	b := start(t, 3, highLimits, s.use)
	requests := b.send(60, b.urls("/zerion/test")...)
	if o := b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":900000}`); o.Applied != 3 {
		t.Errorf("%+v", o)
	}
	b.api("POST", "/api/v1/breakers/coingecko/trip", `{"reason":"test"}`)
	b.everywhere("coingecko", "open")

	if err := s.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.eventually("the controller notices", func() bool {
		a, err := b.try("GET", b.ControlURL()+"/ready", "")
		return err == nil && a.status == 503
	})
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	b.converged(3)
	if o := b.change("PUT", "/api/v1/limits/global?wait=30s", `{"rate":800000}`); o.Applied != 3 {
		t.Errorf("afterwards: %+v", o)
	}
	if n := b.metric(b.ControlURL(), `api_proxy_control_events_total{event="node_left"}`); n != 0 {
		t.Errorf("%v nodes were taken for dead", n)
	}
	requests.end(t, 50)
	if log := b.log("controller", "control.log"); strings.Contains(log, s.secret) {
		t.Error("the secret is in the log")
	}
}
