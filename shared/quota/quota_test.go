package quota

import (
	"encoding/json"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A sum that wraps around is still a sum: only differences count.
func TestSumsWrapAround(t *testing.T) {
	s := Sum{Rate: math.MaxUint64 - 5, Room: math.MaxUint64, Tokens: 3}
	p := Part{Holding{Rate: 100, Room: 50}, 20}
	if got := s.Plus(p).Minus(s); got != p {
		t.Errorf("%+v", got)
	}
	if got := s.Minus(s.Plus(p)); got.Possible() {
		t.Errorf("%+v is possible", got)
	}
}

func TestPossible(t *testing.T) {
	for _, tt := range []struct {
		p    Part
		want bool
	}{
		{Part{}, true},
		{Part{Holding{MaxRate, MaxRoom}, MaxRoom}, true},
		{Part{Holding{0, 5}, 6}, false},
		{Part{Holding{-1, 5}, 5}, false},
		{Part{Holding{0, -1}, -1}, false},
		{Part{Holding{MaxRate + 1, 0}, 0}, false},
		{Part{Holding{0, MaxRoom + 1}, 0}, false},
	} {
		if got := tt.p.Possible(); got != tt.want {
			t.Errorf("%+v: %v", tt.p, got)
		}
	}
}

// In whatever steps the time is cut, the sum is exact: nothing is lost or won.
func TestEarnedIsExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum, rest, elapsed int64
		rate := rapid.Int64Range(0, MaxRate).Draw(t, "rate")
		for _, d := range rapid.SliceOf(rapid.Int64Range(0, Second/1000)).Draw(t, "steps") {
			var got int64
			got, rest = Earned(rate, d, rest)
			sum, elapsed = sum+got, elapsed+d
		}
		exact := new(big.Int).Mul(big.NewInt(rate), big.NewInt(elapsed))
		if exact.Div(exact, big.NewInt(1e12)); exact.Cmp(big.NewInt(sum)) != 0 {
			t.Fatalf("earned %d, exactly %v", sum, exact)
		}
	})
}

func TestEarnedStaysInRange(t *testing.T) {
	for _, tt := range [][2]int64{{MaxRate, math.MaxInt64}, {math.MaxInt64, math.MaxInt64}, {-1, 5}, {5, -1}, {math.MinInt64, math.MinInt64}} {
		if got, rest := Earned(tt[0], tt[1], 0); got < 0 || got > MaxRoom || rest < 0 {
			t.Errorf("%v: %d, %d", tt, got, rest)
		}
	}
}

func TestParams(t *testing.T) {
	for _, tt := range []struct {
		p     Params
		rate  int64
		every int64
	}{
		{Params{Num: 1000, Den: 1}, 1000 * PerSecond, Second / 1000},
		// five a minute: 2e-9 of it is lost to rounding
		{Params{Num: 1, Den: 12}, 83_333_333, 12_000_000_049},
		// one a day
		{Params{Num: 1, Den: 86400}, 11_574, 86_400_552_963_539},
		{Params{Num: math.MaxUint64, Den: 1}, MaxRate, 1},
		{Params{Num: 5}, 0, Forever},
		{Params{}, 0, Forever},
	} {
		if got := tt.p.Rate(); got != tt.rate {
			t.Errorf("%+v: rate %d, want %d", tt.p, got, tt.rate)
		}
		if got := tt.p.Every(); got != tt.every {
			t.Errorf("%+v: every %d, want %d", tt.p, got, tt.every)
		}
	}
}

// How long a node may go on, and how long the leader leaves it alone.
func TestLease(t *testing.T) {
	for _, tt := range []struct {
		p              Params
		lease, reclaim int64
	}{
		{Params{}, DefaultHold, DefaultHold},
		{Params{Hold: 60 * Second}, 60 * Second, 60 * Second},
		{Params{Hold: 1}, Fresh, Fresh},
		{Params{Hold: 60 * Second, OnDisconnect: Closed}, Fresh, Fresh},
		{Params{Hold: 60 * Second, OnDisconnect: Open}, Forever, 60 * Second},
	} {
		if a, b := tt.p.Lease(), tt.p.Reclaim(); a != tt.lease || b != tt.reclaim {
			t.Errorf("%+v: %d, %d", tt.p, a, b)
		}
	}
	if Stretch(Second) != Second+Second/1000+1 || Stretch(Forever) != Forever {
		t.Error("Stretch")
	}
}

func TestThin(t *testing.T) {
	for _, tt := range []struct {
		rate  uint64
		burst int64
		nodes int
		why   string
	}{
		{1000, 2000, 100, ""},
		{1000, 2000, 1, ""},
		{5, 5, 1, ""},
		{5, 5, 10, "burst 5 is below 3 × nodes = 3 × 10 = 30"},
		{1000, 65, 10, "burst 65 is below rate × (tick + 2 × delay) + nodes = 1000 × 0.06 + 10 = 70"},
		{0, 5, 10, ""},
		{5, 0, 10, ""},
	} {
		thin, why := Thin(Params{Num: tt.rate, Den: 1, Burst: tt.burst}, tt.nodes)
		if why != tt.why || thin != (why != "") {
			t.Errorf("%+v: %v %q", tt, thin, why)
		}
	}
}

// What travels is short, and comes back as it was.
func TestRoundTrip(t *testing.T) {
	r := Report{
		Term: 1<<32 + 1, Seq: 12345, Nonce: 99 * Second, Got: Sum{1e12, 1e9, 1e9}, Back: Sum{9e11, 9e8, 9e8},
		Level: 1e7, Demand: 1e8, Now: 1e8, Admitted: 1e6, Refused: 1e6,
	}
	text, err := json.Marshal(r)
	if err != nil || len(text) > 300 {
		t.Fatalf("%d bytes: %s, %v", len(text), text, err)
	}
	var back Report
	if err := json.Unmarshal(text, &back); err != nil || back != r {
		t.Errorf("%+v, %v", back, err)
	}
	if strings.Contains(string(text), "Window") {
		t.Error("the parameters do not travel")
	}
}

// Hostile values are in range after Sane, and sums of them do not overflow.
func FuzzSane(f *testing.F) {
	f.Add([]byte(`{"e":1,"q":2,"n":-9223372036854775808,"l":-1,"d":9223372036854775807,"g":{"r":18446744073709551615}}`))
	f.Add([]byte(`{"h":-5,"r":9223372036854775807,"w":-1,"p":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Report
		if json.Unmarshal(text, &r) == nil {
			s := r.Sane()
			if s.Level < 0 || s.Level > MaxRoom || s.Demand < 0 || s.Demand > MaxDemand || s.Now < 0 || s.Now > MaxDemand {
				t.Errorf("%+v", s)
			}
			if h := s.Holding(); h.Possible() && h.Aged().Room > h.Room {
				t.Errorf("%+v", h)
			}
		}
		var a Answer
		if json.Unmarshal(text, &a) == nil {
			s := a.Sane()
			if min(s.Lease, s.Hand, s.Keep, s.Most, s.Low, s.Wait, s.Every) < 0 || s.Hand > MaxRate || max(s.Keep, s.Most, s.Low) > MaxRoom || s.Wait > Second {
				t.Errorf("%+v", s)
			}
		}
	})
}
