package node

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"apiproxy.internal/dataplane/internal/logfile"
)

// logPatience bounds the wait for a disk that does not take the last log lines.
const logPatience = 5 * time.Second

func (n *Node) openLogs() (err error) {
	path := func(name string) string {
		if n.options.LogDir == "-" {
			return "-"
		}
		return filepath.Join(n.options.LogDir, name)
	}
	if n.accessLog, err = logfile.Open(path("access.log"), logfile.Options{}); err != nil {
		return err
	}
	if n.errorLog, err = logfile.Open(path("error.log"), logfile.Options{}); err != nil {
		_ = n.accessLog.Close()
		return err
	}
	handler := slog.Handler(slog.NewJSONHandler(n.errorLog, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if n.options.Log != nil {
		handler = slog.NewMultiHandler(handler, n.options.Log)
	}
	n.log = slog.New(handler).With("node", n.id)
	return nil
}

// ReopenLogs is for log rotation: both files are opened anew. One that cannot be
// stays as it is, and the error says why.
func (n *Node) ReopenLogs() error {
	err := errors.Join(n.accessLog.Reopen(), n.errorLog.Reopen())
	if err != nil {
		n.log.Error("log files not reopened", "error", err.Error())
	}
	return err
}

// closeLogs waits for the disk for so long; then the lines that it did not take
// are lost, and the files are left to the end of the process.
func (n *Node) closeLogs(patience time.Duration) error {
	closed := make(chan error, 1)
	go func() { closed <- errors.Join(n.accessLog.Close(), n.errorLog.Close()) }()
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case err := <-closed:
		return err
	case <-t.C:
		return fmt.Errorf("the last log lines did not reach --log-dir within %v; check its disk", patience)
	}
}

// serverLog takes what fasthttp prints; it prints what went wrong with single
// connections, which is of interest only when looking for it.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Printf(format string, args ...any) {
	l.log.Debug("connection", "detail", fmt.Sprintf(format, args...))
}

func (n *Node) logDropped() uint64 { return n.accessLog.Dropped() + n.errorLog.Dropped() }

// lostLines decides when to tell that log lines were dropped: at once, and then
// once a minute while it goes on.
type lostLines struct {
	told  uint64
	quiet int // seconds until the next word
}

// since is called every second with the lines dropped so far; it returns how many
// to tell of, mostly 0.
func (l *lostLines) since(dropped uint64) uint64 {
	if l.quiet > 0 {
		l.quiet--
	}
	lost := dropped - l.told
	if lost > 0 && l.quiet == 0 {
		l.told, l.quiet = dropped, 60
		return lost
	}
	return 0
}

// tellLost writes to error.log and Options.Log, of which the second may be the
// only one that still works.
func (n *Node) tellLost(lines uint64) {
	if lines > 0 {
		n.log.Warn("log lines were dropped; look at the disk of --log-dir",
			"dropped", lines, "access_log", fmt.Sprint(n.accessLog.Err()), "error_log", fmt.Sprint(n.errorLog.Err()))
	}
}
