package metrics

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// page is a parsed exposition.
type page struct {
	series map[string]float64 // by name and labels, as written
	kinds  map[string]string  // by family
}

var (
	helpLine   = regexp.MustCompile(`^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$`)
	typeLine   = regexp.MustCompile(`^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary)$`)
	labelPair  = `[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"`
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)((?:\{` + labelPair + `(?:, ?` + labelPair + `)*\})?) (\S+)$`)
	leLabel    = regexp.MustCompile(`,?le="([^"]*)"`)
)

// parse reads the text format more strictly than Prometheus does: families are
// sorted and contiguous, each has one HELP and one TYPE before its samples, no
// series comes twice, histograms are cumulative.
func parse(text string) (page, error) {
	p := page{make(map[string]float64), make(map[string]string)}
	if !strings.HasSuffix(text, "\n") {
		return p, fmt.Errorf("does not end with a line break")
	}
	var family, described, lastSeries string
	var lastBucket float64
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		fail := func(why string) (page, error) { return p, fmt.Errorf("line %d: %s: %q", i+1, why, line) }
		if m := helpLine.FindStringSubmatch(line); m != nil {
			if m[1] <= described {
				return fail("HELP out of order or twice")
			}
			described = m[1]
			continue
		}
		if m := typeLine.FindStringSubmatch(line); m != nil {
			if m[1] != described || m[1] == family {
				return fail("TYPE does not follow its HELP")
			}
			family = m[1]
			p.kinds[family] = m[2]
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		if m == nil {
			return fail("not a sample")
		}
		name, labels := m[1], m[2]
		value, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			return fail("not a value")
		}
		if !belongs(name, family, p.kinds[family]) || family != described {
			return fail("sample outside its family")
		}
		if _, twice := p.series[name+labels]; twice {
			return fail("series comes twice")
		}
		p.series[name+labels] = value
		if le := leLabel.FindStringSubmatch(labels); le != nil {
			series := name + leLabel.ReplaceAllString(labels, "")
			if series == lastSeries && value < lastBucket {
				return fail("bucket is not cumulative")
			}
			lastSeries, lastBucket = series, value
		}
	}
	return p, nil
}

func belongs(name, family, kind string) bool {
	suffixes := map[string][]string{
		"histogram": {"_bucket", "_sum", "_count"},
		"summary":   {"", "_sum", "_count"},
	}[kind]
	if suffixes == nil {
		return name == family
	}
	suffix, found := strings.CutPrefix(name, family)
	return found && slices.Contains(suffixes, suffix)
}

// scrape writes the node's metrics and parses them.
func scrape(t *testing.T, n *Node) page {
	t.Helper()
	var text bytes.Buffer
	n.WritePrometheus(&text)
	p, err := parse(text.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// own are the series of the node itself, less those of runtime and process,
// which may come and go.
func (p page) own() []string {
	var own []string
	for series := range p.series {
		if strings.HasPrefix(series, "api_proxy_") {
			own = append(own, series)
		}
	}
	slices.Sort(own)
	return own
}

// The parser is only worth something if it refuses.
func TestParserRefuses(t *testing.T) {
	const head = "# HELP a A.\n# TYPE a counter\n"
	for _, row := range []struct{ why, text string }{
		{"no line break at the end", head + "a 1"},
		{"no HELP", "# TYPE a counter\na 1\n"},
		{"no TYPE", "# HELP a A.\na 1\n"},
		{"empty HELP", "# HELP a \n# TYPE a counter\na 1\n"},
		{"family twice", head + "a 1\n" + head + "a{x=\"y\"} 1\n"},
		{"families out of order", strings.ReplaceAll(head, "a", "b") + head},
		{"sample of another family", head + "b 1\n"},
		{"series twice", head + "a 1\na 2\n"},
		{"value is no number", head + "a x\n"},
		{"quote not escaped", head + "a{x=\"\"\"} 1\n"},
		{"empty line", head + "\na 1\n"},
		{"bucket falls", "# HELP h H.\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 1\n"},
	} {
		if _, err := parse(row.text); err == nil {
			t.Errorf("%s: accepted", row.why)
		}
	}
	if _, err := parse(head + "a{x=\"\\\"y\\\\\"} 1\n"); err != nil {
		t.Error(err)
	}
}
