//go:build !race

package route

import "testing"

func TestAllocations(t *testing.T) {
	table := New(map[string]int{"/alchemy/": 1, "/alchemy/nft/": 2, "/zerion/": 3})
	for _, target := range []string{
		"/alchemy/v2/x?a=1", "/zerion/v1/a.b%2Fc/caf\xc3\xa9", "/zerion/../x", "/zerion/%zz", "/unknown",
	} {
		got := testing.AllocsPerRun(100, func() {
			if path, _, err := Split([]byte(target)); err == nil {
				table.Match(path)
			}
		})
		if got != 0 {
			t.Errorf("%s allocates %v times, want 0", target, got)
		}
	}
}
