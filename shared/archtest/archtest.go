// Package archtest holds the checks by which a module's tests guard its
// architecture: who may import whom, and why. Each check looks at the module in
// the current folder, which for a test is the folder of its package, so the tests
// belong to a module's root.
package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Rule forbids packages of the module some imports. Patterns are import paths;
// "p/..." is p and everything below it, "std" the standard library, "..."
// everything. Test files are free.
type Rule struct {
	Packages []string // that the rule holds for
	Except   []string // of those
	Forbid   []string // imports
	Allow    []string // of those
	Deep     bool     // also forbids what the imports reach; else only the packages' own imports count
	Because  string   // shown when the rule is broken
}

// Imports checks every rule. A rule that names a package which the module does
// not have fails too: it guards nothing any more.
func Imports(t *testing.T, rules []Rule) {
	t.Helper()
	g := load(t)
	for _, r := range rules {
		for _, fault := range g.check(r) {
			t.Error(fault)
		}
	}
}

// pkg is a package as go list tells it.
type pkg struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Standard   bool
	DepOnly    bool // does not belong to the module
}

// graph is the module's packages and all that they reach.
type graph map[string]*pkg

func load(t *testing.T) graph {
	t.Helper()
	watchModule(t)
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,Imports,Standard,DepOnly", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, stderr.String())
	}
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g[p.ImportPath] = p
	}
}

// watchModule makes the test depend on every file of the module. go test sees only
// what a test opens itself, not what go list reads, and would answer from its
// cache after a change.
func watchModule(t *testing.T) {
	t.Helper()
	err := filepath.WalkDir(".", func(_ string, _ fs.DirEntry, err error) error { return err })
	if err != nil {
		t.Fatal(err)
	}
}

// own returns the module's packages that match, sorted, and the patterns that
// match none.
func (g graph) own(patterns []string) (paths, stale []string) {
	for _, pattern := range patterns {
		found := len(paths)
		for path, p := range g {
			if !p.DepOnly && g.matches(pattern, path) {
				paths = append(paths, path)
			}
		}
		if len(paths) == found {
			stale = append(stale, pattern)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), stale
}

func (g graph) check(r Rule) (faults []string) {
	packages, stale := g.own(r.Packages)
	except, staleToo := g.own(r.Except)
	for _, pattern := range append(stale, staleToo...) {
		faults = append(faults, fmt.Sprintf("the rule %q names %s, which does not exist; correct the rule", r.Because, pattern))
	}
	for _, path := range packages {
		if slices.Contains(except, path) {
			continue
		}
		if chain := g.forbidden(r, path); chain != nil {
			faults = append(faults, fmt.Sprintf("%s must not import %s: %s\n\tit does so by %s",
				path, chain[len(chain)-1], r.Because, strings.Join(chain, " -> ")))
		}
	}
	return faults
}

// forbidden returns a shortest chain of imports from a package to one that the
// rule forbids it, or nil.
func (g graph) forbidden(r Rule, from string) []string {
	seen := map[string]bool{from: true}
	for queue := [][]string{{from}}; len(queue) > 0; queue = queue[1:] {
		chain := queue[0]
		p := g[chain[len(chain)-1]]
		if p == nil || p.Standard { // what the standard library imports is its own affair
			continue
		}
		for _, path := range p.Imports {
			if seen[path] {
				continue
			}
			seen[path] = true
			next := append(slices.Clone(chain), path)
			if g.matchesAny(r.Forbid, path) && !g.matchesAny(r.Allow, path) {
				return next
			}
			if r.Deep {
				queue = append(queue, next)
			}
		}
	}
	return nil
}

func (g graph) matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return g.matches(pattern, path) })
}

func (g graph) matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if pattern == "std" {
		return g[path] != nil && g[path].Standard
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == below || strings.HasPrefix(path, below+"/")
	}
	return path == pattern
}
