package cache

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that docs/caching.md names exists, here or in a package nearby.
func TestDocumentedTestsExist(t *testing.T) {
	doc, err := os.ReadFile("../../../docs/caching.md")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = filepath.WalkDir("..", func(path string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, "_test.go") {
			var text []byte
			if text, err = os.ReadFile(path); err == nil {
				source.Write(text)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`(Test[A-Za-z0-9_]+)`").FindAllSubmatch(doc, -1)
	for _, name := range names {
		if !strings.Contains(source.String(), "func "+string(name[1])+"(") {
			t.Errorf("%s does not exist", name[1])
		}
	}
	if len(names) < 20 {
		t.Errorf("only %d tests are named", len(names))
	}
}
