package process

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/loadtest/fakeprovider"
	"apiproxy.internal/shared/config"
)

// Fleet is a controller and nodes as processes, and the fake providers in this
// one. The nodes reach NATS through a relay, so the controller may come back at
// other ports. Not safe for simultaneous use.
type Fleet struct {
	Controller *Process
	Nodes      []*Process
	Provider   *fakeprovider.Server
	Relay      *cluster.Relay
	ControlURL string
	NodeURLs   []string

	dir, token, secret string
}

var (
	controllerStarted = regexp.MustCompile(`msg="controller started".* address=(\S+)`)
	natsStarted       = regexp.MustCompile(`msg="controller started".* nats="embedded at (\S+?)"`)
	nodeStarted       = regexp.MustCompile(`msg="node started".* address=(\S+)`)
)

// StartFleet starts a controller with a document, whose presets it leads to the
// fake providers, and nodes. dir keeps all data and logs. On an error nothing is
// left running.
func StartFleet(dir, token string, nodes int, doc *config.Document) (_ *Fleet, err error) {
	f := &Fleet{dir: dir, token: token, secret: rand.Text(), Provider: fakeprovider.New(fakeprovider.Options{})}
	if err := f.Provider.Start("127.0.0.1:0"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Stop())
		}
	}()
	doc = cluster.ToFake(doc, f.Provider.Addr())
	if err := os.WriteFile(f.configPath(), doc.JSON(), 0o600); err != nil {
		return nil, err
	}
	if err := f.StartController(); err != nil {
		return nil, err
	}
	for range nodes {
		if err := f.AddNode(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Fleet) configPath() string { return filepath.Join(f.dir, "config.json") }

// StartController starts the controller, for the first time or again.
func (f *Fleet) StartController() error {
	dir := filepath.Join(f.dir, "controller")
	p, err := Run("controlplane", []string{"APIPROXY_NATS_SECRET=" + f.secret, "APIPROXY_ADMIN_TOKEN=" + f.token},
		"--config", f.configPath(), "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", dir, "--log-dir", dir)
	if err != nil {
		return err
	}
	f.Controller = p
	address, err := p.Find(controllerStarted)
	if err != nil {
		return err
	}
	nats, err := p.Find(natsStarted)
	if err != nil {
		return err
	}
	f.ControlURL = "http://" + address
	if f.Relay == nil {
		f.Relay, err = cluster.NewRelay(nats)
		return err
	}
	f.Relay.Retarget(nats)
	return nil
}

// AddNode starts one more node.
func (f *Fleet) AddNode() error {
	p, url, err := f.Node(len(f.Nodes))
	if err == nil {
		f.Nodes, f.NodeURLs = append(f.Nodes, p), append(f.NodeURLs, url)
	}
	return err
}

// RestartNode starts node i again, which has ended.
func (f *Fleet) RestartNode(i int) (err error) {
	f.Nodes[i], f.NodeURLs[i], err = f.Node(i)
	return err
}

// Node starts a process that takes itself for node i.
func (f *Fleet) Node(i int, flags ...string) (p *Process, url string, err error) {
	id := fmt.Sprint("node-", i+1)
	dir := filepath.Join(f.dir, id)
	p, err = Run("dataplane", []string{
		"APIPROXY_NATS_SECRET=" + f.secret, "ZERION_API_KEY=" + fakeprovider.DemoZerionKey,
		"COINGECKO_API_KEY=" + fakeprovider.DemoCoinGeckoKey, "ALCHEMY_API_KEY=" + fakeprovider.DemoAlchemyKey,
	}, append([]string{"--node-id", id, "--listen", "127.0.0.1:0", "--nats-url", "nats://" + f.Relay.Addr(),
		"--data-dir", dir, "--log-dir", dir, "--drain-delay", "0s", "--drain-timeout", "5s"}, flags...)...)
	if err != nil {
		return nil, "", err
	}
	address, err := p.Find(nodeStarted)
	if err != nil {
		p.Kill()
		return nil, "", err
	}
	return p, "http://" + address, nil
}

// Stop ends everything that still runs. Idempotent; the error is for an end that
// was not clean.
func (f *Fleet) Stop() error {
	var errs []error
	for _, p := range f.Nodes {
		errs = append(errs, p.Stop())
	}
	if f.Controller != nil {
		errs = append(errs, f.Controller.Stop())
	}
	if f.Relay != nil {
		f.Relay.Close()
	}
	f.Provider.Close()
	return errors.Join(errs...)
}
