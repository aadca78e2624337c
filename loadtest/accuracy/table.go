package accuracy

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// What is promised.
const (
	leastUsed    = 99.5 // % at 2x and 10x, uniform and Zipf, up to ten nodes
	leastFlap    = 99.0 // the same, flapping
	mostFalse    = 0.01 // % at 0.5x, with a burst of at least three for each node
	mostFleetCPU = 0.5  // cores of the controller
)

// promise says what a fault's row must show.
func (r *Row) promise(f Fault) {
	r.Targets = "over 0"
	if f.Least > 0 {
		r.Targets += fmt.Sprintf(", during >= %g %%", f.Least)
		if r.During < f.Least {
			r.miss("during: %.2f below %g %%", r.During, f.Least)
		}
	}
	if f.Within > 0 {
		r.Targets += fmt.Sprintf(", back <= %g ms", f.Within)
		if r.Back > f.Within {
			r.miss("back after %.0f ms", r.Back)
		}
	}
}

// check holds a row against what is promised.
func (r *Row) check() {
	if r.Mode != ModeLeases {
		return
	}
	if r.Over > 0 {
		r.miss("over by %.2f", r.Over)
	}
	if r.Unsent > 0 {
		r.miss("%d requests could not be sent", r.Unsent)
	}
	switch {
	case r.Part == "fleet":
		if r.ControlCPU > mostFleetCPU {
			r.miss("%.2f core", r.ControlCPU)
		}
	case r.Part != "loads":
	case r.Demand == 0.5 && r.Name != "bursty":
		r.Targets = fmt.Sprintf("over 0, false rejects <= %g %%", mostFalse)
		if r.FalseRejects > mostFalse {
			r.miss("false rejects %.3f %%", r.FalseRejects)
		}
	case r.Demand >= 2 && r.Name != "bursty":
		least := leastUsed
		if r.Name == "flapping" {
			least = leastFlap
		}
		r.Targets = fmt.Sprintf("over 0, utilisation >= %g %%", least)
		if r.Utilisation < least {
			r.miss("utilisation %.2f %%", r.Utilisation)
		}
	default:
		r.Targets = "over 0"
	}
}

func (r *Row) miss(format string, args ...any) {
	if r.Missed != "" {
		r.Missed += ", "
	}
	r.Missed += fmt.Sprintf(format, args...)
}

// line is a row for those who watch.
func (r *Row) line() string {
	s := fmt.Sprintf("N=%-3d %-60s %-26s over %.2f (by arrival %.1f, bound %.1f) used %.2f %%, false %.3f %%",
		r.Nodes, r.title(), r.Mode, r.Over, r.OverArrival, r.ArrivalBound, r.Utilisation, r.FalseRejects)
	if r.Part == "faults" {
		s += fmt.Sprintf(", during %.2f %%, back %.0f ms", r.During, r.Back)
	}
	s += fmt.Sprintf(", %.0f msg/s, controller %.3f core, load %.1f, failed %d", r.Messages, r.ControlCPU, r.LoadMean, r.Failed)
	if r.Missed != "" {
		s += "  MISSED: " + r.Missed
	}
	return s
}

func (r *Row) title() string {
	return fmt.Sprintf("%s, %gx", r.Name, r.Demand)
}

// WriteMarkdown prints the rows as tables.
func WriteMarkdown(out io.Writer, rows []Row) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Beside the limit that is measured: per_ip %v, and global %v (%v for each provider where global is measured).\n", openIP, openGlobal, openThird)
	for _, part := range []string{"loads", "faults", "fleet"} {
		these := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Part != part })
		if len(these) == 0 {
			continue
		}
		b.WriteByte('\n')
		columns(&b, "what", "nodes", "limit", "how", "over, tokens", "by arrival (bound)", "utilisation", "false rejects", "during the fault", "back over 95 %", "messages/s", "controller, cores", "target", "load average")
		columns(&b, slices.Repeat([]string{"---"}, 14)...)
		for _, r := range these {
			columns(&b, r.cells()...)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (r *Row) cells() []string {
	if strings.HasSuffix(r.Mode, "(simulated)") {
		return []string{r.title(), fmt.Sprint(r.Nodes), r.Limit.String(), r.Mode, fmt.Sprintf("%.0f", r.Over), "", fmt.Sprintf("%.2f %%", r.Utilisation),
			fmt.Sprintf("%.3f %%", r.FalseRejects), r.during(), r.back(), fmt.Sprintf("%.0f", r.Messages), "", "", ""}
	}
	kept := r.Targets
	if r.Missed != "" {
		kept += "; **missed**: " + r.Missed
	} else if kept != "" {
		kept += "; kept"
	}
	return []string{r.title(), fmt.Sprint(r.Nodes), r.Limit.String(), r.Mode, fmt.Sprintf("**%.3g**", r.Over), fmt.Sprintf("%.1f (%.1f)", r.OverArrival, r.ArrivalBound),
		fmt.Sprintf("%.2f %%", r.Utilisation), fmt.Sprintf("%.3f %%", r.FalseRejects), r.during(), r.back(),
		number("%.0f", r.Messages), number("%.3f", r.ControlCPU), kept, fmt.Sprintf("%.1f", r.LoadMean)}
}

func (r *Row) during() string { return number("%.2f %%", r.During) }

func (r *Row) back() string {
	if r.During == 0 {
		return ""
	}
	return fmt.Sprintf("%.0f ms", r.Back)
}

func number(format string, x float64) string {
	if x == 0 {
		return ""
	}
	return fmt.Sprintf(format, x)
}

func columns(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}
