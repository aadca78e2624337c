package config

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestToJSON(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{`{"a":null,"b":[1,2.50,"x",true,{}],"c":{"d":-1e-3}}`, `{"a":null,"b":[1,2.50,"x",true,{}],"c":{"d":-1e-3}}`},
		{"a: null\nb: [1, +2, .5, 'x', off]\n", `{"a":null,"b":[1,2,5e-1,"x","off"]}`},
		{"a: -.5\n", `{"a":-5e-1}`},
		{"a: &x {b: 1}\nc: *x\n", `{"a":{"b":1},"c":{"b":1}}`},
		{`{"a":1,"a":2}`, "line 1: a: is given a second time (keep one of them; the first is on line 1)"},
		{`{"a":{"b":1,"b":2}}`, "line 1: a.b: is given a second time (keep one of them; the first is on line 1)"},
		{"a: .nan\n", `line 1: a: ".nan" is not a finite number (write a plain decimal number)`},
		{`[1]`, "expected an object, found a list (write `name: value` fields)"},
		{``, "expected an object, found null (write `name: value` fields)"},
	} {
		got, err := ToJSON([]byte(row.text))
		if err != nil {
			if _, ok := errors.AsType[Problems](err); !ok {
				t.Errorf("%q: %v is not Problems", row.text, err)
			}
			got = []byte(err.Error())
		}
		if string(got) != row.want {
			t.Errorf("%q gives %s, want %s", row.text, got, row.want)
		}
	}
}

// Whatever comes out is JSON, and says the same as what went in.
func FuzzToJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,null,{"b":"c"}]}`, "a: +.5e3\nb: [x, {y: 0x10}]\n", `{"a":1,"a":2}`, "a: &a [*a]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := ToJSON([]byte(text))
		if err != nil {
			return
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %s", text, out)
		}
		doc, _, err := Parse([]byte(text))
		again, _, errAgain := Parse(out)
		if (err == nil) != (errAgain == nil) || err == nil && !doc.Equal(again) {
			t.Errorf("%q is %v, as %s it is %v", text, err, out, errAgain)
		}
	})
}
