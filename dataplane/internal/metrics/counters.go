package metrics

import (
	"strings"

	vm "github.com/VictoriaMetrics/metrics"
)

// counters is one counter for each word of a closed set; a value without a word
// has none.
type counters[E ~uint8] []*vm.Counter

// newCounters registers a counter for each value below end that has a word.
func newCounters[E interface {
	~uint8
	String() string
}](set *vm.Set, end E, family, labels, name string) counters[E] {
	c := make(counters[E], end)
	for value := range end {
		if word := value.String(); word != "" {
			c[value] = set.NewCounter(family + "{" + labels + "," + label(name, word) + "}")
		}
	}
	return c
}

func (c counters[E]) inc(value E) {
	if int(value) < len(c) && c[value] != nil {
		c[value].Inc()
	}
}

func (c counters[E]) sum() uint64 {
	var total uint64
	for _, counter := range c {
		if counter != nil {
			total += counter.Get()
		}
	}
	return total
}

var labelEscaper = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// label is a pair of a sample's label set, with the value escaped as the text
// format asks.
func label(name, value string) string {
	return name + `="` + labelEscaper.Replace(strings.ToValidUTF8(value, "\ufffd")) + `"`
}
