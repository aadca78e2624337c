package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// PackageDocs checks that each package of the module says in exactly one place
// what it is for: "Package name ..." or, for a program, "Command name ...".
func PackageDocs(t *testing.T) {
	t.Helper()
	for _, p := range load(t) {
		if p.DepOnly || len(p.GoFiles) == 0 {
			continue
		}
		if fault := docFault(parse(t, p, parser.PackageClauseOnly|parser.ParseComments)); fault != "" {
			t.Errorf("%s %s", p.ImportPath, fault)
		}
	}
}

func parse(t *testing.T, p *pkg, mode parser.Mode) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	fset := token.NewFileSet()
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, mode)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	return files
}

func docFault(files map[string]*ast.File) string {
	var documented []string
	for name, file := range files {
		if file.Doc == nil {
			continue
		}
		documented = append(documented, name)
		kind := "Package "
		if file.Name.Name == "main" {
			kind = "Command "
		}
		if text := file.Doc.Text(); !strings.HasPrefix(text, kind) || kind == "Package " && !strings.HasPrefix(text, kind+file.Name.Name+" ") {
			return fmt.Sprintf("has a package comment in %s that does not begin with %q and its name", name, kind)
		}
	}
	slices.Sort(documented)
	switch len(documented) {
	case 0:
		return "has no package comment; say in one file what it is for"
	case 1:
		return ""
	}
	return "has several package comments, in " + strings.Join(documented, " and ") + "; keep one"
}

// NoCall checks that packages do not mention functions of a package of the
// standard library, such as "time" and "Now".
func NoCall(t *testing.T, packages []string, from string, functions []string, because string) {
	t.Helper()
	g := load(t)
	paths, stale := g.own(packages)
	for _, pattern := range stale {
		t.Errorf("the rule %q names %s, which does not exist; correct the rule", because, pattern)
	}
	for _, path := range paths {
		for name, file := range parse(t, g[path], parser.SkipObjectResolution) {
			for _, function := range mentions(file, from, functions) {
				t.Errorf("%s uses %s.%s in %s: %s", path, from, function, name, because)
			}
		}
	}
}

// mentions goes by names, so a variable called like the import would be taken for
// it; nobody should call one so.
func mentions(file *ast.File, from string, functions []string) (found []string) {
	local := ""
	for _, spec := range file.Imports {
		if strings.Trim(spec.Path.Value, "\"`") == from {
			local = from[strings.LastIndexByte(from, '/')+1:]
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	if local == "." {
		return []string{"*, imported with a dot"}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := s.X.(*ast.Ident)
		if ok && x.Name == local && slices.Contains(functions, s.Sel.Name) && !slices.Contains(found, s.Sel.Name) {
			found = append(found, s.Sel.Name)
		}
		return true
	})
	return found
}

// GoVersion checks that the module asks for the Go version of the workspace
// above it, so that all modules are built by the same compiler.
func GoVersion(t *testing.T) {
	t.Helper()
	module, workspace := goLine(t, "go.mod"), goLine(t, "../go.work")
	if module != workspace {
		t.Errorf("go.mod says %q and ../go.work %q; use the same version in all modules", module, workspace)
	}
}

func goLine(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "go ") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatalf("%s names no Go version", name)
	return ""
}
