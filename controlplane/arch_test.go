package controlplane_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

const (
	module   = "apiproxy.internal/controlplane/"
	internal = module + "internal/"
	shared   = "apiproxy.internal/shared/"

	nats       = "github.com/nats-io/..."
	prometheus = "github.com/prometheus/..."
)

// cores are the pure packages, each with what it may import beside the standard
// library.
var cores = map[string][]string{
	"breaker":    {shared + "wire"},
	"kv":         nil,
	"ledger":     {shared + "quota"},
	"membership": {shared + "status", shared + "wire"},
	"overview":   {shared + "config", shared + "latency", shared + "status", shared + "wire"},
	"rollout":    nil,
}

func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{
		{
			Packages: []string{module + "..."},
			Forbid:   []string{"apiproxy.internal/dataplane/...", "apiproxy.internal/loadtest/..."}, Deep: true,
			Because: "the planes are released apart and meet only in shared and on the wire",
		},
		{
			Packages: []string{module + "cmd/..."},
			Forbid:   []string{"..."}, Allow: []string{"std", module + "controller", shared + "cli"},
			Because: "main turns flags and signals into calls; logic there cannot be tested in process",
		},
		{
			Packages: []string{module + "..."}, Except: []string{module + "cmd/..."},
			Forbid:  []string{"os/signal", "flag"},
			Because: "signals and flags belong to the process, and several controllers share one in tests",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "broker"},
			Forbid:  []string{nats},
			Because: "one place to change the NATS library; the others see buckets and messages",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "metrics"},
			Forbid:  []string{prometheus},
			Because: "one place to change the metrics library; the others report plain values",
		},
		{
			Packages: []string{internal + "httpapi"},
			Forbid:   []string{nats, prometheus}, Deep: true,
			Because: "the API asks a Backend and reports to a hook, so that it is tested without either library",
		},
		{
			Packages: []string{internal + "httpapi"},
			Forbid:   []string{module + "...", shared + "wire"},
			Because:  "handlers decide nothing: whatever they need of the control plane is in their Backend, in plain types",
		},
		{
			Packages: []string{module + "..."}, Except: []string{internal + "httpapi"},
			Forbid:  []string{"github.com/danielgtaylor/..."},
			Because: "one place to change the library that describes the API",
		},
		{
			Packages: []string{internal + "configstore"},
			Forbid:   []string{"..."}, Allow: []string{"std", internal + "kv", shared + "..."},
			Because: "the configuration service is tried over any bucket, without NATS and HTTP",
		},
		{
			Packages: []string{module + "..."}, Except: []string{module + "linear", internal + "kv/kvtest"},
			Forbid: []string{module + "linear", internal + "kv/kvtest", "github.com/anishathalye/porcupine"}, Deep: true,
			Because: "suites and the judge of histories are for tests, not for programs",
		},
		{
			Packages: []string{module + "statusview"},
			Forbid:   []string{"..."}, Allow: []string{"std", shared + "status"},
			Because: "the page shows the document that everybody gets as JSON and knows nothing else of the controller",
		},
		{
			Packages: []string{module + "..."}, Except: []string{module + "lab"},
			Forbid: []string{module + "lab"}, Deep: true,
			Because: "lab opens the cores to simulations, not to programs",
		},
	})
}

// The leader's judgements are functions of their arguments, as the node's are.
func TestCoresArePure(t *testing.T) {
	var packages []string
	for core, allowed := range cores {
		packages = append(packages, internal+core)
		archtest.Imports(t, []archtest.Rule{
			{
				Packages: []string{internal + core},
				Forbid:   []string{"..."}, Allow: append([]string{"std"}, allowed...),
				Because: "a core is read and tested alone; the leader puts the cores together",
			},
			{
				Packages: []string{internal + core},
				Forbid:   []string{"log/...", "os/...", "net/...", "syscall"},
				Because:  "a core is a function of its arguments: it does no input or output and logs nothing",
			},
		})
	}
	archtest.NoCall(t, packages, "time",
		[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"the time is an argument of the cores")
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
