//go:build !race

package record

import "testing"

func TestAllocations(t *testing.T) {
	dst := make([]byte, 0, 1024)
	if got := testing.AllocsPerRun(1000, func() { Append(dst, &full) }); got != 0 {
		t.Errorf("Append allocates %v times, want 0", got)
	}
}

func BenchmarkAppend(b *testing.B) {
	dst := make([]byte, 0, 1024)
	for b.Loop() {
		Append(dst, &full)
	}
}
