package monitoring

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const folder = "../../monitoring"

// query is an expression and where it is from.
type query struct{ from, expr string }

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t *testing.T) (all []alert) {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(read(t, "alerts.yml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// panels are the queries of the dashboard, its variables filled in.
func panels(t *testing.T) (all []query) {
	t.Helper()
	var dashboard struct {
		Title  string
		Panels []struct {
			Title, Type string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(read(t, "grafana/dashboards/api-proxy.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title != "API Proxy Dashboard" {
		t.Errorf("the dashboard is called %q", dashboard.Title)
	}
	var rows []string
	for _, p := range dashboard.Panels {
		if p.Type == "row" {
			rows = append(rows, p.Title)
		} else if len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: no query, or out of the grid", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title, strings.ReplaceAll(target.Expr, "$provider", ".*")})
		}
	}
	if want := []string{"Overview", "Performance", "Reliability", "Limits", "Cluster"}; !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	return all
}

func queries(t *testing.T) []query {
	all := panels(t)
	for _, a := range alerts(t) {
		all = append(all, query{"alert " + a.Alert, a.Expr})
	}
	return all
}

// Each alert has a page, and each page an alert.
func TestRunbooks(t *testing.T) {
	pages, err := filepath.Glob(folder + "/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		page := filepath.Join(folder, "runbooks", a.Alert+".md")
		if a.Annotations["runbook"] != "monitoring/runbooks/"+a.Alert+".md" || a.Annotations["summary"] == "" {
			t.Errorf("%s: annotations %v", a.Alert, a.Annotations)
		}
		i := slices.Index(pages, page)
		if i < 0 {
			t.Errorf("%s is missing", page)
			continue
		}
		pages = slices.Delete(pages, i, i+1)
		text := string(read(t, "runbooks/"+a.Alert+".md"))
		for _, m := range regexp.MustCompile(`\]\(([A-Za-z]+\.md)\)`).FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(filepath.Join(folder, "runbooks", m[1])); err != nil {
				t.Errorf("%s leads to %s: %v", page, m[1], err)
			}
		}
	}
	if len(pages) > 0 {
		t.Errorf("pages of no alert: %v", pages)
	}
}

// promtool reads the files, and every query as a rule.
func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool")
	rules := "groups:\n  - name: panels\n    rules:\n"
	for i, q := range panels(t) {
		line, _ := json.Marshal(q.expr)
		rules += "      - {record: 'panel:" + string(rune('a'+i/26)) + string(rune('a'+i%26)) + "', expr: " + string(line) + "}\n"
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "config", folder + "/prometheus.yml"},
		{"check", "rules", folder + "/alerts.yml"},
		{"test", "rules", folder + "/alerts_test.yml"},
		{"check", "rules", file},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	// Each alert has a case.
	cases := string(read(t, "alerts_test.yml"))
	for _, a := range alerts(t) {
		if !strings.Contains(cases, "alertname: "+a.Alert+"\n        exp_alerts:\n          - ") {
			t.Errorf("alerts_test.yml: no case in which %s fires", a.Alert)
		}
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("SKIP: %s is not installed", name)
	}
	return path
}
