package quota

import (
	"encoding/json"
	"math"
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
func FuzzReportIsReadAsTheLibraryReadsIt(f *testing.F) {
	for _, text := range reports {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		type plain Report
		var want plain
		wantErr := json.Unmarshal(text, &want)
		var got Report
		err := json.Unmarshal(text, &got)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%s: %v, want %v", text, err, wantErr)
		}
		if err == nil && got != Report(want) {
			t.Fatalf("%s: %+v, want %+v", text, got, want)
		}
	})
}

func TestReportIsReadByHand(t *testing.T) {
	r := Report{Term: 1 << 40, Seq: 3, Nonce: 1e17, Got: Sum{1e17, 2, 3}, Back: Sum{4, 5, 6}, Level: MaxRoom, Demand: MaxDemand, Now: 9,
		Urgent: true, Last: true, Admitted: 10, Refused: 11, Correction: 12}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	if s := (scanner{text, true}); !s.report(&got) || got != r {
		t.Errorf("%s by hand is %+v", text, got)
	}
	r.Got.Rate = math.MaxUint64 // sums wrap around; the library reads that
	text, _ = json.Marshal(r)
	if err := json.Unmarshal(text, &got); err != nil || got != r {
		t.Errorf("%s is %+v, %v", text, got, err)
	}
}

func BenchmarkReadReport(b *testing.B) {
	text := []byte(`{"per_provider/a":` + reports[1] + `,"per_provider/b":` + reports[1] + `}`)
	b.Run("by hand", func(b *testing.B) {
		var r map[string]Report
		for b.Loop() {
			_ = json.Unmarshal(text, &r)
		}
	})
	b.Run("by the library", func(b *testing.B) {
		type plain Report
		var r map[string]plain
		for b.Loop() {
			_ = json.Unmarshal(text, &r)
		}
	})
}
