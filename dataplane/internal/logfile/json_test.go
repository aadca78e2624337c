package logfile

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestAppendString(t *testing.T) {
	for _, row := range []struct{ in, want string }{
		{"", `""`},
		{"/zerion/v1/wallets", `"/zerion/v1/wallets"`},
		// What RFC 8259 §7 asks to be escaped.
		{`say "hi" \o/`, `"say \"hi\" \\o/"`},
		{"\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"\x00\x1b[31m", `"\u0000\u001b[31m"`},
		// Nothing more: no HTML escaping.
		{"<a>&\x7f", "\"<a>&\x7f\""},
		// UTF-8 as it is, a real U+FFFD included.
		{"钱包 é 🙂 \ufffd", "\"钱包 é 🙂 \ufffd\""},
		// One replacement for each byte that is none.
		{"a\xffb\xc3", `"a\ufffdb\ufffd"`},
		// Half a surrogate pair, an overlong slash.
		{"\xed\xa0\x80\xc0\xaf", `"\ufffd\ufffd\ufffd\ufffd\ufffd"`},
		{"\u2028\u2029", `"\u2028\u2029"`},
	} {
		if got := string(AppendString(nil, row.in)); got != row.want {
			t.Errorf("%q becomes %s, want %s", row.in, got, row.want)
		}
		if got := string(AppendString([]byte("x:"), []byte(row.in))); got != "x:"+row.want {
			t.Errorf("bytes %q become %s, want x:%s", row.in, got, row.want)
		}
	}
}

// encoding/json is the slow, obvious version.
func FuzzAppendString(f *testing.F) {
	f.Add([]byte(`plain "quoted" \`))
	f.Add([]byte("\x00\x1f\x7f\xff\xc3\xed\xa0\x80\u2028钱🙂"))
	f.Fuzz(func(t *testing.T, s []byte) {
		var want bytes.Buffer
		oracle := json.NewEncoder(&want)
		oracle.SetEscapeHTML(false)
		if err := oracle.Encode(string(s)); err != nil {
			t.Fatal(err)
		}
		got := AppendString(nil, s)
		if string(got)+"\n" != want.String() {
			t.Errorf("%q becomes %s, encoding/json says %s", s, got, want.Bytes())
		}
		if !json.Valid(got) {
			t.Errorf("%s is not valid JSON", got)
		}
	})
}

func BenchmarkAppendString(b *testing.B) {
	agent := []byte("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	dst := make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendString(dst[:0], agent)
	}
}
