package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk stands in for a file. It takes as many bytes of each write as room says,
// by number of the write, then fails; without a room it takes all.
type disk struct {
	mu      sync.Mutex
	written bytes.Buffer
	writes  int
	room    []int
	blocked chan struct{} // if set, a write waits until it is closed
}

var errFull = errors.New("disk is full")

func (d *disk) Write(p []byte) (int, error) {
	if d.blocked != nil {
		<-d.blocked
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(p)
	if d.writes < len(d.room) {
		n = min(n, d.room[d.writes])
	}
	d.writes++
	d.written.Write(p[:n])
	if n < len(p) {
		return n, errFull
	}
	return n, nil
}

func (d *disk) Close() error { return nil }

func (d *disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written.String()
}

func open(t *testing.T, path string) *Writer {
	t.Helper()
	w, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func linesOf(t *testing.T, paths ...string) []string {
	t.Helper()
	var lines []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > 0 {
			lines = append(lines, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")...)
		}
	}
	return lines
}

// expectAll fails unless lines are exactly those of writeAll, in any order.
func expectAll(t *testing.T, lines []string, writers, each int) {
	t.Helper()
	seen := make(map[string]int, len(lines))
	for _, line := range lines {
		seen[line]++
	}
	for i := range writers {
		for j := range each {
			if line := longLine(i, j); seen[line] != 1 {
				t.Fatalf("line %d of writer %d is there %d times, want once", j, i, seen[line])
			}
		}
	}
	if len(lines) != writers*each {
		t.Fatalf("%d lines, want %d", len(lines), writers*each)
	}
}

func longLine(writer, n int) string {
	return fmt.Sprintf(`{"writer":%d,"n":%d,"pad":%q}`, writer, n, strings.Repeat("x", n%300))
}

// writeAll writes from that many goroutines at once, spread over the files.
func writeAll(each int, writers int, files ...*Writer) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			for j := range each {
				files[i%len(files)].Write([]byte(longLine(i, j)))
			}
		})
	}
	return &wg
}

func TestLineEnds(t *testing.T) {
	d := &disk{}
	w := start("", d, Options{})
	for _, line := range []string{"bare", "ended\n", ""} {
		if n, err := io.WriteString(w, line); n != len(line) || err != nil {
			t.Errorf("Write(%q) = %d, %v", line, n, err)
		}
	}
	w.Flush()
	if got := d.String(); got != "bare\nended\n\n" {
		t.Errorf("written %q", got)
	}
	if d.writes != 1 {
		t.Errorf("%d writes for one batch, want 1", d.writes)
	}
	w.Close()
}

func TestTwoWritersShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	first, second := open(t, path), open(t, path)
	writeAll(1000, 8, first, second).Wait()
	first.Close()
	second.Close()
	if first.Dropped()+second.Dropped() != 0 {
		t.Fatalf("dropped %d and %d lines", first.Dropped(), second.Dropped())
	}
	expectAll(t, linesOf(t, path), 8, 1000)
}

func TestRotationLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w := open(t, path)
	paths := []string{path}
	wg := writeAll(2000, 8, w)
	for i := range 20 {
		rotated := fmt.Sprintf("%s.%d", path, i)
		if err := os.Rename(path, rotated); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, rotated)
		if err := w.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	w.Close()
	if w.Dropped() != 0 {
		t.Fatalf("dropped %d lines", w.Dropped())
	}
	expectAll(t, linesOf(t, paths...), 8, 2000)
}

func TestReopenStaysWithTheOldFileOnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	path := filepath.Join(dir, "access.log")
	w := open(t, path)
	moved := dir + ".moved"
	if err := os.Rename(dir, moved); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the folder's place
		t.Fatal(err)
	}
	if err := w.Reopen(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Reopen: %v, want an error that names %s", err, path)
	}
	w.Write([]byte("still here"))
	w.Close()
	if got := linesOf(t, filepath.Join(moved, "access.log")); len(got) != 1 {
		t.Errorf("lines %q, want the one", got)
	}
}

func TestFullDevice(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("SKIPPED: no /dev/full on this system, a full disk was tried with a stand-in only")
	}
	w := open(t, "/dev/full")
	defer w.Close()
	for range 100 {
		w.Write([]byte("line"))
	}
	w.Flush()
	if w.Dropped() != 100 || !errors.Is(w.Err(), syscall.ENOSPC) {
		t.Errorf("dropped %d, error %v; want 100 and ENOSPC", w.Dropped(), w.Err())
	}
}

// A disk that does not answer at all: every Write returns, what finds no room is
// counted, and when the disk comes back the rest is written.
func TestBlockedDiskNeverBlocksWrite(t *testing.T) {
	d := &disk{blocked: make(chan struct{})}
	w := start("", d, Options{MaxBuffered: 64 << 10})
	const each, writers = 5000, 8
	writeAll(each, writers, w).Wait()
	if w.Dropped() == 0 {
		t.Error("nothing dropped, although the buffer cannot hold it all")
	}
	close(d.blocked)
	w.Close()
	if got := strings.Count(d.String(), "\n"); uint64(got)+w.Dropped() != each*writers {
		t.Errorf("%d lines written and %d dropped, want %d in sum", got, w.Dropped(), each*writers)
	}
}

// Each row is a disk that fails, and what is in the file after a second batch.
func TestFailedWrites(t *testing.T) {
	for _, row := range []struct {
		name    string
		room    []int
		file    string
		dropped uint64
	}{
		{"no room at all: the batch is dropped", []int{0}, "five\n", 3},
		{"room for whole lines: these stay", []int{4}, "one\nfive\n", 2},
		{"fails within a line: its rest comes first later", []int{6}, "one\ntwo\nfive\n", 1},
		{"fails before the line break", []int{7}, "one\ntwo\nfive\n", 1},
		{"fails within the last line", []int{10}, "one\ntwo\nthree\nfive\n", 0},
		{"fails again within the rest", []int{9, 2}, "one\ntwo\nthree\n", 1},
		{"fails within both batches", []int{6, 100, 3}, "one\ntwo\nfive\n", 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			d := &disk{room: row.room}
			w := start("", d, Options{FlushEvery: time.Hour})
			for _, line := range []string{"one", "two", "three"} {
				w.Write([]byte(line))
			}
			w.Flush()
			if w.Err() != errFull {
				t.Errorf("Err is %v, want %v", w.Err(), errFull)
			}
			w.Write([]byte("five"))
			w.Flush()
			w.Close()
			if d.String() != row.file || w.Dropped() != row.dropped {
				t.Errorf("file %q, dropped %d; want %q, %d", d.String(), w.Dropped(), row.file, row.dropped)
			}
			if w.Err() != nil {
				t.Errorf("Err is %v after a batch that was written", w.Err())
			}
		})
	}
}

// However the disk fails, the file holds whole lines in their order, and the
// missing ones are counted. Only the last line may be cut, by the end of all.
func TestGapsNotGarbage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := rapid.SliceOfN(rapid.IntRange(0, 5), 1, 10).Draw(t, "batches")
		d := &disk{room: rapid.SliceOfN(rapid.IntRange(0, 40), 0, 12).Draw(t, "room")}
		w := start("", d, Options{FlushEvery: time.Hour})
		total := 0
		for _, lines := range batches {
			for range lines {
				w.Write([]byte(longLine(0, total)))
				total++
			}
			w.Flush()
		}
		w.Close()
		written := d.String()
		written = written[:strings.LastIndexByte(written, '\n')+1]
		next, count := 0, uint64(0)
		for line := range strings.Lines(written) {
			for next < total && longLine(0, next)+"\n" != line {
				next++
			}
			if next == total {
				t.Fatalf("%q is no line, or out of order", line)
			}
			next++
			count++
		}
		if count+w.Dropped() != uint64(total) {
			t.Fatalf("%d lines written, %d dropped, want %d in sum", count, w.Dropped(), total)
		}
	})
}

func TestFlushTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		w := start("", d, Options{})
		defer w.Close()
		w.Write([]byte("line"))
		<-time.After(99 * time.Millisecond)
		synctest.Wait()
		if got := d.String(); got != "" {
			t.Errorf("written %q before the timer", got)
		}
		<-time.After(2 * time.Millisecond)
		synctest.Wait()
		if got := d.String(); got != "line\n" {
			t.Errorf("written %q after the timer", got)
		}
	})
}

func TestAFillingBufferDoesNotWaitForTheTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &disk{}
		w := start("", d, Options{MaxBuffered: 40, FlushEvery: time.Hour})
		defer w.Close()
		w.Write([]byte("12345678"))
		synctest.Wait()
		if got := d.String(); got != "" {
			t.Errorf("written %q below a quarter of the buffer", got)
		}
		w.Write([]byte("9"))
		synctest.Wait()
		if got := d.String(); got != "12345678\n9\n" {
			t.Errorf("written %q at a quarter of the buffer", got)
		}
		w.Write(bytes.Repeat([]byte("x"), 40))
		if w.Dropped() != 1 {
			t.Errorf("dropped %d, want the line that is larger than the buffer", w.Dropped())
		}
	})
}

func TestAfterClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	w := open(t, path)
	w.Write([]byte("before"))
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	w.Write([]byte("after"))
	w.Flush()
	if got := linesOf(t, path); len(got) != 1 || w.Dropped() != 1 {
		t.Errorf("lines %q, dropped %d; want one each", got, w.Dropped())
	}
	if err := w.Reopen(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Reopen: %v, want %v", err, os.ErrClosed)
	}
}

func TestOpenMakesFolderAndFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "access.log")
	open(t, path).Close()
	for _, row := range []struct {
		path   string
		others os.FileMode // bits that nobody may have
	}{{path, 0o137}, {filepath.Dir(path), 0o027}} {
		info, err := os.Stat(row.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm() & row.others; got != 0 {
			t.Errorf("%s has mode %v", row.path, info.Mode())
		}
	}
	if _, err := Open(filepath.Join(path, "access.log"), Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a file as folder: %v, want an error that names it", err)
	}
	if _, err := Open(filepath.Dir(path), Options{}); err == nil {
		t.Error("a folder opened as log file")
	}
}

func TestStdoutStaysOpen(t *testing.T) {
	w := open(t, "-")
	if err := errors.Join(w.Reopen(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stdout.Stat(); err != nil {
		t.Errorf("standard output: %v", err)
	}
}

func BenchmarkWrite(b *testing.B) {
	w := start("", keepOpen{io.Discard}, Options{})
	defer w.Close()
	line := []byte(longLine(1, 299))
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w.Write(line)
		}
	})
}

// A named pipe is opened although nobody reads it, takes lines when somebody
// does, and what did not fit meanwhile was dropped and counted.
func TestPipeWithoutReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	const lines, room = 2000, 16 << 10
	w, err := Open(path, Options{MaxBuffered: room})
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 99) + "\n"
	for range lines {
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
	}
	if w.Dropped() == 0 {
		t.Error("no line was dropped")
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string)
	go func() {
		text, _ := io.ReadAll(reader)
		got <- string(text)
	}()
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	text := <-got
	_ = reader.Close()
	if want := strings.Repeat(line, lines-int(w.Dropped())); text != want {
		t.Errorf("%d bytes came through the pipe, want %d", len(text), len(want))
	}
}
