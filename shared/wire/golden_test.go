package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
)

var updateGolden = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

// golden are messages as they are on the wire, in testdata. A change of these
// files is a change of the contract: fields may be added, with omitempty.
var golden = map[string]Message{
	"config_entry.json": &ConfigEntry{
		Head: Now(), Revision: 12, Time: noon, Author: "ann", Reason: "more for zerion",
		Config: json.RawMessage(`{"rate_limit":{},"providers":{}}`),
	},
	"hold.json":         &Hold{Head: Now(), State: "open", Reason: "maintenance", Author: "ann", Until: noon},
	"hold_endless.json": &Hold{Head: Now(), State: "open", Author: "ann"},
	"epoch.json":        &Epoch{Head: Now(), Epoch: 7},
	"purges.json": &Purges{Head: Now(), Last: []Purge{
		{ID: "K3", Time: noon, Author: "controller", Reason: "a new list"},
		{ID: "Q7", Provider: "zerion", Prefix: "/zerion/v1/", Time: noon, Author: "ann", Reason: "wrong prices"},
		{ID: "Z1", Exact: "/zerion/v1/x?a=1", Time: noon, Author: "ann"},
	}},
	"leader.json": &Leader{Head: Now(), Controller: "control-1", Incarnation: "a1", Epoch: 7},
	"member.json": &Member{
		Head: Now(), Node: "node-1", Incarnation: "b2", Address: "10.0.0.1:8080", TLS: true, Version: "v1.2.3",
		State: status.Gone, Time: noon, Reason: "left",
	},
	"answer_purges.json": &Answer{
		Head: Now(), Incarnation: "b2", Nonce: 123456789, Epoch: 7, Revision: 12, Nodes: 3,
		Purges: []Purge{{ID: "Q7", Provider: "zerion", Time: noon, Author: "ann"}, {ID: "Z1", Exact: "/zerion/v1/x?a=1", Time: noon, Author: "ann"}},
	},
	"report.json": &Report{
		Head: Now(), Node: "node-1", Incarnation: "b2", Nonce: 123456789, Epoch: 7, State: status.Live, Revision: 12,
		Refused: &Refusal{Revision: 13, Reason: "unknown field"},
		Purged:  []Purged{{ID: "Q7", Entries: 40}, {ID: "Z1"}},
		Stats: &Stats{
			Address: "10.0.0.1:8080", TLS: true, Version: "v1.2.3", Mode: status.Leased, InFlight: 3, Passed: 99.5,
			Providers: []ProviderStats{{Name: "zerion", Requests: 100, Success: 99, CacheEntries: 7, CacheBytes: 7000, CacheEvictions: 3, Credential: true}},
		},
	},
}

func TestGolden(t *testing.T) {
	for name, message := range golden {
		path := filepath.Join("testdata", name)
		if *updateGolden {
			if err := os.MkdirAll("testdata", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, append(Encode(message), '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := append(Encode(message), '\n'); !bytes.Equal(got, want) {
			t.Errorf("%s: written as\n%s\nwant\n%s", name, got, want)
		}
		// A newer program may say more: what is unknown is skipped.
		more := append([]byte(`{"unheard_of":{"of":[1]},`), want[1:]...)
		for _, data := range [][]byte{want, more} {
			back := reflect.New(reflect.TypeOf(message).Elem()).Interface()
			if err := json.Unmarshal(data, back); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if !reflect.DeepEqual(back, message) {
				t.Errorf("%s is read as\n%+v\nwant\n%+v", data, back, message)
			}
		}
	}
}

// TestOldMessages: what the first release wrote is read for ever.
func TestOldMessages(t *testing.T) {
	m, err := Decode[Member]([]byte(`{"v":1,"node":"n","incarnation":"i","address":"a:1","version":"","state":"live","time":"2025-03-01T12:00:00Z"}`))
	if want := (Member{Head: Now(), Node: "n", Incarnation: "i", Address: "a:1", State: status.Live, Time: noon}); err != nil || m != want {
		t.Errorf("%+v, %v", m, err)
	}
	a, err := Decode[Answer]([]byte(`{"v":1,"inc":"i","nonce":5,"epoch":7}`))
	if want := (Answer{Head: Now(), Incarnation: "i", Nonce: 5, Epoch: 7}); err != nil || !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestPurgeAt(t *testing.T) {
	list := []Purge{{ID: "a"}, {ID: "b"}}
	for id, want := range map[string]int{"a": 0, "b": 1, "c": -1, "": -1} {
		if got := PurgeAt(list, id); got != want {
			t.Errorf("%q: %d, want %d", id, got, want)
		}
	}
	r := Report{}
	if got := r.LastPurge(); got != "" {
		t.Errorf("of a node that has purged nothing: %q", got)
	}
	r.Purged = []Purged{{ID: "a"}, {ID: "b"}}
	if got := r.LastPurge(); got != "b" {
		t.Errorf("%q", got)
	}
}

// What is no message of ours is an error, never a message without content.
func TestDecodeRefuses(t *testing.T) {
	for name, data := range map[string]string{
		"nothing": "", "space": " ", "garbage": "\x00\xff", "null": "null", "a list": "[]", "a text": `"v"`, "no version": `{}`,
		"version 0": `{"v":0,"epoch":1}`, "version -1": `{"v":-1}`, "a fraction": `{"v":1.5}`, "a text for a version": `{"v":"1"}`, "a huge version": `{"v":1e99}`,
		"cut": `{"v":1,"epoch":`, "a wrong type": `{"v":1,"epoch":"7"}`, "a negative": `{"v":1,"epoch":-1}`,
		"a reply of the server": `{"stream":"KV_usage","seq":12}`, "a megabyte": strings.Repeat("x", 1<<20), "a megabyte of depth": strings.Repeat("[", 1<<20),
		"too long": `{"v":1}` + strings.Repeat(" ", MaxMessage), "two messages": `{"v":1}{"v":1}`, "a tail": `{"v":1} x`,
	} {
		if m, err := Decode[Epoch]([]byte(data)); err == nil {
			t.Errorf("%s: %+v", name, m)
		} else if errors.Is(err, ErrVersion) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Decode[Epoch]([]byte(`{"v":2,"epoch":{}}`)); !errors.Is(err, ErrVersion) {
		t.Errorf("a newer version with a field of another type: %v", err)
	}
}

func TestNames(t *testing.T) {
	for id, valid := range map[string]bool{
		"a": true, "node-1": true, "A_b-9": true, strings.Repeat("x", 64): true,
		"": false, "a.b": false, "a b": false, "*": false, ">": false, "a\n": false, "ä": false, "$x": false, strings.Repeat("x", 65): false,
	} {
		if ValidNode(id) != valid {
			t.Errorf("%q", id)
		}
	}
	if ReportSubject("n") != "$KV.usage.n" || AnswerSubject("n") != "q.grant.n" || InboxPrefix("n") != "_INBOX.n" || HoldKey("p") != "hold.p" {
		t.Error("the names on NATS are part of the contract")
	}
}

// FuzzDecode: nothing makes a reader panic, and what is read can be written and
// read again.
func FuzzDecode(f *testing.F) {
	for name := range golden {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"v":1,"state":"open","gen":3,"since":"2025-03-01T12:00:00Z"}`))
	f.Add([]byte(`{"v":1,"inc":"i","nonce":5,"epoch":7,"probes":[{"p":"zerion"}],"rejected":"no"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		again[ConfigEntry](t, data)
		again[Hold](t, data)
		again[Epoch](t, data)
		again[Purges](t, data)
		again[Leader](t, data)
		again[Member](t, data)
		again[Report](t, data)
		again[Answer](t, data)
		again[BreakerEntry](t, data)
	})
}

func again[T Message](t *testing.T, data []byte) {
	m, err := Decode[T](data)
	if err != nil {
		return
	}
	text, err := json.Marshal(m)
	if err != nil || len(text) > MaxMessage {
		return // a year that JSON has no word for, or longer when written out
	}
	back, err := Decode[T](text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if second, _ := json.Marshal(back); !bytes.Equal(second, text) {
		t.Fatalf("%s became %s", text, second)
	}
}
