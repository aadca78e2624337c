package accuracy

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Goroutines of fasthttp look after names, the date and each client's idle
// connections, of which the last end some time after those; one of ours starts
// processes for as long as this one lives.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("apiproxy.internal/loadtest/accuracy.onOneThread"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}

// A cluster of processes admits not one token too many, whatever is done to it,
// and uses nearly all of its limit. What depends on how busy this machine is has a
// wide margin here; `make accuracy` has the real figures.
func TestClusterOfProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIP: half a minute with real processes")
	}
	if raceEnabled {
		t.Skip("the programs under test are processes of their own, without the race detector")
	}
	o := Shortest()
	o.Bin, o.Dir = build(t), t.TempDir()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	for try := 1; ; try++ {
		rows, err := Run(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		idle := wasted(t, rows)
		if idle == "" {
			return
		}
		if try == 3 { // it is not the machine that was busy
			t.Fatal(idle)
		}
		o.Parts = []string{"loads"}
	}
}

// wasted holds the rows against what must hold on any machine, and names a limit
// of which too little was used.
func wasted(t *testing.T, rows []Row) (idle string) {
	for _, r := range rows {
		t.Log(r.line())
		if r.Over > 0 {
			t.Errorf("%s: %.3f tokens too many", r.title(), r.Over)
		}
		if r.Admitted == 0 || r.Unsent > 0 {
			t.Errorf("%s: %d admitted, %d not sent", r.title(), r.Admitted, r.Unsent)
		}
		if r.Part == "loads" && r.Utilisation < 95 {
			idle = fmt.Sprintf("%s: only %.2f %% of the limit used", r.title(), r.Utilisation)
		}
	}
	if len(rows) < 3 {
		t.Errorf("only %d runs", len(rows))
	}
	return idle
}

// build makes the two programs.
func build(t *testing.T) string {
	dir := t.TempDir()
	for _, program := range []string{"dataplane", "controlplane"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, program), "apiproxy.internal/"+program+"/cmd/"+program)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", program, err, out)
		}
	}
	return dir
}

func TestIdealIsOneBucket(t *testing.T) {
	requests := make([]request, 3000) // 1000/s for 3 s
	for i := range requests {
		requests[i].at = int64(i) * 1e6
	}
	limit := Limit{100, 200}
	stamps := ideal(requests, []limitAt{{limit, 0}})
	if n := len(stamps); n < 498 || n > 500 {
		t.Errorf("%d admitted, want the burst and what 3 s earn", n)
	}
	if over := excess(stamps, []limitAt{{limit, 0}}); over != 0 {
		t.Errorf("the ideal itself is %g over", over)
	}
	// The control: what keeps this limit is seen to break a lower one.
	if over := excess(stamps, []limitAt{{Limit{90, 200}, 0}}); math.Abs(over-29) > 2 {
		t.Errorf("against 90/s it is %g over, want about 29", over)
	}
}

func TestChangesAreJudgedApart(t *testing.T) {
	var stamps []int64
	for i := range 400 { // 100/s; from 2 s on the limit is 50/s
		stamps = append(stamps, int64(i)*1e7)
	}
	limits := []limitAt{{Limit{100, 1}, 0}, {Limit{50, 1}, 2e9}}
	if over := excess(stamps, limits); math.Abs(over-90) > 2 {
		t.Errorf("%g over, want half of what 1.8 s admitted", over)
	}
	if over := excess(stamps[:200], limits); over != 0 {
		t.Errorf("%g over before the change", over)
	}
}

func TestRecoveryFindsTheGap(t *testing.T) {
	var got, want []int64
	for i := range 2000 {
		at := int64(i) * 1e6
		want = append(want, at)
		if at < 5e8 || at >= 8e8 {
			got = append(got, at)
		}
	}
	during, back := recovery(got, want, 0, 2e9, shortSpan)
	if during != 85 || back < 300 || back > 800 {
		t.Errorf("during %g %%, back %g ms", during, back)
	}
}

// Each load has the rate it should have and reaches the nodes it should reach.
func TestLoadsArriveAsDescribed(t *testing.T) {
	for _, kind := range append([]string{"shift"}, Loads...) {
		l := newLoad(kind, 1000, 20*time.Second, 1)
		var hits [10]int
		n, last := 0, time.Duration(0)
		for {
			at, spike, ok := l.request()
			if !ok {
				break
			}
			if at < last {
				t.Fatalf("%s: %v after %v", kind, at, last)
			}
			last = at
			i := l.pick(at, spike, 10)
			if kind == "shift" && (i < 5) != (at < 10*time.Second) {
				t.Fatalf("shift: node %d at %v", i, at)
			}
			hits[i]++
			n++
		}
		if n < 18_500 || n > 21_000 {
			t.Errorf("%s: %d requests, want about 20000", kind, n)
		}
		if kind == "zipf" && hits[0] < 4*hits[9] {
			t.Errorf("zipf: %v", hits)
		}
	}
}

func TestTablesShowWhatWasMissed(t *testing.T) {
	good := Row{Part: "loads", Name: "uniform", Mode: ModeLeases, Demand: 2, Utilisation: 99.9}
	bad := Row{Part: "loads", Name: "zipf", Mode: ModeLeases, Demand: 10, Utilisation: 90, Over: 3}
	other := Row{Part: "loads", Name: "zipf", Mode: ModeGossipSim, Demand: 10, Over: 300}
	for _, r := range []*Row{&good, &bad, &other} {
		r.check()
	}
	if good.Missed != "" || other.Missed != "" || !strings.Contains(bad.Missed, "over by 3") || !strings.Contains(bad.Missed, "utilisation") {
		t.Errorf("%q %q %q", good.Missed, bad.Missed, other.Missed)
	}
	var out strings.Builder
	if err := WriteMarkdown(&out, []Row{good, bad, other}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kept", "**missed**", "simulated", "per_ip"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if _, err := os.Stat("/proc/loadavg"); err == nil && loadAverage() < 0 {
		t.Error("no load average")
	}
}
