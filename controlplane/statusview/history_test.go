package statusview

import (
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/status"
)

func TestRecorder(t *testing.T) {
	var r Recorder
	doc := calm().Status
	for i := range 600 { // ten minutes
		doc.GeneratedAt = at.Add(time.Duration(i) * time.Second)
		r.Add(&doc)
	}
	got := r.History()["zerion"]
	if len(got) != 61 || got[60].At.Sub(got[0].At) != historySpan || got[0].Requests != 212 {
		t.Errorf("%d samples from %v to %v", len(got), got[0].At, got[len(got)-1].At)
	}
	if last := got[60]; !last.At.Equal(at.Add(596 * time.Second)) {
		t.Errorf("the last sample is of %v", last.At)
	}
	before := r.History()
	delete(doc.Providers, "zerion")
	doc.GeneratedAt = doc.GeneratedAt.Add(time.Minute)
	r.Add(&doc)
	if _, kept := r.History()["zerion"]; kept || len(before["zerion"]) != 61 {
		t.Error("a provider that is gone is forgotten, but not in what was handed out")
	}
}

// A clock that is set back must neither stop the recorder nor make it grow.
func TestRecorderClockSetBack(t *testing.T) {
	var r Recorder
	doc := status.Document{Providers: map[string]status.Provider{"p": {}}}
	for i := range 1000 {
		doc.GeneratedAt = at.Add(-time.Duration(i) * time.Hour)
		r.Add(&doc)
	}
	if n := len(r.History()["p"]); n > 62 {
		t.Errorf("%d samples", n)
	}
}

func TestSpark(t *testing.T) {
	sample := func(before time.Duration, requests, rejected float64) Sample {
		return Sample{at.Add(-before), requests, rejected}
	}
	s := newSpark(at, []Sample{sample(time.Hour, 9999, 0), sample(40*time.Second, 100, 0), sample(10*time.Second, 50, 10), sample(0, 0, 100), sample(-time.Second, 1, 1)})
	if s.Line != "M200 1M230 20L240 39" || s.Rejected != "M230 35.2L240 1" {
		t.Errorf("line %s, refusals %s", s.Line, s.Rejected)
	}
	if s.Area != "M200 40L200 1V40ZM230 40L230 20L240 39V40Z" {
		t.Errorf("area %s", s.Area)
	}
	if s.Data != "40:100:0 10:50:10 0:0:100" || plain(s.Peak) != "100.0/s" {
		t.Errorf("data %s, peak %s", s.Data, s.Peak)
	}
	s = newSpark(at, []Sample{sample(8*time.Second, 2, 0), sample(6*time.Second, 2, 0), sample(4*time.Second, 2, 2), sample(2*time.Second, 2, 0), sample(0, 2, 0)})
	if s.Rejected != "M234 39L236 1L238 39" {
		t.Errorf("a moment of refusals is drawn as %s", s.Rejected)
	}
	if s := newSpark(at, nil); strings.TrimSpace(s.Line+s.Area+s.Peak+s.Data) != "" {
		t.Errorf("nothing is drawn as %+v", s)
	}
}
