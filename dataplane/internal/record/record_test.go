package record

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/verdict"
)

// keys are the fields of a line, in their order.
var keys = strings.Fields(`time request_id node provider method path status latency_ms upstream_latency_ms
	bytes_in bytes_out client_ip user_agent cache degraded attempts limit error_type`)

var full = Entry{
	Time:            time.Date(2026, 3, 4, 6, 6, 7, 891_234_567, time.FixedZone("", 3600)),
	RequestID:       []byte("req-1"),
	Node:            "node-1",
	Provider:        "zerion",
	Method:          []byte("GET"),
	Path:            []byte("/zerion/v1/a%2Fb"),
	Status:          200,
	Latency:         12_345_678,
	UpstreamLatency: 12 * time.Millisecond,
	BytesIn:         1,
	BytesOut:        1 << 40,
	Client:          netip.MustParseAddr("192.0.2.1"),
	UserAgent:       []byte(`curl/8 "quoted"`),
	Cache:           "stale",
	Degraded:        "circuit_breaker",
	Attempts:        3,
	Limit:           verdict.PerIP,
	Error:           verdict.DegradedCache,
}

func TestLine(t *testing.T) {
	for name, row := range map[string]struct {
		entry Entry
		want  string
	}{
		"everything": {full, `{"time":"2026-03-04T05:06:07.891234Z","request_id":"req-1","node":"node-1","provider":"zerion","method":"GET",` +
			`"path":"/zerion/v1/a%2Fb","status":200,"latency_ms":12.345,"upstream_latency_ms":12.000,"bytes_in":1,"bytes_out":1099511627776,` +
			`"client_ip":"192.0.2.1","user_agent":"curl/8 \"quoted\"","cache":"stale","degraded":"circuit_breaker","attempts":3,` +
			`"limit":"per_ip","error_type":"degraded_cache"}`},
		// Nothing is left out: whoever reads the log finds every key in every line.
		"nothing": {Entry{}, `{"time":"0001-01-01T00:00:00.000000Z","request_id":"","node":"","provider":"","method":"",` +
			`"path":"","status":0,"latency_ms":0.000,"upstream_latency_ms":0.000,"bytes_in":0,"bytes_out":0,` +
			`"client_ip":"","user_agent":"","cache":"","degraded":"","attempts":0,` +
			`"limit":"","error_type":""}`},
	} {
		if got := string(Append(nil, &row.entry)); got != row.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, row.want)
		}
	}
}

func TestKeyOrder(t *testing.T) {
	dec := json.NewDecoder(bytes.NewReader(Append(nil, &full)))
	_, _ = dec.Token() // {
	for _, want := range keys {
		key, err := dec.Token()
		if err != nil || key != want {
			t.Fatalf("key %v (%v), want %q", key, err, want)
		}
		_, _ = dec.Token() // its value
	}
	if dec.More() {
		t.Error("there are more keys than these")
	}
}

func TestMillis(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                      "0.000",
		999:                    "0.000", // cut, not rounded
		time.Microsecond:       "0.001",
		10 * time.Microsecond:  "0.010",
		999_999:                "0.999",
		time.Millisecond:       "1.000",
		1_234_567_891:          "1234.567",
		-time.Second:           "0.000",
		1<<63 - 1:              "9223372036854.775",
		100 * time.Microsecond: "0.100",
	} {
		if got := string(appendMillis(nil, d)); got != want {
			t.Errorf("%d ns = %s ms, want %s", d, got, want)
		}
	}
}

// A client's words are kept short, and what is cut is valid all the same.
func TestClip(t *testing.T) {
	long := bytes.Repeat([]byte("é"), maxText)
	line := Append(nil, &Entry{Method: long, Path: long, UserAgent: append([]byte{'.'}, long...)})
	if len(line) > 3*maxText+500 || !json.Valid(line) {
		t.Errorf("a line of %d bytes, valid JSON: %v", len(line), json.Valid(line))
	}
}

func TestQueryIsLeftOut(t *testing.T) {
	for path, want := range map[string]string{
		"/a?key=canary":   "/a",
		"/a?b?key=canary": "/a",
		"?key=canary":     "",
		"/a%3Fb":          "/a%3Fb", // not a query
	} {
		e := Entry{Path: []byte(path)}
		line := string(Append(nil, &e))
		if strings.Contains(line, "canary") || !strings.Contains(line, `"path":"`+want+`"`) {
			t.Errorf("path %q is logged as %s", path, line)
		}
	}
}

// Whatever strangers send, a line is one line of valid JSON that says what they
// sent.
func FuzzAppend(f *testing.F) {
	f.Add([]byte("GET"), []byte("/a"), []byte("curl"), []byte("id"), "eth0", "miss", int64(1), int64(5))
	f.Add([]byte{0xff, '"'}, []byte("\n\\\u2028"), []byte{0xe2, 0x80}, []byte("\x00\x7f"), `"},{`, "\x80", int64(-1), int64(1)<<62)
	f.Fuzz(func(t *testing.T, method, path, agent, id []byte, zone, word string, latency, n int64) {
		e := Entry{
			RequestID: id, Node: zone, Provider: word, Method: method, Path: path, Status: int(n), Latency: time.Duration(latency),
			UpstreamLatency: time.Duration(n), BytesIn: n, BytesOut: latency, UserAgent: agent, Cache: word, Degraded: word,
			Client: netip.MustParseAddr("fe80::1").WithZone(zone), Attempts: int(latency),
		}
		prefix := []byte("earlier")
		line := Append(prefix, &e)
		if !bytes.HasPrefix(line, prefix) {
			t.Fatalf("what dst held is gone: %q", line)
		}
		line = line[len(prefix):]
		var got map[string]any
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if len(got) != len(keys) || bytes.ContainsAny(line, "\r\n") {
			t.Fatalf("not one line with %d keys: %q", len(keys), line)
		}
		for key, sent := range map[string][]byte{"method": clip(method), "path": clip(withoutQuery(path)), "user_agent": clip(agent)} {
			// Ranging over a string yields U+FFFD for each byte that is not UTF-8.
			if want := string([]rune(string(sent))); got[key] != want {
				t.Fatalf("%s is %q, want %q", key, got[key], want)
			}
		}
	})
}
