package fakeprovider

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

const second = int64(1e9)

func TestExcess(t *testing.T) {
	for _, tt := range []struct {
		name        string
		stamps      []int64
		rate, burst float64
		worst       float64
		from, to    int64
	}{
		// Nothing arrived: the whole burst is room.
		{"none", nil, 10, 5, -5, 0, 0},
		// One arrival is one above a burst of nothing.
		{"one", []int64{7}, 10, 0, 1, 7, 7},
		// A burst of exactly the burst is allowed.
		{"full burst", []int64{3, 3, 3}, 1, 3, 0, 3, 3},
		// One more is an excess of one.
		{"burst and one", []int64{3, 3, 3, 3}, 1, 3, 1, 3, 3},
		// At the rate, burst 1: one token has come back by each arrival.
		{"steady", []int64{0, second, 2 * second}, 1, 1, 0, 0, 0},
		// At twice the rate for 2 s: 5 arrivals against 2 + 1.
		{"twice", []int64{0, second / 2, second, 3 * second / 2, 2 * second}, 1, 1, 2, 0, 2 * second},
		// The worst window lies inside: a pause before it does not excuse it.
		{"inner", []int64{0, 100 * second, 100 * second, 100 * second, 200 * second}, 1, 1, 2, 100 * second, 100 * second},
		// The worst window joins two bursts: 3 - 1*0.5 beats 2.
		{"joined", []int64{0, 0, second / 2}, 1, 0, 2.5, 0, second / 2},
		// Two equally bad windows: the earliest is named.
		{"tie", []int64{0, 0, 9 * second, 9 * second}, 1, 0, 2, 0, 0},
		// Order does not matter.
		{"unsorted", []int64{second / 2, 0, 0}, 1, 0, 2.5, 0, second / 2},
		// Rate 0 never drains, nor do rates that make no sense.
		{"rate 0", []int64{0, 1000 * second}, 0, 0, 2, 0, 1000 * second},
		{"rate NaN", []int64{0, 1000 * second}, math.NaN(), 0, 2, 0, 1000 * second},
		{"rate < 0", []int64{0, 1000 * second}, -5, 0, 2, 0, 1000 * second},
		// An infinite rate still lets nothing pass at one instant but the burst.
		{"rate +Inf", []int64{0, 0, 1}, math.Inf(1), 0, 2, 0, 0},
		// The whole range of int64 is a window, too.
		{"extremes", []int64{math.MinInt64, math.MaxInt64}, 1, 0, 1, math.MinInt64, math.MinInt64},
	} {
		worst, from, to := Excess(tt.stamps, tt.rate, tt.burst)
		if worst != tt.worst || from != tt.from || to != tt.to {
			t.Errorf("%s: Excess = %v [%d, %d], want %v [%d, %d]", tt.name, worst, from, to, tt.worst, tt.from, tt.to)
		}
	}
}

// excessByDefinition looks at every window. It is slow and obvious.
func excessByDefinition(stamps []int64, rate, burst float64) float64 {
	worst := math.Inf(-1)
	for i := range stamps {
		for j := i; j < len(stamps); j++ {
			worst = max(worst, float64(j-i+1)-rate*float64(stamps[j]-stamps[i])/1e9-burst)
		}
	}
	return worst
}

func checkExcess(t *testing.T, stamps []int64, rate, burst float64) {
	t.Helper()
	before := slices.Clone(stamps)
	worst, from, to := Excess(stamps, rate, burst)
	if !slices.Equal(before, stamps) {
		t.Fatal("Excess changed its argument")
	}
	slices.Sort(stamps)
	if want := excessByDefinition(stamps, rate, burst); math.Abs(worst-want) > 1e-9 {
		t.Fatalf("Excess(%v, %v, %v) = %v, by definition %v", stamps, rate, burst, worst, want)
	}
	// The named window is as bad as it is said to be.
	inside := 0
	for _, stamp := range stamps {
		if stamp >= from && stamp <= to {
			inside++
		}
	}
	if got := float64(inside) - rate*float64(to-from)/1e9 - burst; math.Abs(got-worst) > 1e-9 {
		t.Fatalf("window [%d, %d] has excess %v, not %v", from, to, got, worst)
	}
}

func TestExcessIsTheWorstOfAllWindows(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		stamps := make([]int64, 1+random.IntN(60))
		at := int64(0)
		for i := range stamps {
			if random.IntN(3) > 0 { // else a burst
				at += random.Int64N(second)
			}
			stamps[i] = at
		}
		random.Shuffle(len(stamps), func(i, j int) { stamps[i], stamps[j] = stamps[j], stamps[i] })
		checkExcess(t, stamps, float64(random.IntN(2000))/100, float64(random.IntN(10)))
	}
}

// A limiter that admits by an exact token bucket is never found guilty, and one
// token more is.
func TestExcessAgreesWithTokenBucket(t *testing.T) {
	const perSecond, burst = 300, 500
	random := rand.New(rand.NewPCG(3, 4))
	level, at := int64(0), int64(0) // backlog in units of 1e-9 tokens
	var admitted []int64
	for range 1_000_000 {
		gap := random.Int64N(second / 500)
		at += gap
		level = max(0, level-gap*perSecond)
		if level+second <= burst*second {
			level += second
			admitted = append(admitted, at)
		}
	}
	if worst, _, _ := Excess(admitted, perSecond, burst); worst > 1e-6 || worst < -1 {
		t.Errorf("exact bucket over %d admissions: worst = %v, want 0 or just below", len(admitted), worst)
	}
	if worst, _, _ := Excess(admitted, perSecond, burst-1); worst <= 0 {
		t.Errorf("one token more than allowed: worst = %v, want > 0", worst)
	}
}

func FuzzExcess(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1}, 1.0, 1.0)
	f.Add([]byte{255, 255, 255, 255, 0, 0, 0, 0}, 300.0, 500.0)
	f.Fuzz(func(t *testing.T, data []byte, rate, burst float64) {
		if !(rate >= 0 && rate <= 1e9 && burst >= 0 && burst <= 1e9) || len(data) < 4 || len(data) > 400 {
			return
		}
		var stamps []int64
		for ; len(data) >= 4; data = data[4:] {
			stamps = append(stamps, int64(binary.LittleEndian.Uint32(data)))
		}
		worst, _, _ := Excess(stamps, rate, burst)
		slices.Sort(stamps)
		want := excessByDefinition(stamps, rate, burst)
		if math.Abs(worst-want) > 1e-9*max(1, burst, rate) {
			t.Fatalf("Excess(%v, %v, %v) = %v, by definition %v", stamps, rate, burst, worst, want)
		}
	})
}

func BenchmarkExcess(b *testing.B) {
	stamps := make([]int64, 1_000_000)
	for i := range stamps {
		stamps[i] = int64(i) * 1e6
	}
	for b.Loop() {
		Excess(stamps, 300, 500)
	}
}
