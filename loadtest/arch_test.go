package loadtest_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

const root = "apiproxy.internal/loadtest/"

// This module alone may import both planes.
func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{
		{
			Packages: []string{root + "fakeprovider", root + "cmd/fakeprovider"},
			Forbid:   []string{"apiproxy.internal/dataplane/...", "apiproxy.internal/controlplane/..."}, Deep: true,
			Because: "the oracle judges the planes, so it must not share their code and their mistakes",
		},
		{
			Packages: []string{root + "browser"},
			Forbid:   []string{"apiproxy.internal/..."}, Deep: true,
			Because: "the steps know the page by its address, so they serve a stand-in and a real cluster alike",
		},
		{
			Packages: []string{root + "accuracy", root + "cmd/accuracy"},
			Forbid:   []string{"apiproxy.internal/dataplane/node", "apiproxy.internal/controlplane/controller", root + "cluster"}, Deep: true,
			Because: "what it measures are processes of their own",
		},
		{
			Packages: []string{root + "..."}, Except: []string{root + "sim", root + "breakersim", root + "accuracy"},
			Forbid:  []string{"apiproxy.internal/dataplane/lab", "apiproxy.internal/controlplane/lab"},
			Because: "the simulators alone look inside the planes; the others meet them as users do",
		},
	})
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
