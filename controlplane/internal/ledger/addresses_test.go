package ledger

import (
	"math"
	"testing"

	"apiproxy.internal/shared/quota"
)

func TestAddresses(t *testing.T) {
	a := NewAddresses(quota.Params{Num: 100, Den: 1, Burst: 200})
	say := func(now int64, taken, want int64) {
		t.Helper()
		got := a.Report(now, []quota.Suspect{{Hash: 7, Taken: taken}}, nil)
		if len(got) != 1 || got[0] != (quota.Verdict{Hash: 7, Level: want * quota.Token}) {
			t.Errorf("%+v, want level %d", got, want)
		}
	}
	// two nodes take 150 each: together 100 too many
	say(0, 150, 50)
	say(0, 150, -100)
	// which the next second pays back
	say(second, 0, 0)
	// nonsense is neither a gift nor a sentence for life
	say(second, -1000, 0)
	say(second, math.MaxInt64, -200_000)
	a.Tick(1000 * second)
	if a.Len() != 1 {
		t.Error("a debt was forgotten")
	}
	// whoever has a full bucket again is no suspect
	a.Tick(3000 * second)
	if a.Len() != 0 {
		t.Errorf("%d left", a.Len())
	}
}

func TestAddressesAreBounded(t *testing.T) {
	a := NewAddresses(quota.Params{Num: 1, Den: 1, Burst: 200})
	for i := range uint64(maxAddresses + 100) {
		a.Report(0, []quota.Suspect{{Hash: i, Taken: 1}}, nil)
	}
	if a.Len() != maxAddresses {
		t.Errorf("%d", a.Len())
	}
	if got := a.Report(0, make([]quota.Suspect, 1000), nil); len(got) > quota.MaxSuspects {
		t.Errorf("%d verdicts", len(got))
	}
}
