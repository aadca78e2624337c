package controlplane_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{{
		Packages: []string{"apiproxy.internal/controlplane/..."},
		Forbid:   []string{"apiproxy.internal/dataplane/...", "apiproxy.internal/loadtest/..."}, Deep: true,
		Because: "the planes are released apart and meet only in shared and on the wire",
	}, {
		Packages: []string{"apiproxy.internal/controlplane/statusview"},
		Forbid:   []string{"..."}, Allow: []string{"std", "apiproxy.internal/shared/status"},
		Because: "the page shows the document that everybody gets as JSON and knows nothing else of the controller",
	}})
}

// The leader's judgements are functions of their arguments, as the node's are.
func TestCoresArePure(t *testing.T) {
	const breaker = "apiproxy.internal/controlplane/internal/breaker"
	archtest.Imports(t, []archtest.Rule{
		{
			Packages: []string{breaker},
			Forbid:   []string{"..."}, Allow: []string{"std", "apiproxy.internal/shared/wire"},
			Because: "a core is read and tested alone; the controller's loop puts the cores together",
		},
		{
			Packages: []string{breaker},
			Forbid:   []string{"log/...", "os/...", "net/...", "syscall"},
			Because:  "a core is a function of its arguments: it does no input or output and logs nothing",
		},
	})
	archtest.NoCall(t, []string{breaker}, "time",
		[]string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		"the time is an argument of the cores")
}

func TestLabHoldsNamesOnly(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{{
		Packages: []string{"apiproxy.internal/controlplane/..."}, Except: []string{"apiproxy.internal/controlplane/lab"},
		Forbid: []string{"apiproxy.internal/controlplane/lab"}, Deep: true,
		Because: "lab opens the cores to simulations, not to programs",
	}})
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
