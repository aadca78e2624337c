package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

// module is: m/cmd -> m/node -> m/core -> lib/sub -> lib/deep, and os.
func module() graph {
	g := graph{}
	for path, imports := range map[string]string{
		"m/cmd": "m/node fmt", "m/node": "m/core os", "m/core": "lib/sub time", "m/core/leaf": "",
		"lib/sub": "lib/deep", "lib/deep": "", "fmt": "os", "os": "", "time": "",
	} {
		g[path] = &pkg{ImportPath: path, Imports: strings.Fields(imports),
			Standard: path == "fmt" || path == "os" || path == "time", DepOnly: !strings.HasPrefix(path, "m/")}
	}
	return g
}

func TestCheck(t *testing.T) {
	for name, row := range map[string]struct {
		rule Rule
		want []string // the beginnings of the faults
	}{
		"kept":                       {Rule{Packages: []string{"m/core"}, Forbid: []string{"os", "net/..."}}, nil},
		"broken":                     {Rule{Packages: []string{"m/node"}, Forbid: []string{"os"}}, []string{"m/node must not import os"}},
		"by the packages below":      {Rule{Packages: []string{"m/..."}, Forbid: []string{"lib/..."}}, []string{"m/core must not import lib/sub"}},
		"with an exception":          {Rule{Packages: []string{"m/..."}, Except: []string{"m/core"}, Forbid: []string{"lib/..."}}, nil},
		"what is imported by others": {Rule{Packages: []string{"m/cmd"}, Forbid: []string{"lib/deep"}}, nil},
		"counts if deep":             {Rule{Packages: []string{"m/cmd"}, Forbid: []string{"lib/deep"}, Deep: true}, []string{"m/cmd must not import lib/deep"}},
		// fmt imports os, which is nobody's business.
		"std is not looked into": {Rule{Packages: []string{"m/cmd"}, Forbid: []string{"os"}}, nil},
		"only std":               {Rule{Packages: []string{"m/core"}, Forbid: []string{"..."}, Allow: []string{"std"}}, []string{"m/core must not import lib/sub"}},
		"nothing at all":         {Rule{Packages: []string{"m/core/leaf"}, Forbid: []string{"..."}}, nil},
		"a prefix is no parent":  {Rule{Packages: []string{"m/core"}, Forbid: []string{"lib/su/..."}}, nil},
		"a package that is gone": {Rule{Packages: []string{"m/old"}, Forbid: []string{"os"}, Because: "why"}, []string{`the rule "why" names m/old`}},
		"an exception gone":      {Rule{Packages: []string{"m/core"}, Except: []string{"m/old/..."}, Because: "why"}, []string{`the rule "why" names m/old/...`}},
		// One that is imported is not one of the module's.
		"another module's package": {Rule{Packages: []string{"lib/sub"}, Because: "why"}, []string{`the rule "why" names lib/sub`}},
	} {
		got := module().check(row.rule)
		if !slices.EqualFunc(got, row.want, strings.HasPrefix) {
			t.Errorf("%s: %q, want %q", name, got, row.want)
		}
	}
}

// A fault tells why, and by which import to begin.
func TestFaultText(t *testing.T) {
	got := module().check(Rule{Packages: []string{"m/cmd"}, Forbid: []string{"lib/deep"}, Deep: true, Because: "it is heavy"})
	const want = "m/cmd must not import lib/deep: it is heavy\n\tit does so by m/cmd -> m/node -> m/core -> lib/sub -> lib/deep"
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func parseText(t *testing.T, text string) *ast.File {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestDocFault(t *testing.T) {
	for name, row := range map[string]struct {
		files []string
		want  string
	}{
		"one":               {[]string{"// Package a is.\npackage a", "package a"}, ""},
		"a program's":       {[]string{"// Command run runs.\npackage main"}, ""},
		"none":              {[]string{"package a", "// a\n\npackage a"}, "has no package comment"},
		"two":               {[]string{"// Package a is.\npackage a", "// Package a was.\npackage a"}, "has several"},
		"another package's": {[]string{"// Package ab is.\npackage a"}, "does not begin"},
		"just words":        {[]string{"// All of it.\npackage a"}, "does not begin"},
	} {
		files := map[string]*ast.File{}
		for i, text := range row.files {
			files[string(rune('a'+i))] = parseText(t, text)
		}
		if got := docFault(files); !strings.Contains(got, row.want) || (row.want == "") != (got == "") {
			t.Errorf("%s: %q, want %q in it", name, got, row.want)
		}
	}
}

func TestMentions(t *testing.T) {
	for text, want := range map[string]int{
		`package a; import "time"; var x = time.Now()`:           1,
		`package a; import "time"; var now = time.Now`:           1, // not called here, but somewhere
		`package a; import clock "time"; var x = clock.Now()`:    1,
		`package a; import . "time"; var x = Now()`:              1,
		`package a; import "time"; var x time.Duration`:          0,
		`package a; import "x/time"; var x = time.Now()`:         0,
		`package a; func f() { var time t; time.Now() }`:         0,
		`package a; import "time"; func f(x t) { x.time.Now() }`: 0,
	} {
		if got := mentions(parseText(t, text), "time", []string{"Now", "Since"}); len(got) != want {
			t.Errorf("%s: %q, want %d", text, got, want)
		}
	}
}
