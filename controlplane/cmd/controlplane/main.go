// Command controlplane runs a controller of API Proxy.
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
	"runtime/debug"
	"syscall"

	"apiproxy.internal/controlplane/controller"
	"apiproxy.internal/shared/cli"
)

const about = "controlplane: the controller of API Proxy. It shares out quotas, publishes the configuration, judges the breakers and shows the cluster."

// Exit codes: 0 a clean stop or a valid configuration, 1 a failure, 2 wrong
// flags.
func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	o := controller.DefaultOptions()
	o.Version = cli.Version()
	fs := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	configFile := fs.String("config", "", "configuration `FILE`, YAML or JSON, published if nothing has been published before; SIGHUP publishes it later. Without it: the three presets")
	fs.StringVar(&o.Listen, "listen", o.Listen, "`ADDR` of the API, /status and /metrics")
	fs.StringVar(&o.NATSListen, "nats-listen", o.NATSListen, "`ADDR` of the embedded NATS, where the nodes connect; beyond loopback it needs a secret")
	fs.StringVar(&o.NATSURL, "nats-url", "", "`URL`[,URL] of an external NATS with JetStream; without it NATS runs in this process")
	secretFile := fs.String("nats-secret-file", "", "`FILE` with the secret that all nodes share; "+cli.EnvName("nats-secret")+" may hold it instead")
	fs.StringVar(&o.NATSCA, "nats-tls-ca", "", "PEM `FILE` with the authorities that sign the nodes' certificates or, with --nats-url, that of NATS")
	fs.StringVar(&o.NATSCert, "nats-tls-cert", "", "PEM `FILE` with the certificate of the embedded NATS or, with --nats-url, of this controller")
	fs.StringVar(&o.NATSKey, "nats-tls-key", "", "PEM `FILE` with its private key")
	tokenFile := fs.String("admin-token-file", "", "`FILE` with the token for changes; "+cli.EnvName("admin-token")+" may hold it instead. Without one only this machine may change anything")
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "`DIR` of what must survive a restart")
	fs.StringVar(&o.LogDir, "log-dir", o.LogDir, "`DIR` of control.log; - is standard output")
	fs.StringVar(&o.TLSCert, "tls-cert", "", "PEM `FILE` with the certificate of --listen and those that sign it")
	fs.StringVar(&o.TLSKey, "tls-key", "", "PEM `FILE` with its private key; SIGHUP reads both again")
	fs.StringVar(&o.TLSMin, "tls-min", o.TLSMin, "oldest TLS `VERSION` of clients, 1.2 or 1.3")
	check := fs.Bool("check", false, "print every problem of the configuration and exit, 0 if it would be accepted")
	version := fs.Bool("version", false, "print the version and exit")
	actions := []string{"check", "version"}
	fs.Usage = func() { cli.Usage(fs, stdout, about, actions...) }
	err := cli.Parse(fs, args, os.LookupEnv, actions...)
	if err == nil {
		o.NATSSecret, err = cli.Secret("nats-secret", *secretFile, os.LookupEnv)
	}
	if err == nil {
		o.AdminToken, err = cli.Secret("admin-token", *tokenFile, os.LookupEnv)
	}
	if *configFile != "" {
		o.Source = controller.FileSource(*configFile)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(stderr, "controlplane:", err)
		return 2
	case *version:
		fmt.Fprintln(stdout, "controlplane", o.Version)
		return 0
	case *check:
		return runCheck(o, stdout)
	}
	o.Log = slog.NewTextHandler(stderr, nil)
	if err := serve(o); err != nil {
		fmt.Fprintln(stderr, "controlplane:", err)
		return 1
	}
	return 0
}

func runCheck(o controller.Options, out io.Writer) int {
	warnings, err := controller.Check(o)
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

// gcPercent is GOGC, unless the environment says otherwise: a controller keeps
// little, and the reports of a hundred nodes are two thousand short-lived messages
// a second. A tenth of its work was collecting them; this trades 15 MB for that.
const gcPercent = 300

// serve runs a controller until SIGTERM or SIGINT; SIGHUP publishes the
// configuration file and reads the certificates again, SIGUSR1 reopens the log.
func serve(o controller.Options) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	c, err := controller.New(o)
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return errors.Join(err, c.Stop(context.Background()))
	}
	for {
		select {
		case err := <-c.Failed():
			return errors.Join(err, c.Stop(context.Background()))
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				_ = c.Reload() // logged there
			case syscall.SIGUSR1:
				_ = c.ReopenLog()
			default:
				return c.Stop(context.Background())
			}
		}
	}
}
