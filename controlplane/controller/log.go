package controller

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
)

// logFile is control.log: one JSON object a line, each written by one call in
// append mode, so that it can be rotated and shared. Safe for simultaneous use.
type logFile struct {
	path string // empty = standard output

	mu   sync.Mutex
	file *os.File
}

func openLog(dir string) (*logFile, error) {
	if dir == "-" {
		return &logFile{file: os.Stdout}, nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("--log-dir: %w", err)
	}
	l := &logFile{path: filepath.Join(dir, "control.log")}
	return l, l.reopen()
}

// reopen opens the file anew; if that fails the old one stays in use.
func (l *logFile) reopen() error {
	if l.path == "" {
		return nil
	}
	file, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("--log-dir: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return nil
}

// Write never fails the caller: a full disk must not stop the controller.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		_, _ = l.file.Write(p)
	}
	return len(p), nil
}

func (l *logFile) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.path != "" && l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

func newLogger(file *logFile, also slog.Handler) *slog.Logger {
	handler := slog.Handler(slog.NewJSONHandler(file, nil))
	if also != nil && file.path != "" {
		handler = slog.NewMultiHandler(handler, also)
	}
	return slog.New(handler)
}
