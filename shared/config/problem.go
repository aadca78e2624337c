package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Problem is one thing that is wrong with a document, or one warning about it.
// It never holds the text of a field in which somebody might have put a secret.
type Problem struct {
	// Path is where: "providers.zerion.timeout.connect"; empty for the document.
	Path string `json:"path"`
	// Message is what is wrong, Remedy what to do about it.
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
	// Line counts from 1; 0 is unknown.
	Line int `json:"line,omitempty"`
}

// Error is `line 3: path: message (remedy)`, without the parts that are empty.
func (p Problem) Error() string {
	var s strings.Builder
	if p.Line > 0 {
		s.WriteString("line " + strconv.Itoa(p.Line) + ": ")
	}
	if p.Path != "" {
		s.WriteString(p.Path + ": ")
	}
	s.WriteString(p.Message)
	if p.Remedy != "" {
		s.WriteString(" (" + p.Remedy + ")")
	}
	return s.String()
}

// Problems is everything that is wrong with a document, in the order of its lines.
type Problems []Problem

// Error has one problem a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// report collects what is found while a document is read.
type report struct {
	problems, warnings Problems
	lines              map[string]int  // path of each value that is given
	broken             map[string]bool // paths whose value could not be read
}

func newReport() *report {
	return &report{lines: map[string]int{}, broken: map[string]bool{}}
}

// unreadable records a value that has not become part of the document, so that
// nobody draws conclusions from its absence.
func (r *report) unreadable(path string, p *Problem) {
	r.refuse(path, p.Message, p.Remedy)
	r.broken[path] = true
}

// refuse records a problem, unless it may only be the consequence of a value that
// could not be read.
func (r *report) refuse(path, message, remedy string) {
	for at := path; at != ""; at = parent(at) {
		if r.broken[at] {
			return
		}
	}
	r.problems = append(r.problems, Problem{path, message, remedy, r.line(path)})
}

func (r *report) warn(path, message, remedy string) {
	r.warnings = append(r.warnings, Problem{path, message, remedy, r.line(path)})
}

func (r *report) given(path string) bool {
	_, ok := r.lines[path]
	return ok
}

// line is the line of the value or, if it is absent, of what should hold it.
func (r *report) line(path string) int {
	for at := path; at != ""; at = parent(at) {
		if line, ok := r.lines[at]; ok {
			return line
		}
	}
	return 0
}

func sortByLine(ps Problems) {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
}

// child is the path of a field. A key that could be mistaken for a path or that
// would upset a terminal is quoted.
func child(path, key string) string {
	if key == "" || len(key) > maxQuote || strings.ContainsFunc(key, needsQuotes) {
		key = quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func needsQuotes(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
}

func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

const maxQuote = 64

// quote shows text that a user has written, shortened so that it cannot flood a log.
func quote(text string) string {
	if len(text) > maxQuote {
		return strconv.QuoteToASCII(text[:maxQuote]) + "..."
	}
	return strconv.QuoteToASCII(text)
}
