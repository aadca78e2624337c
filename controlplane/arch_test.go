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
	}})
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
