package shared_test

import (
	"testing"

	"apiproxy.internal/shared/archtest"
)

const root = "apiproxy.internal/shared/"

func TestImports(t *testing.T) {
	archtest.Imports(t, []archtest.Rule{
		{
			Packages: []string{root + "..."}, Except: []string{root + "config"},
			Forbid: []string{"..."}, Allow: []string{"std", root + "..."},
			Because: "a contract between the planes that drags in dependencies is a framework",
		},
		{
			Packages: []string{root + "config"},
			Forbid:   []string{"..."}, Allow: []string{"std", "go.yaml.in/yaml/v4"},
			Because: "a configuration may be YAML, and that is all that it may cost both planes",
		},
	})
}

func TestPackageDocs(t *testing.T) { archtest.PackageDocs(t) }

func TestGoVersion(t *testing.T) { archtest.GoVersion(t) }
