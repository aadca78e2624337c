// Package logfile appends whole lines to a file without ever making the caller
// wait for the disk.
package logfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options tune a Writer. The zero value means the defaults.
type Options struct {
	// MaxBuffered is how many bytes of lines wait for the disk at most, while as
	// many again may be on their way to it; beyond that lines are dropped. A
	// node that writes 4 MB/s survives a stall of one second with the default,
	// 4 MiB.
	MaxBuffered int
	// FlushEvery is the longest time that a line waits, 100 ms by default. More
	// makes larger and fewer writes; a crash loses what waits. Lines are also
	// written when a quarter of MaxBuffered waits.
	FlushEvery time.Duration
}

// Writer appends lines to one file. Each batch of lines is a single write with
// O_APPEND, so several writers and processes may share the file. Safe for
// simultaneous use.
type Writer struct {
	path        string // empty: not a file that Reopen could open
	maxBuffered int
	dropped     atomic.Uint64
	wake        chan struct{} // the buffer fills up: do not wait for the timer
	quit        chan struct{}
	done        chan struct{}
	closeOnce   sync.Once
	closeErr    error

	mu     sync.Mutex // held for copies in memory only
	active []byte     // whole lines that wait for the next batch
	closed bool
	err    error // of the last batch

	diskMu sync.Mutex // held while writing; taken before mu
	file   io.WriteCloser
	spare  []byte // becomes active when a batch is taken
	torn   []byte // rest of the line in whose middle the last write failed
}

const stdout = "-"

// Open appends to the file at path, "-" meaning the standard output. File and
// folder are made if they are missing. A named pipe is a slow disk while nobody
// reads it.
func Open(path string, o Options) (*Writer, error) {
	if path == stdout {
		return start("", keepOpen{os.Stdout}, o), nil
	}
	file, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return start(path, file, o), nil
}

// keepOpen is a file that is not ours to close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

func openFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("cannot make the folder of log file %q: %w; check --log-dir and its permissions", path, err)
	}
	flags := os.O_APPEND | os.O_CREATE | os.O_WRONLY
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		flags = os.O_RDWR // on Linux that waits for no reader (fifo(7)), and outlives one
	}
	file, err := os.OpenFile(path, flags, 0o640)
	if err != nil {
		return nil, fmt.Errorf("cannot open log file %q: %w; check --log-dir and its permissions", path, err)
	}
	return file, nil
}

func start(path string, file io.WriteCloser, o Options) *Writer {
	if o.MaxBuffered <= 0 {
		o.MaxBuffered = 4 << 20
	}
	if o.FlushEvery <= 0 {
		o.FlushEvery = 100 * time.Millisecond
	}
	w := &Writer{
		path:        path,
		maxBuffered: o.MaxBuffered,
		wake:        make(chan struct{}, 1),
		quit:        make(chan struct{}),
		done:        make(chan struct{}),
		file:        file,
	}
	go w.run(o.FlushEvery)
	return w
}

// Write takes one line, which holds no line break but at most one at its end,
// and returns at once. A line that finds the buffer full or the writer closed
// is dropped and counted. The results are those of an io.Writer that never
// fails.
func (w *Writer) Write(line []byte) (int, error) {
	ended := len(line) > 0 && line[len(line)-1] == '\n'
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || len(w.active)+len(line)+1 > w.maxBuffered {
		w.dropped.Add(1)
		return len(line), nil
	}
	w.active = append(w.active, line...)
	if !ended {
		w.active = append(w.active, '\n')
	}
	if len(w.active) >= w.maxBuffered/4 {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// Dropped is how many lines were dropped so far.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Err is why the last batch could not be written; nil if it was.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Flush writes the lines that wait now. It returns when the disk has taken or
// refused them.
func (w *Writer) Flush() {
	w.diskMu.Lock()
	defer w.diskMu.Unlock()
	w.flushLocked()
}

// Reopen goes on in a new file at the same path, after a rotation has renamed
// the old one. No line is lost: each is in the old file or the new. If the new
// file cannot be opened the writer stays with the old one.
func (w *Writer) Reopen() error {
	if w.path == "" {
		w.Flush()
		return nil
	}
	file, err := openFile(w.path)
	if err != nil {
		return err
	}
	w.diskMu.Lock()
	defer w.diskMu.Unlock()
	if w.file == nil {
		_ = file.Close() // nothing was written to it
		return fmt.Errorf("cannot reopen log file %q: %w", w.path, os.ErrClosed)
	}
	w.flushLocked()
	old := w.file
	w.file = file
	w.dropTornLocked()
	if err := old.Close(); err != nil {
		return fmt.Errorf("cannot close the old log file %q: %w", w.path, err)
	}
	return nil
}

// Close writes the lines that wait, closes the file and waits for all that, as
// long as the disk takes. Later calls return what the first one did.
func (w *Writer) Close() error {
	w.closeOnce.Do(func() {
		w.mu.Lock()
		w.closed = true
		w.mu.Unlock()
		close(w.quit)
		<-w.done
		w.diskMu.Lock()
		defer w.diskMu.Unlock()
		w.flushLocked()
		w.dropTornLocked()
		if err := w.file.Close(); err != nil {
			w.closeErr = fmt.Errorf("cannot close log file %q: %w", w.path, err)
		}
		w.file = nil
	})
	return w.closeErr
}

func (w *Writer) run(flushEvery time.Duration) {
	defer close(w.done)
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-w.wake:
		case <-w.quit:
			return
		}
		w.Flush()
	}
}

// flushLocked swaps the buffers and writes the full one. The file is nil after
// Close, when no line can wait any more.
func (w *Writer) flushLocked() {
	w.mu.Lock()
	batch := w.active
	w.active = w.spare[:0]
	w.mu.Unlock()
	w.spare = batch
	if w.file == nil || len(batch)+len(w.torn) == 0 {
		return
	}
	err := w.writeLocked(batch)
	w.mu.Lock()
	w.err = err
	w.mu.Unlock()
}

// writeLocked writes a batch, or drops and counts what the disk refuses of it.
// If that happens in the middle of a line, the rest of the line is kept and
// comes first the next time: a full disk shall leave gaps, not garbage. Only a
// second process that writes in between can still spoil that one line.
func (w *Writer) writeLocked(batch []byte) error {
	if len(w.torn) > 0 {
		n, err := w.file.Write(w.torn)
		w.torn = w.torn[n:]
		if err != nil {
			w.dropLines(batch)
			return err
		}
	}
	n, err := w.file.Write(batch) // os.File goes on by itself after a short write
	if err == nil {
		return nil
	}
	rest := batch[n:]
	if n > 0 && batch[n-1] != '\n' {
		end := bytes.IndexByte(rest, '\n') + 1
		w.torn = append(w.torn[:0], rest[:end]...)
		rest = rest[end:]
	}
	w.dropLines(rest)
	return err
}

// dropTornLocked gives up the line whose first part is in a file that will not
// be written any more.
func (w *Writer) dropTornLocked() {
	w.dropLines(w.torn)
	w.torn = nil
}

func (w *Writer) dropLines(lines []byte) { w.dropped.Add(uint64(bytes.Count(lines, []byte{'\n'}))) }
