package node

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// error.log holds JSON of level warn and above; what is less is for the
// terminal.
func TestErrorLog(t *testing.T) {
	b := start(t, nil)
	b.yaml.set("circuit_breaker: {failure_threshold: 1}\n" + b.upstream.provider()) // with a warning: no limit for up
	if err := b.Reload(); err != nil {
		t.Fatal(err)
	}
	b.upstream.Close()
	b.get("/up/x") // opens the breaker
	b.yaml.set("nonsense: true")
	_ = b.Reload()
	if err := b.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for line := range strings.Lines(b.logFile("error.log")) {
		var event struct{ Time, Level, Msg, Node string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Errorf("%v in %q", err, line)
		}
		if event.Level != "WARN" && event.Level != "ERROR" || event.Node != "n1" || event.Time == "" {
			t.Errorf("event: %s", line)
		}
		found[event.Msg] = true
	}
	for _, want := range []string{"configuration", "circuit breaker changed", "configuration refused, the old one stays in force"} {
		if !found[want] {
			t.Errorf("nothing about %q in error.log", want)
		}
	}
	for _, event := range []string{"node started", "configuration reloaded", "draining", "stopped"} {
		if !strings.Contains(b.stderr.get(), event) {
			t.Errorf("the terminal shows nothing about %q", event)
		}
	}
}

func TestReopenLogs(t *testing.T) {
	b := start(t, nil)
	b.get("/up/before")
	for _, name := range []string{"access.log", "error.log"} {
		path := filepath.Join(b.options.LogDir, name)
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.ReopenLogs(); err != nil {
		t.Fatal(err)
	}
	b.get("/up/after")
	b.log.Error("after")
	if err := b.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"access.log.1": `"/up/before"`, "access.log": `"/up/after"`, "error.log": `"msg":"after"`} {
		if got := b.logFile(name); !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A folder that vanished is told, and the node goes on in the old file.
func TestReopenLogsFails(t *testing.T) {
	b := newBench(t, func(o *Options) { o.LogDir = filepath.Join(o.LogDir, "logs") })
	if err := os.Rename(b.options.LogDir, b.options.LogDir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.options.LogDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.ReopenLogs(); err == nil || !strings.Contains(err.Error(), "--log-dir") {
		t.Errorf("error: %v", err)
	}
	if !strings.Contains(b.stderr.get(), "log files not reopened") {
		t.Errorf("nothing on the terminal:\n%s", b.stderr.get())
	}
}

// A disk that hangs, here a pipe that nobody empties, must not keep a node from
// stopping.
func TestCloseLogsGivesUp(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(o *Options) { o.LogDir = dir })
	line := strings.Repeat("x", 1<<16) // as much as a pipe holds
	for range 4 {
		_, _ = b.accessLog.Write([]byte(line))
	}
	if err := b.closeLogs(time.Millisecond); err == nil || !strings.Contains(err.Error(), "--log-dir") {
		t.Errorf("error: %v", err)
	}
	// Somebody reads at last, so that the test ends.
	emptied := make(chan struct{})
	go func() {
		defer close(emptied)
		buf := make([]byte, 1<<16)
		for {
			if n, err := pipe.Read(buf); n == 0 || err != nil {
				return
			}
		}
	}()
	_ = b.accessLog.Close()
	_ = pipe.Close()
	<-emptied
}
