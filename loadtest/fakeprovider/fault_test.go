package fakeprovider

import (
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// Statuses of consecutive requests under a fault.
func TestErrorRate(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		want  []int
	}{
		// 0 never errs, 1 always does, 0.5 every other time.
		{Fault{}, []int{200, 200, 200, 200}},
		{Fault{ErrorRate: 1}, []int{500, 500, 500, 500}},
		{Fault{ErrorRate: 0.5}, []int{200, 500, 200, 500, 200, 500}},
		{Fault{ErrorRate: 0.25}, []int{200, 200, 500, 200, 200, 200, 500, 200}},
		// Any status will do.
		{Fault{ErrorRate: 1, Status: 429, RetryAfter: "2"}, []int{429, 429}},
		// A count ends the fault by itself.
		{Fault{ErrorRate: 1, Status: 503, Count: 2}, []int{503, 503, 200, 200}},
		// One for a provider leaves the others alone.
		{Fault{Provider: "zerion", ErrorRate: 1}, []int{200, 200}},
		{Fault{Provider: "unknown", ErrorRate: 1}, []int{500, 500}},
	} {
		s := New(Options{})
		if err := s.SetFault(tt.fault); err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			w := get(s, "/test")
			if w.Code != want {
				t.Errorf("%+v: request %d got %d, want %d", tt.fault, i, w.Code, want)
			}
			if retryAfter := w.Header().Get("Retry-After"); (retryAfter != "") != (want == 429) {
				t.Errorf("%+v: Retry-After %q on %d", tt.fault, retryAfter, w.Code)
			}
		}
		if st := s.Stats(Unknown); st.Arrivals != int64(len(tt.want)) {
			t.Errorf("%+v: %d arrivals of %d: faults must be counted", tt.fault, st.Arrivals, len(tt.want))
		}
	}
}

// Each outcome comes as often as its rate says, to within one or two, at any time.
func TestOutcomesAreSpreadEvenly(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		a, b := random.Float64(), random.Float64()
		f := Fault{ErrorRate: min(a, b), ResetRate: max(a, b) - min(a, b), HangRate: (1 - max(a, b)) / 2}
		s, err := f.compile()
		if err != nil {
			t.Fatal(err)
		}
		var seen [numOutcomes]int
		for n := 1; n <= 1000; n++ {
			o, _ := s.next()
			seen[o]++
			for o, weight := range s.weights {
				if want := float64(n) * float64(weight) / fullRate; math.Abs(float64(seen[o])-want) > 2 {
					t.Fatalf("%+v: outcome %d came %d times in %d, want %.1f", f, o, seen[o], n, want)
				}
			}
		}
	}
}

func TestFaultErrors(t *testing.T) {
	for _, tt := range []struct {
		fault Fault
		says  string
	}{
		{Fault{Provider: "zerio"}, `no provider "zerio"`},
		{Fault{ErrorRate: 1.1}, "error_rate is 1.1; use 0..1"},
		{Fault{ErrorRate: math.NaN()}, "error_rate is NaN"},
		{Fault{ResetRate: -1}, "reset_rate is -1"},
		{Fault{HangRate: math.Inf(1)}, "hang_rate is +Inf"},
		{Fault{ErrorRate: 0.6, HangRate: 0.6}, "use at most 1"},
		{Fault{Status: 101}, "status is 101; use 200..599"},
		{Fault{Status: 600}, "status is 600"},
		{Fault{RetryAfter: "2\r\nX: y"}, "retry_after"},
		{Fault{Latency: "50"}, "latency"},
		{Fault{Latency: "-1s"}, "latency"},
		{Fault{Latency: "2m"}, "0s..1m0s"},
		{Fault{ResetAfterBytes: -1}, "negative"},
		{Fault{Count: -1}, "negative"},
	} {
		s := New(Options{})
		if err := s.SetFault(Fault{ErrorRate: 1}); err != nil {
			t.Fatal(err)
		}
		if err := s.SetFault(tt.fault); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: error %v, want one with %q", tt.fault, err, tt.says)
		}
		if get(s, "/test").Code != 500 {
			t.Errorf("%+v was refused but replaced the fault before it", tt.fault)
		}
		s.ClearFaults()
		if get(s, "/test").Code != 200 {
			t.Error("ClearFaults left a fault")
		}
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		if err := s.SetFault(Fault{Latency: "50ms", ErrorRate: 0.5}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []int{200, 500} {
			begun := time.Now()
			if w := get(s, "/test"); w.Code != want || time.Since(begun) != 50*time.Millisecond {
				t.Errorf("%d after %v, want %d after 50ms", w.Code, time.Since(begun), want)
			}
		}
		// The stamp is taken before the latency.
		if list := s.Arrivals(Unknown); list[1].NS-list[0].NS != int64(50*time.Millisecond) {
			t.Errorf("stamps %d and %d", list[0].NS, list[1].NS)
		}
	})
}

func TestReset(t *testing.T) {
	s := start(t)
	c := client(t)
	if err := s.SetFault(Fault{ResetRate: 0.5}); err != nil {
		t.Fatal(err)
	}
	for i, wantReset := range []bool{false, true, false, true} {
		// POST, because net/http would quietly repeat a GET on a broken idle connection.
		response, err := c.Do(newRequest(t, "POST", "http://"+s.Addr()+"/test", "body"))
		if err == nil {
			_ = response.Body.Close()
		}
		if got := errors.Is(err, syscall.ECONNRESET); got != wantReset {
			t.Errorf("request %d: %v, want reset: %v", i, err, wantReset)
		}
	}
	if st := s.Stats(Unknown); st.Arrivals != 4 || st.ByStatus[200] != 2 || len(st.ByStatus) != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestResetAfterBytes(t *testing.T) {
	s := start(t)
	c := client(t)
	if err := s.SetFault(Fault{ResetAfterBytes: 1000}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		method, path string
		size         int
		cut          bool
	}{
		{"GET", "/bytes/1001", 1000, true},
		{"GET", "/bytes/5000000", 1000, true},
		{"GET", "/stream/1000", 1000, true},
		{"POST", "/echo", 1000, true},
		// What fits is whole, and HEAD has nothing to cut.
		{"GET", "/bytes/1000", 1000, false},
		{"GET", "/bytes/0", 0, false},
		{"HEAD", "/bytes/1001", 0, false},
	} {
		body := ""
		if tt.method == "POST" {
			body = strings.Repeat("x", 2000) // one write: a longer one might itself see the reset
		}
		response, err := c.Do(newRequest(t, tt.method, "http://"+s.Addr()+tt.path, body))
		if err != nil {
			t.Errorf("%s: %v", tt.path, err)
			continue
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if len(got) != tt.size || (err != nil) != tt.cut || response.StatusCode != 200 {
			t.Errorf("%s: %d, %d bytes, %v; want %d bytes, cut: %v", tt.path, response.StatusCode, len(got), err, tt.size, tt.cut)
		}
	}
}

// Clearing a fault does not answer those that hang; the client's leaving ends them.
func TestHang(t *testing.T) {
	s := start(t)
	if err := s.SetFault(Fault{HangRate: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	hung := client(t)
	go func() {
		_, err := hung.Do(newRequest(t, "GET", "http://"+s.Addr()+"/test", ""))
		done <- err
	}()
	fault := s.faults[Unknown].Load()
	eventually(t, "a hung request", func() bool {
		fault.mu.Lock()
		defer fault.mu.Unlock()
		return fault.remaining == 0
	})
	s.ClearFaults()
	response, err := client(t).Do(newRequest(t, "GET", "http://"+s.Addr()+"/test", ""))
	if err != nil || response.StatusCode != 200 {
		t.Errorf("request beside a hung one: %v %v", response, err)
	}
	_ = response.Body.Close()
	select {
	case err := <-done:
		t.Errorf("the hung request ended: %v", err)
	default:
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("the hung request was answered")
	}
	if st := s.Stats(Unknown); st.MaxInFlight != 2 || st.ByStatus[200] != 1 || st.Arrivals != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A count for all providers is shared among them.
func TestSharedCount(t *testing.T) {
	s := New(Options{})
	if err := s.SetFault(Fault{ErrorRate: 1, Count: 2}); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/zerion/test", nil)
	r.Header.Set("Authorization", demoBasic)
	if a, b, c := ask(s, r).Code, get(s, "/test").Code, ask(s, r.Clone(t.Context())).Code; a != 500 || b != 500 || c != http.StatusOK {
		t.Errorf("statuses %d %d %d, want 500 500 200", a, b, c)
	}
}
