// Command allinone runs a whole API Proxy in one process: a controller, nodes and
// fake providers. It needs no keys, no network and no Docker.
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
	"apiproxy.internal/loadtest/cluster"
	"apiproxy.internal/shared/cli"
)

const about = "allinone: API Proxy in one process, to try it, develop it and test it."

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	o := cluster.Options{Version: cli.Version(), Lookup: os.LookupEnv}
	fs := flag.NewFlagSet("allinone", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { cli.Usage(fs, stderr, about, "version") }
	fs.IntVar(&o.Nodes, "nodes", 3, "how many nodes, `N`")
	fs.StringVar(&o.Listen, "listen", ":8080", "`ADDR` of the first node; the ports of the next ones count up")
	fs.StringVar(&o.ControlListen, "control-listen", ":8090", "`ADDR` of the controller's API and /status")
	fs.StringVar(&o.ConfigFile, "config", "", "configuration `FILE`, YAML or JSON, published if nothing has been published before; default: the three presets")
	tokenFile := fs.String("admin-token-file", "", "`FILE` with the token for changes; without one only this machine may change anything")
	providers := fs.String("providers", "fake", "`fake|config`: fake providers in this process, or the upstreams and keys of the configuration")
	fs.StringVar(&o.ProviderListen, "provider-listen", ":9100", "`ADDR` of the fake providers")
	fs.StringVar(&o.Dir, "data-dir", "./data", "`DIR` of what must survive a restart, one folder for the controller and for each node")
	fs.StringVar(&o.LogDir, "log-dir", "./logs", "`DIR` of the logs, one folder for each; - is standard output")
	drain := fs.Duration("drain-delay", 0, "`TIME` that each node keeps its port open after a stop signal")
	admitted := fs.Bool("debug-admitted-at", false, "send X-Proxy-Admitted-At upstream, for measuring")
	version := fs.Bool("version", false, "print the version and exit")
	if err := cli.Parse(fs, args, os.LookupEnv, "version"); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		fmt.Fprintln(stderr, "allinone:", err)
		return 2
	}
	var err error
	if o.Token, err = cli.Secret("admin-token", *tokenFile, os.LookupEnv); err != nil {
		fmt.Fprintln(stderr, "allinone:", err)
		return 2
	}
	if *version {
		fmt.Fprintln(stdout, "allinone", o.Version)
		return 0
	}
	if *providers != "fake" && *providers != "config" {
		fmt.Fprintf(stderr, "allinone: --providers %q: use fake or config\n", *providers)
		return 2
	}
	o.RealProviders = *providers == "config"
	o.Log = slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: slog.LevelWarn})
	o.Node = func(_ int, no *node.Options) { no.DrainDelay, no.DebugAdmittedAt = *drain, *admitted }
	if err := serve(o, stdout); err != nil {
		fmt.Fprintln(stderr, "allinone:", err)
		return 1
	}
	return 0
}

func serve(o cluster.Options, stdout io.Writer) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1)
	c, err := cluster.Start(o)
	if err != nil {
		return err
	}
	welcome(stdout, c, o)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- c.Failed(ctx) }()
	for {
		select {
		case err := <-failed:
			return errors.Join(err, c.Stop(context.Background()))
		case s := <-signals:
			switch s {
			case syscall.SIGHUP:
				_ = c.Reload() // each node logs what it refused
			case syscall.SIGUSR1:
				_ = c.ReopenLogs()
			default:
				fmt.Fprintln(stdout, "stopping")
				return c.Stop(context.Background())
			}
		}
	}
}

func welcome(w io.Writer, c *cluster.Cluster, o cluster.Options) {
	fmt.Fprintf(w, "API Proxy is running: a controller and %d nodes that hold the limits together.\n\n", len(c.Nodes))
	fmt.Fprintf(w, "  %-10s %s/status   logs in %s/controller\n", "controller", c.ControlURL(), o.LogDir)
	for i, n := range c.Nodes {
		fmt.Fprintf(w, "  %-10s %s   logs in %s/%s\n", n.ID(), c.URL(i), o.LogDir, n.ID())
	}
	if c.Provider == nil {
		fmt.Fprint(w, "\nProviders: those of the configuration. Stop with Ctrl-C.\n")
		return
	}
	fmt.Fprintf(w, `
Fake Zerion, CoinGecko and Alchemy answer at %s. Try:

  curl %s/zerion/v1/wallets/0x42b9df65b219b3dd36ff330a4dd8f327a6ada990/portfolio
  curl '%s/coingecko/api/v3/simple/price?ids=bitcoin,ethereum&vs_currencies=usd'
  curl %s/alchemy -d '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","params":[]}'

The cluster, for a browser:  %s/status
Change a limit everywhere:   curl -X PUT '%s/api/v1/limits/per_ip?wait=2s' -d '{"rate":5,"burst":5}'
What the providers saw:      curl %s/_control/stats
Stop with Ctrl-C.
`, c.ProviderURL(), c.URL(0), c.URL(min(1, len(c.Nodes)-1)), c.URL(len(c.Nodes)-1), c.ControlURL(), c.ControlURL(), c.ProviderURL())
}
