// Command accuracy measures how exactly a cluster of processes keeps its limits
// and prints the table: make accuracy.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"apiproxy.internal/loadtest/accuracy"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "accuracy:", err)
		os.Exit(1)
	}
}

func run() error {
	short := flag.Bool("short", false, "half a minute: three nodes, a few loads and faults")
	o := accuracy.Full()
	bin := flag.String("bin", o.Bin, "`DIR` with the programs controlplane and dataplane")
	dir := flag.String("dir", "", "`DIR` for data and logs; default: a temporary one")
	parts := flag.String("parts", "", "which of "+strings.Join(accuracy.Parts, ",")+"; default: all")
	nodes := flag.String("nodes", "", "numbers of nodes under the loads; default: 3,10")
	loads := flag.String("loads", "", "which of "+strings.Join(accuracy.Loads, ",")+"; default: all")
	demands := flag.String("demands", "", "multiples of the rate; default: 0.5,1,2,10")
	faults := flag.String("faults", "", "only the faults whose name contains `TEXT`")
	length := flag.Duration("length", 0, "of each load at 2x and more, half of it below; default 12s")
	jsonTo := flag.String("json", "", "`FILE` for the rows as JSON")
	markdownTo := flag.String("markdown", "", "`FILE` for the tables; default: standard output")
	flag.Parse()
	if *short {
		o = accuracy.Shortest()
	}
	o.Bin, o.Dir, o.Only, o.Progress = *bin, *dir, *faults, os.Stderr
	if *length > 0 {
		o.Length, o.Static = *length, *length
	}
	list(*parts, &o.Parts)
	list(*loads, &o.Loads)
	if err := numbers(*nodes, &o.Nodes, strconv.Atoi); err != nil {
		return fmt.Errorf("--nodes: %w", err)
	}
	if err := numbers(*demands, &o.Demands, func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }); err != nil {
		return fmt.Errorf("--demands: %w", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	begin := time.Now()
	rows, err := accuracy.Run(ctx, o)
	fmt.Fprintf(os.Stderr, "%d runs in %v\n", len(rows), time.Since(begin).Round(time.Second))
	if werr := write(rows, *jsonTo, *markdownTo); err == nil {
		err = werr
	}
	if err != nil {
		return err
	}
	for _, r := range rows {
		if r.Missed != "" {
			return fmt.Errorf("targets were missed; see the table")
		}
	}
	return nil
}

func list(text string, into *[]string) {
	if text != "" {
		*into = strings.Split(text, ",")
	}
}

func numbers[T any](text string, into *[]T, parse func(string) (T, error)) error {
	if text == "" {
		return nil
	}
	*into = nil
	for s := range strings.SplitSeq(text, ",") {
		x, err := parse(s)
		if err != nil {
			return err
		}
		*into = append(*into, x)
	}
	return nil
}

func write(rows []accuracy.Row, jsonTo, markdownTo string) error {
	if jsonTo != "" {
		text, err := json.MarshalIndent(rows, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(jsonTo, append(text, '\n'), 0o600); err != nil {
			return err
		}
	}
	if markdownTo == "" {
		return accuracy.WriteMarkdown(os.Stdout, rows)
	}
	f, err := os.Create(markdownTo)
	if err != nil {
		return err
	}
	if err := accuracy.WriteMarkdown(f, rows); err != nil {
		return err
	}
	return f.Close()
}
