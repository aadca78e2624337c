package statusview

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Text is readable in both colour schemes: WCAG 2 level AA wants a contrast of
// 4.5, and 3 for shapes.
func TestContrast(t *testing.T) {
	css, err := files.ReadFile("assets/status.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(css), "@media (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("there is no dark scheme")
	}
	dark, _, _ = strings.Cut(dark, "\n}\n")
	for name, scheme := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, m := range regexp.MustCompile(`--(\w+): (#[0-9a-f]{3,6});`).FindAllStringSubmatch(scheme, -1) {
			colours[m[1]] = luminance(t, m[2])
		}
		for _, pair := range [][2]string{
			{"text", "page"}, {"text", "card"}, {"quiet", "page"}, {"quiet", "card"}, {"accent", "page"},
			{"ok", "page"}, {"ok", "card"}, {"warn", "page"}, {"warn", "card"}, {"bad", "page"}, {"bad", "card"},
			{"on", "accent"}, {"on", "bad"},
		} {
			a, b := colours[pair[0]], colours[pair[1]]
			if c := (max(a, b) + 0.05) / (min(a, b) + 0.05); c < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want 4.5", name, pair[0], pair[1], c)
			}
		}
		if a, b := colours["accent"], colours["track"]; (max(a, b)+0.05)/(min(a, b)+0.05) < 3 {
			t.Errorf("%s: the bar does not stand out from its track", name)
		}
	}
}

// luminance is the relative luminance of WCAG 2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	hex = hex[1:]
	if len(hex) == 3 {
		hex = string([]byte{hex[0], hex[0], hex[1], hex[1], hex[2], hex[2]})
	}
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(hex[2*i:2*i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
