package config

import "testing"

func TestToJSON(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`{"a": [1, 2.5, "x", true, null], "b": {}}`, `{"a":[1,2.5,"x",true,null],"b":{}}`},
		{"rate_limit:\n  per_ip: {rate: 5, burst: 5}\nproxy: null\n", `{"rate_limit":{"per_ip":{"rate":5,"burst":5}},"proxy":null}`},
		{`mode: off`, `{"mode":"off"}`},
		{`rate: 5/m`, `{"rate":"5/m"}`},
	} {
		got, err := ToJSON([]byte(row.text))
		if err != nil || string(got) != row.want {
			t.Errorf("%q: %s, %v; want %s", row.text, got, err, row.want)
		}
	}
	for _, text := range []string{"{", "a: b: c", "\x00"} {
		if _, err := ToJSON([]byte(text)); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}
