package metrics

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
)

// writeFamilies groups lines of samples by family, sorts the families and gives
// each its HELP and TYPE. The library can write these lines too, but only for
// the whole process and with an empty HELP.
func writeFamilies(w io.Writer, samples []byte) {
	lines := make(map[string][]byte)
	for line := range bytes.Lines(samples) {
		if line[0] != '#' && line[0] != '\n' {
			name := familyOf(line)
			lines[name] = append(lines[name], line...)
		}
	}
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		kind, help := "untyped", "No description."
		if f, ok := familyByName[name]; ok {
			kind, help = f.kind, f.help
		}
		out.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
		out.Write(lines[name])
	}
	_, _ = w.Write(out.Bytes()) // who scrapes and hangs up needs no answer
}

// familyOf is the family of a line: the name of its sample, less the suffix of
// a part of a histogram or summary.
func familyOf(line []byte) string {
	name := string(line[:max(bytes.IndexAny(line, "{ "), 0)])
	if _, ok := familyByName[name]; ok {
		return name
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		base, found := strings.CutSuffix(name, suffix)
		if f := familyByName[base]; found && (f.kind == "histogram" || f.kind == "summary") {
			return base
		}
	}
	return name
}
