// Command dataplane runs one node of API Proxy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"apiproxy.internal/dataplane/node"
	"apiproxy.internal/shared/cli"
)

const about = "dataplane: a node of API Proxy. It adds provider keys, keeps traffic inside quotas and shields callers."

// Exit codes: 0 a clean stop or a valid configuration, 1 a failure, 2 wrong
// flags.
func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	o := node.DefaultOptions()
	o.Version = cli.Version()
	fs := flag.NewFlagSet("dataplane", flag.ContinueOnError)
	configFile := fs.String("config", "", "configuration `FILE`, YAML or JSON; without it the three presets are served. With --nats-url it only serves until the controller has spoken once")
	fs.StringVar(&o.Listen, "listen", o.Listen, "`ADDR` of proxied requests and of the operator's endpoints")
	fs.StringVar(&o.AdminListen, "admin-listen", "", "`ADDR` that alone serves /metrics /status /circuit-breaker-stats")
	fs.StringVar(&o.NodeID, "node-id", "", "`ID` of this node; default: the host name and a suffix kept in --data-dir")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "`DIR` of what must survive a restart")
	fs.StringVar(&o.LogDir, "log-dir", o.LogDir, "`DIR` of access.log and error.log; - is standard output")
	fs.DurationVar(&o.DrainDelay, "drain-delay", o.DrainDelay, "`TIME` from \"not ready\" to closing the port, for the balancer to notice")
	fs.DurationVar(&o.DrainTimeout, "drain-timeout", o.DrainTimeout, "`TIME` that requests in flight get after that")
	fs.StringVar(&o.NATSURL, "nats-url", "", "`URL`[,URL] of NATS, where the controller is met; without it the node is on its own")
	secretFile := fs.String("nats-secret-file", "", "`FILE` with the secret that all nodes share; "+cli.EnvName("nats-secret")+" may hold it instead")
	natsCA := fs.String("nats-tls-ca", "", "PEM `FILE` with the authorities that sign the certificate of NATS")
	natsCert := fs.String("nats-tls-cert", "", "PEM `FILE` with the certificate that the node shows NATS")
	natsKey := fs.String("nats-tls-key", "", "PEM `FILE` with its private key")
	fs.StringVar(&o.Advertise, "advertise", "", "`HOST:PORT` where the controller can ask this node's /health; default: the port of --listen at the address used towards NATS")
	fs.StringVar(&o.TLSCert, "tls-cert", "", "PEM `FILE` with the certificate of --listen and those that sign it")
	fs.StringVar(&o.TLSKey, "tls-key", "", "PEM `FILE` with its private key; SIGHUP reads both again")
	fs.StringVar(&o.TLSMin, "tls-min", o.TLSMin, "oldest TLS `VERSION` of clients, 1.2 or 1.3")
	fs.BoolVar(&o.DebugAdmittedAt, "debug-admitted-at", false, "send X-Proxy-Admitted-At upstream, for measuring; needs private upstreams")
	check := fs.Bool("check", false, "print every problem of the configuration and exit, 0 if it would be accepted")
	diagnose := fs.Bool("diagnose", false, "try DNS, TCP and TLS to each provider, print what happens and exit, 0 if all can be reached")
	version := fs.Bool("version", false, "print the version and exit")
	actions := []string{"check", "diagnose", "version"}
	fs.Usage = func() { cli.Usage(fs, stdout, about, actions...) }
	err := cli.Parse(fs, args, os.LookupEnv, actions...)
	if err == nil {
		o.NATSSecret, err = cli.Secret("nats-secret", *secretFile, os.LookupEnv)
	}
	if err == nil {
		o.NATSTLS, err = cli.ClientTLS("nats-tls", *natsCA, *natsCert, *natsKey)
	}
	if *configFile != "" {
		o.Source = node.FileSource(*configFile)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "dataplane:", err)
		return 2
	case *version:
		fmt.Fprintln(stdout, "dataplane", o.Version)
		return 0
	case *check:
		return runCheck(o, stdout)
	case *diagnose:
		err = node.Diagnose(context.Background(), o, stdout)
	default:
		o.Log = slog.NewTextHandler(stderr, nil)
		err = serve(o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "dataplane:", err)
		return 1
	}
	return 0
}

func runCheck(o node.Options, out io.Writer) int {
	warnings, err := node.Check(o)
	for _, w := range warnings {
		fmt.Fprintln(out, "warning:", w.Error())
	}
	if err != nil {
		fmt.Fprintln(out, err)
		fmt.Fprintln(out, "configuration refused")
		return 1
	}
	fmt.Fprintln(out, "configuration ok")
	return 0
}

// serve runs a node until a signal ends it: SIGTERM and SIGINT drain it (a
// second one ends it at once), SIGHUP reloads, SIGUSR1 reopens the logs.
func serve(o node.Options) error {
	stop := make(chan os.Signal, 1)
	upkeep := make(chan os.Signal, 4)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(upkeep, syscall.SIGHUP, syscall.SIGUSR1)
	n, err := node.New(o)
	if err != nil {
		return err
	}
	if err := n.Start(); err != nil {
		return errors.Join(err, n.Stop(context.Background()))
	}
	go keepUp(n, upkeep) // apart: a disk that hangs must not keep the node from stopping
	select {
	case err := <-n.Failed():
		return errors.Join(err, n.Stop(context.Background()))
	case <-stop:
		ctx, done := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
		defer done()
		if err := n.Stop(ctx); !errors.Is(err, node.ErrCutOff) {
			return err
		}
		return nil // logged there; the time for them was the operator's choice
	}
}

// keepUp does what does not end the node; what fails is logged there. Logs are
// reopened apart: that waits for the disk, and a reload must not.
func keepUp(n *node.Node, signals <-chan os.Signal) {
	for s := range signals {
		if s == syscall.SIGHUP {
			_ = n.Reload()
		} else {
			go func() { _ = n.ReopenLogs() }()
		}
	}
}
