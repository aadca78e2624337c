package statusview

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"apiproxy.internal/shared/status"
)

// The graphs of the page reach this far back. The script keeps finer samples of
// its own while the page is open.
const (
	historySpan = 4 * time.Minute
	historyStep = 4 * time.Second
)

// Sample is one provider's traffic at one moment, per second.
type Sample struct {
	At       time.Time
	Requests float64
	Rejected float64
}

// Recorder remembers a few minutes of every provider, so that a page that is
// opened anew does not begin with empty graphs. Give it each document that is
// made, once a second or so; it keeps one sample in four seconds. The zero value
// is ready. It is not safe for concurrent use.
type Recorder struct {
	last    time.Time
	samples map[string][]Sample
}

// Add takes what doc says of each provider. Providers that are gone are forgotten.
func (r *Recorder) Add(doc *status.Document) {
	if since := doc.GeneratedAt.Sub(r.last); since >= 0 && since < historyStep && r.samples != nil {
		return
	}
	r.last = doc.GeneratedAt
	next := make(map[string][]Sample, len(doc.Providers))
	for name, p := range doc.Providers {
		kept := r.samples[name]
		for len(kept) > 0 && doc.GeneratedAt.Sub(kept[0].At) > historySpan {
			kept = kept[1:]
		}
		if extra := len(kept) + 1 - int(historySpan/historyStep) - 1; extra > 0 {
			kept = kept[extra:] // the clock was set back
		}
		s := Sample{At: doc.GeneratedAt, Requests: p.RequestsPerSecond}
		if p.Limit != nil {
			s.Rejected = p.Limit.RejectedPerSecond
		}
		// A copy: pages that are being rendered read the old one.
		next[name] = append(slices.Clip(kept), s)
	}
	r.samples = next
}

// History is for Page. It does not change when more is added.
func (r *Recorder) History() map[string][]Sample { return r.samples }

// The graph's coordinates: one unit is a second from left to right.
const (
	sparkWidth  = 240
	sparkHeight = 40
	sparkGap    = 15 // seconds without a sample break the line
)

// spark is the graph of one provider.
type spark struct {
	Area, Line, Rejected string // SVG paths
	Peak                 string
	Data                 string // the samples for the script: seconds before now, requests, rejected
}

func newSpark(now time.Time, samples []Sample) spark {
	type point struct{ x, requests, rejected float64 }
	var points []point
	var data []string
	peak := 1.0
	for _, s := range samples {
		before := now.Sub(s.At).Seconds()
		if before < 0 || before > sparkWidth || !finite(s.Requests) || !finite(s.Rejected) {
			continue
		}
		points = append(points, point{sparkWidth - before, s.Requests, s.Rejected})
		data = append(data, short(before)+":"+short(s.Requests)+":"+short(s.Rejected))
		peak = max(peak, s.Requests, s.Rejected)
	}
	var area, line, rejected strings.Builder
	for i, p := range points {
		next := i > 0 && p.x-points[i-1].x <= sparkGap
		draw(&line, next, p.x, p.requests/peak)
		if p.rejected > 0 || next && points[i-1].rejected > 0 {
			if next && points[i-1].rejected == 0 {
				draw(&rejected, false, points[i-1].x, 0) // it rises from nothing
			}
			draw(&rejected, next, p.x, p.rejected/peak)
		}
		if !next {
			area.WriteString("M" + short(p.x) + " " + strconv.Itoa(sparkHeight))
		}
		draw(&area, true, p.x, p.requests/peak)
		if i == len(points)-1 || points[i+1].x-p.x > sparkGap {
			area.WriteString("V" + strconv.Itoa(sparkHeight) + "Z")
		}
	}
	s := spark{Area: area.String(), Line: line.String(), Rejected: rejected.String(), Data: strings.Join(data, " ")}
	if len(points) > 0 {
		s.Peak = perSecond(peak)
	}
	return s
}

func draw(path *strings.Builder, next bool, x, height float64) {
	command := "M"
	if next {
		command = "L"
	}
	path.WriteString(command + short(x) + " " + short(sparkHeight-1-height*(sparkHeight-2)))
}

// short writes a number with at most one decimal, for SVG and the script.
func short(x float64) string {
	if !finite(x) {
		return "0"
	}
	return strconv.FormatFloat(math.Round(x*10)/10, 'f', -1, 64)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) && x < 1e12 }
