package config

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

func TestDecodeLimit(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`{"rate":5,"burst":6}`, "5 6 share 10m 48"},
		{`{"rate":5}`, "5 5 share 10m 48"},
		{`{"rate":"90/m"}`, "90/m 2 share 10m 48"},
		{`{"rate":0}`, "0 1 share 10m 48"},
		{"rate: 5\nhold: 1m\n", "5 5 share 1m 48"},
		{`{"rate":5,"ipv6_prefix":56,"on_disconnect":"closed"}`, "5 5 closed 10m 56"},
		{`{"rate":5,"burst":null,"hold":null}`, "5 5 share 10m 48"},
		{`{}`, "l.rate"},
		{`{"burst":5}`, "l.rate"},
		{`{"rate":null}`, "l.rate"},
		{`{"rate":-1,"burst":0,"x":1}`, "l.rate l.burst l.x"},
		{`{"rate":1e308}`, "l.rate"},
		{`{"rate":1,"rate":1}`, "l.rate"},
		{`{"rate":1}}`, ""},
		{`5`, "l"},
		{`- 5`, "l"},
		{``, "l"},
		{"\x00", ""},
		{`{"rate":1}` + strings.Repeat(" ", 1<<20), ""},
	} {
		limit := IPLimit{Limit: Limit{Burst: 77, OnDisconnect: DisconnectShare, Hold: defaultHold}, IPv6Prefix: 48}
		err := DecodeLimit([]byte(row.text), "l", &limit)
		problems, ok := errors.AsType[Problems](err)
		if !ok && err != nil {
			t.Fatalf("%.40q: %v is not Problems", row.text, err)
		}
		var got []string
		for _, p := range problems {
			got = append(got, p.Path)
		}
		if err == nil {
			got = []string{limit.Rate.String(), fmtInt(limit.Burst), limit.OnDisconnect, limit.Hold.String(), fmtInt(int64(limit.IPv6Prefix))}
		}
		if strings.Join(got, " ") != row.want {
			t.Errorf("%.40q gives %q, want %q", row.text, got, row.want)
		}
	}
}

func fmtInt(n int64) string { return strconv.FormatInt(n, 10) }

// A limit by itself and in a document are the same limit.
func FuzzDecodeLimit(f *testing.F) {
	for _, seed := range []string{`{"rate":5}`, `{"rate":"5/m","burst":3,"hold":"1s"}`, `{"rate":-1}`, `{"burst":1}`, `{"rate":1,"rate":2}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !strings.HasPrefix(text, "{") {
			return
		}
		alone := NewLimit()
		errAlone := DecodeLimit([]byte(text), "rate_limit.global", alone)
		doc, _, errDoc := Parse([]byte(`{"rate_limit":{"global":` + text + `}}`))
		if errAlone != nil {
			return // the text may close the object that it stands in
		}
		if errDoc != nil {
			t.Fatalf("alone %q is fine, in a document: %v", text, errDoc)
		}
		if *alone != *doc.RateLimit.Global {
			t.Errorf("%q is %+v alone and %+v in a document", text, *alone, *doc.RateLimit.Global)
		}
	})
}

func TestDecodeKeeps(t *testing.T) {
	target := struct {
		Reason string   `json:"reason"`
		TTL    Duration `json:"ttl" range:"1ms..1h"`
	}{Reason: "before"}
	if err := Decode([]byte(`{"ttl":"10m"}`), "", &target); err != nil || target.Reason != "before" || target.TTL.String() != "10m" {
		t.Errorf("%+v, %v", target, err)
	}
	if err := Decode([]byte(`{"ttl":"2h","why":1}`), "", &target); err == nil || !strings.Contains(err.Error(), "ttl") || !strings.Contains(err.Error(), "why") {
		t.Errorf("%v", err)
	}
}
