package dataplane_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

const (
	module   = "apiproxy.internal/dataplane/"
	internal = module + "internal/"
	verdict  = internal + "verdict"

	fasthttp = "github.com/valyala/fasthttp/..."
	metrics  = "github.com/VictoriaMetrics/..."
	nats     = "github.com/nats-io/..."
)

// cores are the pure stages of the request path, each with what it may import
// beside the standard library and verdict.
var cores = map[string][]string{
	"limit":      nil,
	"breaker":    {"apiproxy.internal/shared/wire"}, // the words of the leader are plain values
	"lease":      {internal + "limit", "apiproxy.internal/shared/quota"},
	"meter":      nil,
	"route":      nil,
	"http1":      nil,
	"retry":      {internal + "meter"},
	"clientaddr": {internal + "http1"},
	"forward":    {internal + "http1", internal + "credential"},
	"credential": {"apiproxy.internal/shared/config"},

	"jsonrpc":        nil,
	"cache":          {internal + "http1"},
	"cache/ladder":   {internal + "cache"},
	"cache/store":    nil,
	"cache/coalesce": nil,
}

func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{
		{
			Packages: []string{module + "..."},
			Forbid:   []string{"apiproxy.internal/controlplane/...", "apiproxy.internal/loadtest/..."}, Deep: true,
			Because: "the planes are released apart and meet only in shared and on the wire",
		},
		{
			Packages: []string{module + "cmd/..."},
			Forbid:   []string{"github.com/nats-io/nats-server/..."}, Deep: true,
			Because: "a node is a client of NATS; the server would double its binary",
		},
		{
			Packages: []string{module + "cmd/..."},
			Forbid:   []string{"..."}, Allow: []string{"std", module + "node", "apiproxy.internal/shared/cli"},
			Because: "main turns flags and signals into calls; logic there cannot be tested in process",
		},
		{
			Packages: []string{module + "..."}, Except: []string{module + "cmd/..."},
			Forbid:  []string{"os/signal", "flag"},
			Because: "signals and flags belong to the process, and several nodes share one",
		},
		{
			Packages: []string{module + "..."}, Except: []string{module + "lab"},
			Forbid:  []string{module + "lab"},
			Because: "lab opens the cores to simulations, not to programs",
		},
		{
			Packages: []string{verdict},
			Forbid:   []string{"..."},
			Because:  "verdict is the leaf that every stage shares; whatever it imports, all of them do",
		},
		{
			Packages: []string{internal + "offheap"},
			Forbid:   []string{"..."}, Allow: []string{"syscall"},
			Because: "memory of the system is handed to the store by whoever wires it; the store itself stays pure",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "metrics"},
			Forbid:  []string{metrics, "github.com/prometheus/..."},
			Because: "one place to change the metrics library; the others report plain values",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "bus"},
			Forbid:  []string{nats},
			Because: "one place to change the NATS library; the others exchange messages of shared/wire",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "proxy", module + "node"},
			Forbid:  []string{fasthttp},
			Because: "proxy is the request path and node wires the server; the stages between take bytes, so that they can be tested and fuzzed without one",
		},
	})
}

func TestCoresArePure(t *testing.T) {
	var rules []archtest.Rule
	for core, allowed := range cores {
		rules = append(rules,
			archtest.Rule{
				Packages: []string{internal + core},
				Forbid:   []string{"..."}, Allow: append([]string{"std", verdict}, allowed...),
				Because: "a stage is read and tested alone; proxy puts the stages together",
			},
			archtest.Rule{
				Packages: []string{internal + core},
				Forbid:   []string{"log/...", "os/...", "net/...", "syscall"}, Allow: []string{"net/netip", "net/url"},
				Because: "a core is a function of its arguments: it does no input or output and logs nothing",
			},
			archtest.Rule{
				Packages: []string{internal + core},
				Forbid:   []string{fasthttp, nats, metrics, "github.com/prometheus/..."}, Deep: true,
				Because: "a core must not reach the libraries of the edges through another package either",
			})
	}
	archtest.Imports(t, rules)
}

// The clock is an argument: only so can a test be exact about time.
func TestCoresTakeTheTime(t *testing.T) {
	var packages []string
	for core := range cores {
		packages = append(packages, internal+core)
	}
	archtest.NoCall(t, packages, "time",
		[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"the time is an argument of the cores, in nanoseconds of the node's clock")
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
