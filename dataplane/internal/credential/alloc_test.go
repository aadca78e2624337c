//go:build !race

package credential

import "testing"

func TestAllocations(t *testing.T) {
	c := compile(t, auths["header"].auth, canary)
	text := []byte("https://api.test/v1/x?y=z")
	if got := testing.AllocsPerRun(100, func() { c.Leaks(text) }); got != 0 {
		t.Errorf("Leaks allocates %v times, want 0", got)
	}
}
