package fakeprovider

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Fault is a script of misbehaviour. Each rate is the share of requests that it
// takes, 0..1; together they may not exceed 1. Faults are spread evenly and
// without chance: 1 takes every request, 0.5 every other one.
type Fault struct {
	Provider        string  `json:"provider"`          // a provider's name; "" = all of them
	ErrorRate       float64 `json:"error_rate"`        // answered with Status
	Status          int     `json:"status"`            // 200..599; default 500
	RetryAfter      string  `json:"retry_after"`       // Retry-After of those answers
	Latency         string  `json:"latency"`           // wait before anything else, as in "50ms"; at most 60s
	ResetRate       float64 `json:"reset_rate"`        // connection closed with RST before any byte
	ResetAfterBytes int64   `json:"reset_after_bytes"` // > 0: longer answers are cut with RST after so many body bytes
	HangRate        float64 `json:"hang_rate"`         // never answered: until the client goes or the server closes
	Count           int64   `json:"count"`             // for the next Count requests only; 0 = until cleared
}

// outcome is what becomes of a request under a script.
type outcome uint8

const (
	serve outcome = iota
	respondError
	reset
	hang
	numOutcomes = iota
)

// fullRate is a rate of 1. Rates are integers so that shares never drift.
const fullRate = 1_000_000_000

// script is a Fault, compiled. Safe for concurrent use.
type script struct {
	weights    [numOutcomes]int64 // sum is fullRate
	status     int
	retryAfter string
	latency    time.Duration
	cutAfter   int64 // -1 = never

	mu        sync.Mutex
	credits   [numOutcomes]int64
	remaining int64 // requests left; -1 = no end
}

// next decides about a request; false when the script has run out. It is nginx's
// smooth weighted round robin: every outcome earns its weight, the richest is
// chosen and pays for all.
func (s *script) next() (outcome, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.remaining == 0 {
		return serve, false
	}
	if s.remaining > 0 {
		s.remaining--
	}
	richest := serve
	for o := range outcome(numOutcomes) {
		s.credits[o] += s.weights[o]
		if s.credits[o] > s.credits[richest] {
			richest = o
		}
	}
	s.credits[richest] -= fullRate
	return richest, true
}

func (f Fault) compile() (*script, error) {
	s := &script{status: f.Status, retryAfter: f.RetryAfter, cutAfter: -1, remaining: -1}
	if err := f.compileRates(s); err != nil {
		return nil, err
	}
	if s.status == 0 {
		s.status = http.StatusInternalServerError
	}
	if s.status < 200 || s.status > 599 {
		return nil, fmt.Errorf("status is %d; use 200..599", f.Status)
	}
	if strings.ContainsFunc(f.RetryAfter, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, fmt.Errorf("retry_after is %q; use seconds or an HTTP date", f.RetryAfter)
	}
	if f.Latency != "" {
		var err error
		if s.latency, err = time.ParseDuration(f.Latency); err != nil || s.latency < 0 || s.latency > maxDelay {
			return nil, fmt.Errorf("latency is %q; use a duration of 0s..%s", f.Latency, maxDelay)
		}
	}
	if f.ResetAfterBytes < 0 || f.Count < 0 {
		return nil, fmt.Errorf("reset_after_bytes is %d, count is %d; neither may be negative", f.ResetAfterBytes, f.Count)
	}
	if f.ResetAfterBytes > 0 {
		s.cutAfter = f.ResetAfterBytes
	}
	if f.Count > 0 {
		s.remaining = f.Count
	}
	return s, nil
}

func (f Fault) compileRates(s *script) error {
	s.weights[serve] = fullRate
	for _, r := range []struct {
		name  string
		value float64
		takes outcome
	}{
		{"error_rate", f.ErrorRate, respondError},
		{"reset_rate", f.ResetRate, reset},
		{"hang_rate", f.HangRate, hang},
	} {
		if !(r.value >= 0 && r.value <= 1) {
			return fmt.Errorf("%s is %v; use 0..1", r.name, r.value)
		}
		weight := int64(math.Round(r.value * fullRate))
		s.weights[r.takes] = weight
		s.weights[serve] -= weight
	}
	if s.weights[serve] < 0 {
		return fmt.Errorf("error_rate + reset_rate + hang_rate is %v; use at most 1", f.ErrorRate+f.ResetRate+f.HangRate)
	}
	return nil
}

// SetFault replaces the fault of the provider that f names, or of all; with
// Provider "" a Count is shared by all of them. An invalid fault changes nothing.
func (s *Server) SetFault(f Fault) error {
	compiled, err := f.compile()
	if err != nil {
		return err
	}
	if f.Provider == "" {
		s.setScripts(compiled)
		return nil
	}
	p, err := ParseProvider(f.Provider)
	if err != nil {
		return err
	}
	s.faults[p].Store(compiled)
	return nil
}

// ClearFaults ends all faults. Requests that already hang go on hanging.
func (s *Server) ClearFaults() { s.setScripts(nil) }

func (s *Server) setScripts(next *script) {
	for i := range s.faults {
		s.faults[i].Store(next)
	}
}

// inflict lets the provider's fault take the request; true when nothing is left
// to answer.
func (s *Server) inflict(a *answer, r *http.Request, t target) bool {
	fault := s.faults[t.provider].Load()
	if fault == nil {
		return false
	}
	what, active := fault.next()
	if !active {
		return false
	}
	if fault.latency > 0 && !s.pause(r, fault.latency) {
		a.reset()
		return true
	}
	if r.Method != http.MethodHead { // no body byte to count
		a.cutAfter = fault.cutAfter
	}
	switch what {
	case respondError:
		drain(r)
		if fault.retryAfter != "" {
			a.Header().Set("Retry-After", fault.retryAfter)
		}
		fail(a, t.provider, fault.status, "scripted fault")
	case reset:
		a.reset()
	case hang:
		drain(r) // net/http notices that the client went only once the body is read
		s.pause(r, math.MaxInt64)
		a.reset()
	}
	return what != serve
}
