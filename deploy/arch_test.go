package deploy_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

const module = "apiproxy.internal/deploy/"

func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{{
		Packages: []string{module + "..."},
		Forbid:   []string{"..."}, Allow: []string{"std", module + "..."},
		Because: "ops is in every image and runs as root once; what it does not hold cannot be attacked and need not be updated",
	}})
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
