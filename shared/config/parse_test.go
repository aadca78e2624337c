package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the expected results in testdata")

// TestGolden reads every document of testdata and compares what Parse makes of it
// with the text beside it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*valid/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".txt" {
			continue
		}
		t.Run(filepath.ToSlash(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			doc, warnings, err := Parse(data)
			if valid := strings.Contains(file, string(filepath.Separator)+"valid"); valid != (err == nil) {
				t.Fatalf("valid %v, error: %v", valid, err)
			}
			golden(t, file+".txt", describe(doc, warnings, err))
		})
	}
}

func describe(doc *Document, warnings []Problem, err error) string {
	var out strings.Builder
	if err != nil {
		fmt.Fprintln(&out, err)
	}
	for _, w := range warnings {
		fmt.Fprintln(&out, "warning:", w)
	}
	if doc != nil {
		var indented bytes.Buffer
		_ = json.Indent(&indented, doc.JSON(), "", "  ")
		fmt.Fprintln(&out, indented.String())
	}
	return out.String()
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant (rewrite with -update):\n%s", got, want)
	}
}

func mustParse(t testing.TB, text string) *Document {
	t.Helper()
	doc, _, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%s\n%v", text, err)
	}
	return doc
}

// refusal parses a document that must be refused.
func refusal(t testing.TB, text string) Problems {
	t.Helper()
	doc, _, err := Parse([]byte(text))
	var problems Problems
	if !errors.As(err, &problems) || len(problems) == 0 || doc != nil {
		t.Fatalf("accepted, or refused without a reason: %v\n%.200s", err, text)
	}
	return problems
}

// An empty document is what a full disk or a slip leaves behind: it is not taken
// for a wish to serve the presets.
func TestEmptyDocumentIsRefused(t *testing.T) {
	for _, text := range []string{"", " \n\t\n", "\ufeff", "# only a comment\n", "---\n", "--- ~\n", "null"} {
		if _, _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), "the document is empty") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAbsence(t *testing.T) {
	presets, err := os.ReadFile("testdata/valid/presets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		// nothing said, in every way to say so
		"{}", "\ufeff{}", " \n {}", "%YAML 1.2\n---\n{}",
		// null is absent
		`{"rate_limit": null, "providers": null, "proxy": null}`,
		"server:\nproxy: {cache_ttl: ~, trusted_proxies: }\n",
		// the documented example says what the default says
		string(presets),
		// a revision is ignored, whatever it is
		"revision: 7\n", `{"revision": {"a": []}}`,
	} {
		if got := mustParse(t, text); !got.Equal(Default()) || got.Revision != 0 {
			t.Errorf("%q is not the default document:\n%s", text, got.JSON())
		}
	}
}

func TestDefaultIsFreshAndFree(t *testing.T) {
	a := Default()
	a.RateLimit.PerProvider["zerion"].Burst = 1
	a.Providers["alchemy"].Auth.Value.Env = "OTHER"
	delete(a.Providers, "zerion")
	if a.Equal(Default()) {
		t.Error("Equal does not see the difference, or the copies share memory")
	}
	_, warnings, err := Parse(Default().JSON())
	if err != nil || warnings != nil {
		t.Errorf("the default document: %v %v", warnings, err)
	}
}

func TestBurstFollowsRate(t *testing.T) {
	for rate, want := range map[string]int64{"0": 1, "5/m": 1, "1": 1, "1.000001": 2, "300": 300, "1e9": 1e9, "601/m": 11} {
		if got := mustParse(t, `{"rate_limit":{"global":{"rate":`+quoteUnit(rate)+`}}}`).RateLimit.Global.Burst; got != want {
			t.Errorf("rate %s: burst %d, want %d", rate, got, want)
		}
	}
}

func quoteUnit(rate string) string {
	if strings.Contains(rate, "/") {
		return `"` + rate + `"`
	}
	return rate
}

func TestBreakerOverride(t *testing.T) {
	doc := mustParse(t, `{"circuit_breaker": {"success_threshold": 4}, "providers": {
		"plain": {"upstream": "https://example.org"},
		"own": {"upstream": "https://example.org", "circuit_breaker": {"failure_threshold": 9, "timeout": "1s"}}}}`)
	plain := Default().CircuitBreaker
	plain.SuccessThreshold = 4
	own := plain
	own.FailureThreshold, own.Timeout = 9, 1e9
	for name, want := range map[string]CircuitBreaker{"plain": plain, "own": own, "nobody": plain} {
		if got := doc.Breaker(name); got != want {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestYAMLScalars pins the core schema of YAML 1.2: what is text there is text
// here, although the library would like to read more.
func TestYAMLScalars(t *testing.T) {
	for text, want := range map[string]node{
		"off": {kind: kindString, text: "off"}, "yes": {kind: kindString, text: "yes"}, "n": {kind: kindString, text: "n"},
		"1_000": {kind: kindString, text: "1_000"}, "1:30": {kind: kindString, text: "1:30"},
		"2001-01-01": {kind: kindString, text: "2001-01-01"}, "0b11": {kind: kindString, text: "0b11"},
		"<<": {kind: kindString, text: "<<"}, "'1'": {kind: kindString, text: "1"}, `"null"`: {kind: kindString, text: "null"},
		"0777": {kind: kindNumber, text: "0777"}, "0o17": {kind: kindNumber, text: "15"}, "0x1F": {kind: kindNumber, text: "31"},
		"-0x1F": {kind: kindString, text: "-0x1F"}, "0xffffffffffffffffff": {kind: kindNumber, text: "0xffffffffffffffffff"},
		"1e3": {kind: kindNumber, text: "1e3"}, ".5": {kind: kindNumber, text: ".5"}, "-.inf": {kind: kindNumber, text: "-.inf"},
		".NaN": {kind: kindNumber, text: ".NaN"}, "nan": {kind: kindString, text: "nan"},
		"TRUE": {kind: kindBool, text: "true"}, "False": {kind: kindBool, text: "false"}, "tRUE": {kind: kindString, text: "tRUE"},
		"~": {}, "Null": {}, "": {}, "nULL": {kind: kindString, text: "nULL"},
		"|\n  5\n": {kind: kindString, text: "5\n"},
	} {
		tree, p := parseYAML([]byte("k: " + text))
		if p != nil {
			t.Errorf("%q: %v", text, p)
			continue
		}
		if got := tree.fields[0].value; got.kind != want.kind || got.text != want.text {
			t.Errorf("%q: %s %q, want %s %q", text, kindNames[got.kind], got.text, kindNames[want.kind], want.text)
		}
	}
}

// TestHostileDocuments lists what must be refused as a whole.
func TestHostileDocuments(t *testing.T) {
	laughs := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		laughs += fmt.Sprintf("a%d: &a%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	nested := func(open, shut string) string { return strings.Repeat(open, 65) + strings.Repeat(shut, 65) }
	for name, text := range map[string]string{
		"billion laughs":        laughs,
		"an alias to itself":    "a: &a [*a]\n",
		"deep JSON":             `{"a":` + nested("[", "]") + "}",
		"deep YAML":             nested("[", "]"),
		"very deep JSON":        strings.Repeat(`{"a":`, 100_000),
		"very deep YAML":        strings.Repeat("[", 500_000),
		"many JSON values":      `{"a":[` + strings.Repeat("1,", maxNodes) + "1]}",
		"many YAML values":      strings.Repeat("- 1\n", maxNodes),
		"too large":             "#" + strings.Repeat(" ", maxSize),
		"NUL in JSON":           "{\"a\": \"\x00\"}",
		"NUL in YAML":           "a: \x00",
		"invalid UTF-8 in JSON": "{\"\xff\": 1}",
		"invalid UTF-8 in YAML": "# \xc3\n",
		"UTF-16":                "\xff\xfea\x00:\x00",
		"trailing JSON":         `{} {}`,
		"trailing comma":        `{"server": {},}`,
		"half a document":       `{"server": {`,
		"a comment in JSON":     "{} // no",
		"not an object":         `[]`,
		"a word":                `hello`,
		"a complex key":         "? {a: b}\n: c\n",
		"an unknown anchor":     "a: *b\n",
		"an alias as a key":     "server: &a {}\n*a : {}\n",
		"an empty second part":  "server: {}\n---\n",
		"a late syntax error":   "server: {}\n...\n]\n",
		"a custom tag":          "server: !x {}\n",
		"a non-specific tag":    "proxy: {cache_ttl: ! 5s}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if problems := refusal(t, text); len(problems) != 1 {
				t.Errorf("want one problem, got %d: %.300s", len(problems), problems)
			}
		})
	}
}

// TestDuplicates are refused at any depth, equal or not.
func TestDuplicates(t *testing.T) {
	for _, text := range []string{
		`{"server": {}, "server": {}}`,
		`{"revision": 1, "revision": 1}`,
		`{"providers": {"a": {"upstream": "https://example.org", "auth": {"type": "none", "type": "none"}}}}`,
		`{"rate_limit": {"global": {"rate": 1, "rate": 1}}}`,
		`{"ser\u0076er": {}, "server": {}}`,
		"providers:\n  a: {upstream: https://example.org}\n  a: {upstream: https://example.org}\n",
		"server: {}\n\"server\": null\n",
	} {
		if problems := refusal(t, text); !strings.Contains(problems.Error(), "second time") {
			t.Errorf("%s: %v", text, problems)
		}
	}
}

func TestSuggestions(t *testing.T) {
	for key, want := range map[string]string{
		"rate_limits": "rate_limit", "ratelimit": "rate_limit", "RateLimit": "rate_limit", "circuit-breaker": "circuit_breaker",
		"Provders": "providers", "prox": "proxy", "sevrer": "server", "rate": "rate_limit", "unrelated": "", "": "",
	} {
		remedy := refusal(t, fmt.Sprintf("{%q: {}}", key))[0].Remedy
		if got := strings.Contains(remedy, "did you mean"); got != (want != "") || !strings.Contains(remedy, want) {
			t.Errorf("%q: %q, want %q", key, remedy, want)
		}
	}
}

// A value that could not be read must not be reported as missing too.
func TestNoProblemsOfProblems(t *testing.T) {
	for _, text := range []string{
		`{"providers": {"a": 5}, "rate_limit": {"per_provider": {"a": {"rate": 1}}}}`,
		`{"providers": {"a": {"upstream": 5}}}`,
		`{"providers": {"a": {"upstream": "https://example.org", "auth": 5}}}`,
		`{"providers": {"a": {"upstream": "https://example.org", "auth": {"type": "basic", "username_env": 5}}}}`,
		`{"providers": {"a": {"upstream": "https://example.org", "auth": {"type": "basic", "username_file": 5}}}}`,
		`{"providers": {"a": {"upstream": "https://example.org", "auth": {"type": "what", "param": "x"}}}}`,
		`{"providers": {"a": {"upstream": "https://example.org", "prefix": 5}}}`,
		`{"rate_limit": {"global": {"rate": "fast"}}}`,
		`{"rate_limit": {"global": []}}`,
		`{"rate_limit": {"global": {"burst": 5}}}`,
		`{"providers": {"B C": {"upstream": "https://example.org"}}}`,
	} {
		if problems := refusal(t, text); len(problems) != 1 {
			t.Errorf("%s:\n%v", text, problems)
		}
	}
}

func TestProblemText(t *testing.T) {
	for want, p := range map[string]Problem{
		"line 3: a.b: is wrong (mend it)": {"a.b", "is wrong", "mend it", 3},
		"is wrong":                        {Message: "is wrong"},
	} {
		if p.Error() != want {
			t.Errorf("%q, want %q", p.Error(), want)
		}
	}
	encoded, _ := json.Marshal(Problem{Path: "a", Message: "m", Remedy: "r"})
	if string(encoded) != `{"path":"a","message":"m","remedy":"r"}` {
		t.Errorf("%s", encoded)
	}
	// A key cannot pass for a path, nor flood a log.
	long := refusal(t, `{"`+strings.Repeat("x", 1000)+`": 1, "a.b\u001b": 2}`)
	if text := long.Error(); len(text) > 400 || !strings.Contains(text, `"a.b\x1b"`) {
		t.Errorf("%s", text)
	}
}
