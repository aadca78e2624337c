package wire

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var updateBreaker = flag.Bool("update-breaker", false, "write the golden files of the breaker's messages")

var breakerSince = time.Date(2025, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

// breakerGolden are the messages as they are on the wire, in testdata.
var breakerGolden = map[string]any{
	"breaker_closed.json": &BreakerEntry{
		Head: Now(), Generation: Generation{Epoch: 3, Gen: 9}, State: BreakerClosed, Cause: CauseProbesOK, Since: breakerSince,
	},
	"breaker_open.json": &BreakerEntry{
		Head: Now(), Generation: Generation{Epoch: 3, Gen: 7}, State: BreakerOpen, Cause: CauseFailures, Failures: 5,
		RetryMS: 30_000, Since: breakerSince, OpenedAt: breakerSince,
	},
	"breaker_held.json": &BreakerEntry{
		Head: Now(), Generation: Generation{Epoch: 4, Gen: 8}, State: BreakerOpen, Cause: CauseTrip,
		RetryMS: 600_000, Since: breakerSince, OpenedAt: breakerSince,
		Forced: &Forced{State: BreakerOpen, Reason: "maintenance", Author: "ann", Until: breakerSince.Add(10 * time.Minute)},
	},
	"evidence.json": &Evidence{
		Provider: "zerion", Generation: Generation{Epoch: 3, Gen: 8}, State: BreakerHalfOpen, RetryMS: 1, Failures: 1, Attempted: true,
		Local: BreakerOpen, OK: 1, Bad: 2, Closed: true, Granted: 5, Done: 3, Own: 1, Wants: 2,
	},
	"evidence_quiet.json": &Evidence{Provider: "zerion"},
	"probes.json":         &Probes{Provider: "zerion", Generation: Generation{Epoch: 3, Gen: 8}, Granted: 5},
}

func TestBreakerGolden(t *testing.T) {
	for name, message := range breakerGolden {
		got, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", name)
		if *updateBreaker {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
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
				t.Errorf("%s: %s is read as\n%+v\nwant\n%+v", name, data, back, message)
			}
		}
	}
}

// The first entries had no epoch, no cause and no pause.
func TestOldBreakerEntryStillDecodes(t *testing.T) {
	e, err := Decode[BreakerEntry]([]byte(`{"v":1,"gen":7,"state":"open","since":"2025-03-01T12:00:00.25Z"}`))
	want := BreakerEntry{Head: Now(), Generation: Generation{Gen: 7}, State: BreakerOpen, Since: breakerSince}
	if err != nil || e != want {
		t.Errorf("%+v, %v\nwant %+v", e, err, want)
	}
}

func TestGenerationsCompare(t *testing.T) {
	inOrder := []Generation{{}, {0, 1}, {0, 9}, {1, 0}, {1, 2}, {2, 1}}
	for i, g := range inOrder {
		for j, h := range inOrder {
			if got := g.Compare(h); (got < 0) != (i < j) || (got == 0) != (i == j) {
				t.Errorf("%v.Compare(%v) = %d", g, h, got)
			}
		}
	}
}

func TestReportedEvidence(t *testing.T) {
	r := &Report{Breakers: []Evidence{{Provider: "a", Failures: 1}, {Provider: "b", Failures: 2}}}
	if got := r.Evidence("b"); got != r.Breakers[1] {
		t.Errorf("%+v", got)
	}
	if got := r.Evidence("c"); got != (Evidence{Provider: "c"}) {
		t.Errorf("of a provider left out: %+v", got)
	}
}

// No entry makes Decode panic, and what it takes it can write again.
func FuzzBreakerEntry(f *testing.F) {
	for name := range breakerGolden {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Decode[BreakerEntry](data)
		if err != nil {
			return
		}
		if y := e.Since.Year(); y < 0 || y > 9999 {
			return // JSON has no word for it
		}
		back, err := Decode[BreakerEntry](Encode(e))
		if err != nil {
			t.Fatal(err)
		}
		if back.Generation != e.Generation || back.State != e.State || back.RetryMS != e.RetryMS {
			t.Errorf("%+v became %+v", e, back)
		}
	})
}
