// Command fakeprovider runs the scripted stand-in for Zerion, CoinGecko and
// Alchemy, which counts what really arrived.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"apiproxy.internal/loadtest/fakeprovider"
)

const usage = `fakeprovider stands in for Zerion, CoinGecko and Alchemy on one port and counts
what really arrived. It is for tests: it checks keys but keeps no secrets.

  --listen ADDR         address to listen on (APIPROXY_LISTEN; default :9100)
  --zerion-key KEY      (APIPROXY_ZERION_KEY, ZERION_API_KEY; default ` + fakeprovider.DemoZerionKey + `)
  --coingecko-key KEY   (APIPROXY_COINGECKO_KEY, COINGECKO_API_KEY; default ` + fakeprovider.DemoCoinGeckoKey + `)
  --alchemy-key KEY     (APIPROXY_ALCHEMY_KEY, ALCHEMY_API_KEY; default ` + fakeprovider.DemoAlchemyKey + `)

As an upstream, use http://ADDR for every provider, or http://ADDR/zerion,
/coingecko, /alchemy. Every provider also has /test /get /status/{code}
/delay/{ms} /bytes/{n} /stream/{n} /headers /echo /redirect?to=URL.

  curl ADDR/_control/stats                         what arrived
  curl 'ADDR/_control/arrivals?provider=zerion'    each arrival and its time
  curl ADDR/_control/faults -d '{"provider":"zerion","error_rate":0.5,"status":503}'
  curl ADDR/_control/faults -X DELETE
  curl ADDR/_control/reset -X POST                 zero the counters
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "fakeprovider:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("fakeprovider", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error is printed by main, the usage below
	// Environment variables are no flag defaults: a usage text would print the keys.
	listen := flags.String("listen", "", "")
	zerion := flags.String("zerion-key", "", "")
	coinGecko := flags.String("coingecko-key", "", "")
	alchemy := flags.String("alchemy-key", "", "")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		_, err = io.WriteString(stdout, usage)
		return err
	case err != nil:
		return fmt.Errorf("%w; see --help", err)
	case flags.NArg() > 0:
		return errors.New("there are words that belong to no flag; see --help") // they may be keys
	}

	server := fakeprovider.New(fakeprovider.Options{
		ZerionKey:    cmp.Or(*zerion, getenv("APIPROXY_ZERION_KEY"), getenv("ZERION_API_KEY")),
		CoinGeckoKey: cmp.Or(*coinGecko, getenv("APIPROXY_COINGECKO_KEY"), getenv("COINGECKO_API_KEY")),
		AlchemyKey:   cmp.Or(*alchemy, getenv("APIPROXY_ALCHEMY_KEY"), getenv("ALCHEMY_API_KEY")),
		Logf:         func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) },
	})
	defer server.Close()
	if err := server.Start(cmp.Or(*listen, getenv("APIPROXY_LISTEN"), ":9100")); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "fakeprovider: %s control: %[1]s/_control/stats %[1]s/_control/arrivals?provider=zerion %[1]s/_control/faults %[1]s/_control/reset\n",
		reachable(server.Addr()))
	<-ctx.Done()
	return nil
}

// reachable is the URL to type for a listening address: of all interfaces, the
// local one.
func reachable(addr string) string {
	if port, ok := strings.CutPrefix(addr, "[::]:"); ok {
		addr = "localhost:" + port
	}
	return "http://" + addr
}
