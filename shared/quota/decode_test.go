package quota

import (
	"encoding/json"
	"maps"
	"math"
	"strconv"
	"testing"
)

// reports as they are sent, and what must be left to the library.
var reports = []string{
	`{"q":1,"n":5,"g":{},"b":{}}`,
	`{"e":4294967297,"q":12,"n":123456789,"g":{"r":5,"w":6,"t":7},"b":{"t":1},"l":3,"d":4,"i":5,"u":true,"x":true,"a":9,"f":8,"c":7}`,
	`{"q":1,"n":-5,"g":{"r":18446744073709551615},"b":{},"c":-3}`,
	`{ "q" : 1 }`, `{"q":1,"new":[1,{"a":2}]}`, `{"Q":3}`, `{"q":1,"q":2}`, `{"u":false}`, `{"g":null}`, `null`, `{}`, `{"q":01}`, `{"q":1.5}`, `{"q":1e3}`,
	`{"q":99999999999999999999}`, `{"q":}`, `{"q":1`, `{"q":1}}`, `{"q":1,}`, `{,"q":1}`, `{"g":{"r":1,"new":2}}`, `{"\u0071":1}`, `[]`, `7`, ``,
}

// What is read by hand is what the library reads, errors too.
func FuzzReportsAreReadAsTheLibraryReadsThem(f *testing.F) {
	for _, text := range reports {
		f.Add([]byte(`{"global":` + text + `}`))
		f.Add([]byte(`{"per_provider/a":` + text + `,"b":` + reports[1] + `}`))
	}
	for _, text := range []string{`null`, `{}`, `{`, `{"a":{},"a":{"q":1}}`, `{"\u0061":{}}`, `{"é":{}}`, `{"a":{},}`, `{,}`, `{"a"}`, `[]`, `7`, ``, "{\"\xff\":{}}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want map[string]Report
		wantErr := json.Unmarshal(text, &want)
		var got Reports
		err := json.Unmarshal(text, &got)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, want %v", text, err, wantErr)
		}
		if err == nil && (!maps.Equal(got, want) || (got == nil) != (want == nil)) {
			t.Fatalf("%s: %+v, want %+v", text, got, want)
		}
	})
}

func TestReportIsReadByHand(t *testing.T) {
	r := Report{Term: 1 << 40, Seq: 3, Nonce: 1e17, Got: Sum{1e17, 2, 3}, Back: Sum{4, 5, 6}, Level: MaxRoom, Demand: MaxDemand, Now: 9,
		Urgent: true, Last: true, Admitted: 10, Refused: 11, Correction: 12}
	said := Reports{"global": r, "per_provider/a": {}}
	text, err := json.Marshal(said)
	if err != nil {
		t.Fatal(err)
	}
	got := make(Reports)
	if s := (scanner{text, true}); !s.reports(got) || !maps.Equal(got, said) {
		t.Errorf("%s by hand is %+v", text, got)
	}
	r.Got.Rate = math.MaxUint64 // sums wrap around; the library reads that
	said = Reports{"global": r}
	text, _ = json.Marshal(said)
	got = nil
	if err := json.Unmarshal(text, &got); err != nil || !maps.Equal(got, said) {
		t.Errorf("%s is %+v, %v", text, got, err)
	}
}

// BenchmarkReadReports reads those of a node with twenty limits.
func BenchmarkReadReports(b *testing.B) {
	said := make(map[string]json.RawMessage)
	for i := range 20 {
		said["per_provider/"+strconv.Itoa(i)] = json.RawMessage(reports[1])
	}
	text, _ := json.Marshal(said)
	b.Run("by hand", func(b *testing.B) {
		for b.Loop() {
			var r Reports
			_ = json.Unmarshal(text, &r)
		}
	})
	b.Run("by the library", func(b *testing.B) {
		for b.Loop() {
			var r map[string]Report
			_ = json.Unmarshal(text, &r)
		}
	})
}
