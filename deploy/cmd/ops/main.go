// Command ops does in a container what a shell would be needed for: the images
// have none. It reports health, prepares the first start and runs the balancer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"apiproxy.internal/deploy/internal/balance"
)

const usage = `ops does in a container what a shell would be needed for.

  ops health PATH [ADDR]   exit 0 if http://ADDR/PATH answers 200. ADDR is that of
                           APIPROXY_LISTEN, if set; https if APIPROXY_TLS_CERT is set
  ops init DIR             make the secrets nats-secret and admin-token in DIR unless
                           they are there. OPS_OWN=PATH:UID:GID[,...] are folders to
                           make and to hand over
  ops print FILE           print a file, such as the admin token
  ops balance              run nginx in front of the nodes; LB_NODES, LB_CONTROL,
                           LB_METHOD, LB_TLS_CERT, LB_TLS_KEY say how
`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run returns the exit code: 0 done, 1 failed, 2 wrong words.
func run(args []string, stdout, stderr io.Writer) int {
	err := errUsage
	if len(args) > 0 {
		rest := args[1:]
		switch {
		case args[0] == "--help" || args[0] == "help":
			fmt.Fprint(stdout, usage)
			return 0
		case args[0] == "health" && (len(rest) == 1 || len(rest) == 2):
			err = health(rest, os.Getenv)
		case args[0] == "init" && len(rest) == 1:
			err = prepare(rest[0], os.Getenv("OPS_OWN"), stdout)
		case args[0] == "print" && len(rest) == 1:
			err = show(rest[0], stdout)
		case args[0] == "balance" && len(rest) == 0:
			err = runBalancer(stderr)
		}
	}
	switch {
	case errors.Is(err, errUsage):
		fmt.Fprint(stderr, usage)
		return 2
	case err != nil:
		fmt.Fprintln(stderr, "ops:", err)
		return 1
	}
	return 0
}

var errUsage = errors.New("wrong words")

func show(path string, w io.Writer) error {
	text, err := os.ReadFile(path)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

// runBalancer runs until SIGTERM or SIGINT; SIGHUP reads the certificate again.
func runBalancer(stderr io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT)
	defer stop()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	settings, err := balance.FromEnv(os.Getenv)
	if err != nil {
		return err
	}
	return balance.Run(ctx, settings, hangups, slog.New(slog.NewTextHandler(stderr, nil)))
}
