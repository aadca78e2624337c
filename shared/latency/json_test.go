package latency

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h Histogram
		for _, l := range rapid.SliceOf(rapid.Int64Range(0, int64(2*maxBound))).Draw(t, "latencies") {
			h.Observe(time.Duration(l))
		}
		want := h.Snapshot()
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Snapshot
		if err := json.Unmarshal(data, &got); err != nil || got != want {
			t.Fatalf("%s reads back as something else: %v", data, err)
		}
	})
}

func TestJSONRefuses(t *testing.T) {
	for _, text := range []string{`{"b":[[131,1]]}`, `{"b":[[-1,1]]}`, `[]`, `{"us":-1}`} {
		var s Snapshot
		if json.Unmarshal([]byte(text), &s) == nil {
			t.Errorf("%s was read as a histogram", text)
		}
	}
}
