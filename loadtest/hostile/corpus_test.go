package hostile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// input is one file of the corpus: lines "key: value", an empty line, then the
// bytes to send. Line breaks of the file mean nothing; \r, \n, \t, \\ and \xHH
// do, and \*N(text) is the text N times. So a file survives every editor, and
// what is wrong with the input can be seen.
type input struct {
	name     string
	hostile  bool   // expect: reject or valid
	row      string // which of threats it belongs to; 0 = a valid control
	status   int    // the only right answer; 0 = any refusal, or just closing
	requests int    // for a valid one: how many it holds
	eof      bool   // end: eof; the client says that no more will come
	raw      []byte
}

// threats are what the corpus has to cover, by the number that an input gives.
var threats = map[int]string{
	1: "Content-Length beside Transfer-Encoding", 2: "odd and several Content-Lengths", 3: "odd Transfer-Encodings",
	4: "folded lines", 5: "bare LF, CR, NUL, bad names", 6: "odd, several and missing Hosts",
	7: "odd targets, methods and versions", 8: "odd chunks", 9: "trailers", 10: "a request inside a body",
	11: "fields named by Connection, hop-by-hop fields", 12: "upgrades", 13: "expectations",
	15: "response splitting by what is echoed", 16: "sizes", 18: "odd paths", 19: "names with underscores",
}

func readCorpus(tb testing.TB) (list []input) {
	tb.Helper()
	files, err := filepath.Glob("testdata/corpus/*.txt")
	if err != nil {
		tb.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		in, err := parseInput(string(data))
		if err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		in.name = strings.TrimSuffix(filepath.Base(file), ".txt")
		list = append(list, in)
	}
	return list
}

func parseInput(data string) (in input, err error) {
	head, body, _ := strings.Cut(data, "\n\n")
	in.requests = 1
	for text := range strings.Lines(head) {
		key, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
		switch key {
		case "expect":
			in.hostile = value == "reject"
			if !in.hostile && value != "valid" {
				err = fmt.Errorf("expect: %s", value)
			}
		case "row":
			in.row = value
		case "status":
			in.status, err = strconv.Atoi(value)
		case "requests":
			in.requests, err = strconv.Atoi(value)
		case "end":
			in.eof = value == "eof"
		case "about":
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return in, err
		}
	}
	text, err := unescape(strings.ReplaceAll(body, "\n", ""))
	in.raw = []byte(text)
	return in, err
}

var (
	repetition = regexp.MustCompile(`\\\*(\d+)\(([^()]*)\)`) // the innermost
	escape     = regexp.MustCompile(`\\(x..|.)`)
)

func unescape(text string) (string, error) {
	for repetition.MatchString(text) {
		text = repetition.ReplaceAllStringFunc(text, func(s string) string {
			m := repetition.FindStringSubmatch(s)
			n, _ := strconv.Atoi(m[1])
			return strings.Repeat(m[2], n)
		})
	}
	var bad error
	text = escape.ReplaceAllStringFunc(text, func(s string) string {
		switch s[1] {
		case 'r':
			return "\r"
		case 'n':
			return "\n"
		case 't':
			return "\t"
		case '\\':
			return `\`
		}
		c, err := strconv.ParseUint(s[min(2, len(s)):], 16, 8)
		if err != nil {
			bad = fmt.Errorf("bad escape %q", s)
		}
		return string([]byte{byte(c)})
	})
	return text, bad
}

// answer is one that a client got for good.
type answer struct {
	status int
	id     string // of the request, as the access log has it
	origin bool   // made by the origin, not by the node
	closes bool   // says that the connection ends
}

// parseAnswers reads the answers to requests of the given methods; what comes
// beyond them is read as answers to GET. Interim answers are skipped.
func parseAnswers(raw []byte, methods []string) (list []answer, err error) {
	br := bufio.NewReader(bytes.NewReader(raw))
	for {
		if _, err := br.Peek(1); err == io.EOF {
			return list, nil
		}
		method := "GET"
		if len(list) < len(methods) {
			method = methods[len(list)]
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return list, err
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return list, err
		}
		if resp.StatusCode >= 200 {
			name, value, _ := strings.Cut(passed, ": ")
			list = append(list, answer{resp.StatusCode, resp.Header.Get("X-Proxy-Request-Id"), resp.Header.Get(name) == value, resp.Close})
		}
	}
}

// The corpus: what is hostile gets no further than the node, what is valid
// reaches the origin once and as it was meant.
func TestCorpus(t *testing.T) {
	b := start(t, shortened)
	corpus := readCorpus(t)
	hostile, rows := 0, map[string]bool{}
	answered, refused := 0, 0
	logged := map[string]request{} // by id: what the access log must say of a request that passed
	for _, in := range corpus {
		t.Run(in.name, func(t *testing.T) {
			rows[in.row] = true
			var answers []answer
			if in.hostile {
				hostile++
				answers = tryHostile(t, b, in)
				refused += len(answers)
			} else {
				answers = tryValid(t, b, in)
				for i, r := range meant(in.raw) {
					logged[answers[i].id] = r
				}
			}
			answered += len(answers)
		})
	}
	t.Logf("%d inputs: %d hostile, %d valid", len(corpus), hostile, len(corpus)-hostile)
	if hostile < 90 || len(corpus)-hostile < 30 {
		t.Errorf("%d hostile and %d valid inputs, want 90 and 30 at least", hostile, len(corpus)-hostile)
	}
	for number, threat := range threats {
		if !rows[strconv.Itoa(number)] {
			t.Errorf("no input for %d, %s", number, threat)
		}
	}
	if got := b.metric("api_proxy_requests_total"); got != answered {
		t.Errorf("%d requests counted for %d answers", got, answered)
	}
	if got := b.metric("api_proxy_requests_error_total"); got != refused {
		t.Errorf("%d errors counted for %d refusals", got, refused)
	}
	lines := b.accessLog()
	if len(lines) != answered {
		t.Errorf("%d access log lines for %d answers", len(lines), answered)
	}
	for _, l := range lines {
		r, ok := logged[l.RequestID]
		if ok && (l.Method != r.method || l.Path != clip(r.path()) || l.BytesIn != int64(len(r.body)) || l.Status != http.StatusOK) {
			t.Errorf("logged as %.300v, sent as %s %.200q with %d bytes", l, r.method, r.path(), len(r.body))
		}
		if ok != (l.Status == http.StatusOK) {
			t.Errorf("logged is %.300v, answered was something else, or twice", l)
		}
		delete(logged, l.RequestID)
	}
	if len(logged) > 0 {
		t.Errorf("not logged: %.1000q", logged)
	}
}

// clip is how the log shows a path: 2048 bytes at most, U+FFFD for each byte
// that is not UTF-8.
func clip(path string) string { return string([]rune(path[:min(len(path), 2048)])) }

// tryHostile sends an input that must be refused and returns the node's answers.
func tryHostile(t *testing.T, b *bench, in input) []answer {
	got, ended := b.send(in.eof, in.raw)
	if !ended {
		t.Errorf("the connection stays open after %.200q", got)
	}
	answers, err := parseAnswers(got, []string{strings.SplitN(string(in.raw[:min(len(in.raw), 10)]), " ", 2)[0]})
	if err != nil {
		t.Errorf("%v in the answer %.500q", err, got)
	}
	for _, a := range answers {
		if a.origin || a.status < 400 || a.id == "" || !a.closes {
			t.Errorf("answered with %+v, want a refusal that closes: %.500q", a, got)
		}
	}
	if len(answers) > 1 || len(answers) == 0 && in.status != 0 || len(answers) == 1 && in.status != 0 && answers[0].status != in.status {
		t.Errorf("answers %+v, want one with status %d", answers, in.status)
	}
	if seen, faults := b.origin.take(); len(seen)+len(faults) > 0 {
		t.Errorf("the origin saw %+v %q", seen, faults)
	}
	return answers
}

// tryValid sends an input that must pass. The client reads its answers before it
// ends the connection, as clients do.
func tryValid(t *testing.T, b *bench, in input) []answer {
	want := meant(in.raw)
	if len(want) != in.requests {
		t.Fatalf("the oracle reads %d requests, the file says %d", len(want), in.requests)
	}
	c := b.dial()
	defer c.Close()
	if _, err := c.Write(in.raw); err != nil {
		t.Fatal(err)
	}
	var methods []string
	for _, r := range want {
		methods = append(methods, r.method)
	}
	got := readAnswers(c, methods)
	answers, err := parseAnswers(got, methods)
	if err != nil || len(answers) != len(want) {
		t.Fatalf("%d answers (%v) to %d requests: %.500q", len(answers), err, len(want), got)
	}
	for _, a := range answers {
		if !a.origin || a.status != http.StatusOK || a.id == "" {
			t.Errorf("answered with %+v: %.500q", a, got)
		}
	}
	seen, faults := b.origin.take()
	if len(faults) > 0 || len(seen) != len(want) {
		t.Fatalf("the origin saw %d requests for %d and %q", len(seen), len(want), faults)
	}
	for i, r := range want {
		if up := upstream(r); !up.equal(seen[i]) {
			t.Errorf("the origin saw\n%.500q\nand not\n%.500q", seen[i], up)
		}
	}
	return answers
}

// readAnswers reads the answers to requests of these methods, ends the
// connection, and returns all that came.
func readAnswers(c io.ReadWriter, methods []string) []byte {
	var all bytes.Buffer
	br := bufio.NewReader(io.TeeReader(c, &all))
	for i := 0; i < len(methods); {
		resp, err := http.ReadResponse(br, &http.Request{Method: methods[i]})
		if err != nil {
			return all.Bytes()
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode >= 200 {
			i++
		}
	}
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, br)
	return all.Bytes()
}
