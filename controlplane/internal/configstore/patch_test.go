package configstore

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"apiproxy.internal/shared/config"
)

// The cases of RFC 7396 appendix A whose patch and document are objects, and ours.
func TestMergePatch(t *testing.T) {
	for _, c := range []struct{ document, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"e":null}`, `{"a":1}`, `{"a":1,"e":null}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		{`{"a":1}`, ` {} `, `{"a":1}`},
		{`{"n":1}`, `{"n":1.50,"m":12345678901234567890,"e":1e308}`, `{"e":1e308,"m":12345678901234567890,"n":1.50}`},
	} {
		got, err := MergePatch([]byte(c.document), []byte(c.patch))
		if err != nil || string(got) != c.want {
			t.Errorf("%s + %s = %s, %v; want %s", c.document, c.patch, got, err, c.want)
		}
	}
	for patch, says := range map[string]string{
		``: "the patch", `null`: "object", `[]`: "object", `1`: "object", `{`: "the patch", `{} {}`: "the patch", `{"a":NaN}`: "the patch",
		`{"a":1,"a":2}`: "a: given twice", `{"a":{"b":1,"b":null}}`: "a.b: given twice", `{"a":[{"c":1,"c":1}]}`: "a.c: given twice",
		strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat(`}`, 20000): "the patch",
	} {
		if _, err := MergePatch([]byte(`{}`), []byte(patch)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: %v", patch, err)
		}
	}
}

func FuzzMergePatch(f *testing.F) {
	f.Add([]byte(`{"a":{"b":1},"c":[1]}`), []byte(`{"a":{"b":null},"d":{"e":null}}`))
	f.Fuzz(func(t *testing.T, document, patch []byte) {
		once, err := MergePatch(document, patch)
		if err != nil {
			return
		}
		twice, err := MergePatch(once, patch)
		if err != nil || string(twice) != string(once) {
			t.Fatalf("not idempotent: %s then %s, %v", once, twice, err)
		}
	})
}

func TestDiff(t *testing.T) {
	parse := func(text string) *config.Document {
		doc, _, err := config.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	a := parse(`{"rate_limit":{"per_ip":{"rate":100}},"providers":{"one":{"prefix":"/one","upstream":"https://one.test","auth":{"type":"none"}}}}`)
	b := parse(`{"rate_limit":{"per_ip":{"rate":"5/m"}},"proxy":{"allowed_ips":["10.0.0.0/8"]},"providers":{"two":{"prefix":"/two","upstream":"https://two.test","auth":{"type":"none"}}}}`)
	b.Revision = 7
	var lines []string
	for _, d := range Diff(a, b) {
		line := d.String()
		lines = append(lines, line[:min(len(line), 60)])
	}
	want := []string{
		`providers.one: {"auth":{"type":"none"}`, `providers.two: (absent) -> {"auth":`,
		`proxy.allowed_ips: [] -> ["10.0.0.0/8"]`, `rate_limit.per_ip.burst: 100 -> 1`, `rate_limit.per_ip.rate: 100 -> "5/m"`,
	}
	if !slices.EqualFunc(lines, want, strings.HasPrefix) {
		t.Fatalf("got\n%s", strings.Join(lines, "\n"))
	}
	if d := Diff(a, a); len(d) != 0 {
		t.Fatalf("%v", d)
	}
	if d := Diff(nil, a); len(d) == 0 || d[0].Old != nil {
		t.Fatalf("%v", d)
	}
	text, err := json.Marshal(Diff(a, b)[1])
	if err != nil || strings.Contains(string(text), `"old"`) {
		t.Fatalf("%s %v", text, err)
	}
}

// TestDiffPatch: the difference, made a patch, leads from one document to the
// other; and Equal documents have none.
func TestDiffPatch(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) *config.Document {
		doc := config.Default()
		if rapid.Bool().Draw(t, "drop") {
			delete(doc.Providers, "zerion")
			delete(doc.RateLimit.PerProvider, "zerion")
		}
		doc.CircuitBreaker.FailureThreshold = rapid.IntRange(1, 3).Draw(t, "threshold")
		doc.RateLimit.PerIP.Burst = rapid.Int64Range(1, 2).Draw(t, "burst")
		if rapid.Bool().Draw(t, "global") {
			doc.RateLimit.Global = nil
		}
		return doc
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		differences := Diff(a, b)
		if (len(differences) == 0) != a.Equal(b) {
			t.Fatalf("%v", differences)
		}
		got := a.JSON()
		for _, d := range differences {
			patch := string(d.New)
			if d.New == nil {
				patch = "null"
			}
			for _, name := range slices.Backward(strings.Split(d.Path, ".")) {
				patch = `{"` + name + `":` + patch + `}`
			}
			var err error
			if got, err = MergePatch(got, []byte(patch)); err != nil {
				t.Fatal(err)
			}
		}
		doc, _, err := config.Parse(got)
		if err != nil || !doc.Equal(b) {
			t.Fatalf("%s: %v", got, err)
		}
	})
}
