package fakeprovider

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		begun := time.Now().UnixNano()
		for _, r := range []struct{ method, path, key string }{
			{"GET", "/zerion/test", demoBasic},
			{"GET", "/zerion/test?query=ignored", demoBasic},
			{"POST", "/zerion/status/503", demoBasic},
			{"GET", "/zerion/test", "Basic wrong"},
		} {
			ask(s, newServerRequest(r.method, r.path, "", "Authorization", r.key, "X-Proxy-Admitted-At", "17"))
			time.Sleep(time.Second) // virtual
		}
		want := Stats{
			Arrivals: 4, Authorized: 3, Unauthorized: 1, MaxInFlight: 1,
			FirstNS: begun, LastNS: begun + 3*int64(time.Second),
			Leaks:    map[string]int64{},
			ByMethod: map[string]int64{"GET": 3, "POST": 1},
			ByStatus: map[int]int64{200: 2, 401: 1, 503: 1},
			ByPath:   map[string]int64{"/zerion/test": 3, "/zerion/status/503": 1},
		}
		if got := s.Stats(Zerion); !reflect.DeepEqual(got, want) {
			t.Errorf("Stats\n got %+v\nwant %+v", got, want)
		}
		third := Arrival{
			Seq: 2, NS: begun + 2*int64(time.Second), AdmittedNS: 17,
			Method: "POST", Path: "/zerion/status/503", Status: 503, Authorized: true,
		}
		if got := s.Arrivals(Zerion)[2]; !reflect.DeepEqual(got, third) {
			t.Errorf("Arrivals[2]\n got %+v\nwant %+v", got, third)
		}

		s.Reset()
		if got := s.Stats(Zerion); got.Arrivals != 0 || got.FirstNS != 0 || len(got.ByPath) != 0 || len(s.Arrivals(Zerion)) != 0 {
			t.Errorf("after Reset: %+v", got)
		}
		ask(s, newServerRequest("GET", "/zerion/test", "", "Authorization", demoBasic))
		if list := s.Arrivals(Zerion); len(list) != 1 || list[0].Seq != 4 {
			t.Errorf("after Reset: %+v, want one with the next sequence number", list)
		}
		if st := s.Stats(Provider(99)); st.Arrivals != 0 || st.Leaks == nil || s.Arrivals(Provider(99)) != nil {
			t.Errorf("Stats of no provider: %+v", st)
		}
	})
}

// A request that began before a reset is still in flight after it, but its status
// is not counted among those that came later.
func TestResetKeepsInFlight(t *testing.T) {
	var l ledger
	old := l.begin(arrival{}, "/old")
	l.reset()
	l.answered(old, 200)
	if st := l.stats(); st.InFlight != 1 || st.MaxInFlight != 1 || len(st.ByStatus) != 0 || st.Arrivals != 0 {
		t.Errorf("after reset: %+v", st)
	}
	l.end()
	l.answered(l.begin(arrival{}, "/new"), 200)
	if st := l.stats(); st.InFlight != 1 || st.ByStatus[200] != 1 {
		t.Errorf("later: %+v", st)
	}
}

// The ledger keeps the last arrivals and says how many it dropped.
func TestLedgerIsBounded(t *testing.T) {
	var l ledger
	const extra = chunkSize + 10
	for i := range keptArrivals + extra {
		seq := l.begin(arrival{ns: int64(i), conn: uint32(i)}, "/x")
		l.end()
		if seq != int64(i) {
			t.Fatalf("sequence number %d, want %d", seq, i)
		}
	}
	l.answered(extra-1, 200) // dropped: counted, nowhere to be noted
	l.answered(extra, 201)
	st := l.stats()
	if st.Dropped != extra || st.Arrivals != keptArrivals+extra || st.FirstNS != 0 || st.ByStatus[200] != 1 {
		t.Errorf("dropped %d of %d, first %d", st.Dropped, st.Arrivals, st.FirstNS)
	}
	next := int64(extra)
	l.each(0, keptArrivals+extra, func(batch []Arrival) bool {
		for _, a := range batch {
			if a.Seq != next || a.NS != next {
				t.Fatalf("arrival %d has stamp %d, want both %d", a.Seq, a.NS, next)
			}
			if (a.Status == 201) != (a.Seq == extra) {
				t.Fatalf("arrival %d has status %d", a.Seq, a.Status)
			}
			next++
		}
		return true
	})
	if next != keptArrivals+extra {
		t.Errorf("the list ends at %d", next)
	}
}

// Paths beyond the bounds are one.
func TestPathsAreBounded(t *testing.T) {
	var l ledger
	for i := range maxPaths + 5 {
		l.begin(arrival{}, fmt.Sprintf("/%d", i))
	}
	l.begin(arrival{}, "/"+strings.Repeat("x", maxPathSize))
	st := l.stats()
	if len(st.ByPath) != shownPaths+1 || st.ByPath["/99"] != 1 || st.ByPath[otherPath] != maxPaths-shownPaths+6 {
		t.Errorf("%d paths, other %d", len(st.ByPath), st.ByPath[otherPath])
	}
	page, _, paths := l.page(maxPaths - 1)
	if a, b := paths[page[0].path], paths[page[1].path]; a != fmt.Sprintf("/%d", maxPaths-1) || b != otherPath {
		t.Errorf("the last path is %q, the one after it %q", a, b)
	}
}

// Counting is exact under concurrency.
func TestConcurrentCounting(t *testing.T) {
	s := New(Options{})
	const workers, each = 8, 500
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				get(s, "/test")
			}
		})
		wg.Go(func() {
			s.Stats(Unknown)
			s.Arrivals(Unknown)
			get(s, "/_control/arrivals?provider=unknown")
		})
	}
	wg.Wait()
	st := s.Stats(Unknown)
	if st.Arrivals != workers*each || st.ByStatus[200] != workers*each || st.InFlight != 0 || st.MaxInFlight > workers {
		t.Errorf("stats %+v", st)
	}
	if list := s.Arrivals(Unknown); len(list) != workers*each {
		t.Errorf("%d arrivals listed", len(list))
	}
}

func TestControl(t *testing.T) {
	s := New(Options{})
	for _, tt := range []struct {
		call, body string
		status     int
		says       string
	}{
		{"POST faults", `{"provider":"zerion","error_rate":0.5,"status":503,"retry_after":"2","latency":"5ms","reset_rate":0.1,"reset_after_bytes":9,"hang_rate":0.1,"count":3}`, 200, `"status":503`},
		{"POST faults", `{}`, 200, `"provider":""`},
		{"POST faults", `{"eror_rate":1}`, 400, `unknown field \"eror_rate\"; fields are provider, error_rate`},
		{"POST faults", `{"error_rate":2}`, 400, "error_rate is 2; use 0..1"},
		{"POST faults", `{"provider":"x"}`, 400, "there are zerion, coingecko"},
		{"POST faults", `{} {}`, 400, "one JSON object"},
		{"POST faults", `{"error_rate":"1"}`, 400, "cannot unmarshal string"},
		{"POST faults", ``, 400, "EOF"},
		{"POST faults", `{"retry_after":"` + strings.Repeat("2", maxControlBody) + `"}`, 400, "too large"},
		{"DELETE faults", ``, 204, ""},
		{"POST reset", ``, 204, ""},
		{"GET reset", ``, 404, "POST reset"},
		{"GET nothing", ``, 404, "GET arrivals"},
		{"GET arrivals", ``, 400, "provider"},
		{"GET arrivals?provider=zerion&since=x", ``, 400, "since"},
		{"GET arrivals?provider=zerion&since=-1", ``, 400, "since"},
		{"GET arrivals?provider=zerion", ``, 200, `{"provider":"zerion","arrivals":[],"next":0,"dropped":0}`},
	} {
		method, path, _ := strings.Cut(tt.call, " ")
		w := ask(s, httptest.NewRequest(method, controlPrefix+path, strings.NewReader(tt.body)))
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %.80s: %d %s, want %d with %s", tt.call, tt.body, w.Code, w.Body, tt.status, tt.says)
		}
	}
	for p := range Provider(numProviders) {
		if n := s.Stats(p).Arrivals; n != 0 {
			t.Errorf("%v: control requests were counted: %d", p, n)
		}
	}
}

// Over HTTP the oracle says the same as in Go.
func TestControlAgreesWithMethods(t *testing.T) {
	s := New(Options{})
	for range chunkSize + 10 {
		ask(s, newServerRequest("GET", "/test", "", "Cookie", "a=b"))
	}
	var stats map[string]Stats
	if err := json.Unmarshal(get(s, "/_control/stats").Body.Bytes(), &stats); err != nil {
		t.Fatal(err)
	}
	if len(stats) != numProviders || !reflect.DeepEqual(stats["unknown"], s.Stats(Unknown)) {
		t.Errorf("stats %+v", stats)
	}
	for _, since := range []int{0, 5, chunkSize, chunkSize + 10, chunkSize + 99} {
		var page struct {
			Provider      string
			Arrivals      []Arrival
			Next, Dropped int64
		}
		decoder := json.NewDecoder(bytes.NewReader(get(s, fmt.Sprintf("/_control/arrivals?provider=unknown&since=%d", since)).Body.Bytes()))
		if err := decoder.Decode(&page); err != nil {
			t.Fatal(err)
		}
		if _, err := decoder.Token(); err != io.EOF {
			t.Errorf("since %d: text after the document", since)
		}
		want := s.Arrivals(Unknown)[min(since, chunkSize+10):]
		if page.Dropped != 0 || page.Next != chunkSize+10 || len(page.Arrivals) != len(want) ||
			len(want) > 0 && !reflect.DeepEqual(page.Arrivals, want) {
			t.Errorf("since %d: %d arrivals, next %d, dropped %d", since, len(page.Arrivals), page.Next, page.Dropped)
		}
	}
}

// After older arrivals were overwritten or reset, the list says what is missing.
func TestArrivalsSayWhatIsDropped(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: a million lines are slow under the race detector, and nothing here is concurrent")
	}
	s := New(Options{})
	l := &s.ledgers[Unknown]
	for range keptArrivals + 7 {
		l.begin(arrival{}, "/x")
	}
	since := fmt.Sprintf("/_control/arrivals?provider=unknown&since=%d", 3)
	if body := get(s, since).Body.String(); !strings.HasSuffix(body, fmt.Sprintf(`],"next":%d,"dropped":4}`+"\n", keptArrivals+7)) {
		t.Errorf("since 3 of 7 dropped: ...%s", body[len(body)-60:])
	}
	s.Reset()
	if body := get(s, since).Body.String(); !strings.HasSuffix(body, `"dropped":0}`+"\n") {
		t.Errorf("after a reset nothing is missing: %s", body)
	}
}

func TestLedgerDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("SKIPPED: the race detector allocates")
	}
	var l ledger
	request := func() {
		seq := l.begin(arrival{ns: 1}, "/v1/wallets/0x/portfolio")
		l.answered(seq, 200)
		l.end()
	}
	request() // makes the first chunk and the path's entry
	if n := testing.AllocsPerRun(1000, request); n != 0 {
		t.Errorf("a request costs %v allocations in the ledger, want 0", n)
	}
}
