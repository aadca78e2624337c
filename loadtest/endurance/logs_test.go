package endurance

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// unlimited has no limit that a test could reach, and none missing, which would
// be warned of in error.log.
const unlimited = `
rate_limit: {global: {rate: 1e9}, per_ip: {rate: 1e9}, per_provider: {up: {rate: 1e9}}}
providers: {up: {upstream: "http://%s"}}
`

// readLogs returns the lines of all log files that match.
func readLogs(t *testing.T, pattern string) (lines []byte, files int) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		part, err := os.ReadFile(name)
		if err == nil && strings.HasSuffix(name, ".gz") {
			part, err = unpack(part)
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, part...)
	}
	return lines, len(names)
}

func unpack(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

func countLines(log []byte) int { return bytes.Count(log, []byte{'\n'}) }

// checkLines reports what is no whole line.
func checkLines(t *testing.T, log []byte) {
	t.Helper()
	for line := range bytes.Lines(log) {
		if !bytes.HasSuffix(line, []byte{'\n'}) || !json.Valid(line) {
			t.Errorf("not a whole line: %.200q", line)
		}
	}
}

// Debian's logrotate, four times under 2,000 requests a second: every answer
// has its line in one of the files.
func TestLogrotate(t *testing.T) {
	const rotations, perSecond = 4, 2000
	tool, err := exec.LookPath("logrotate")
	if err != nil {
		unavailable(t, "logrotate is not installed (apt-get install logrotate)")
	}
	logs := t.TempDir()
	p := run(t, fmt.Sprintf(unlimited, startSink(t)), logs)
	conf, state := filepath.Join(t.TempDir(), "logrotate.conf"), filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(conf, fmt.Appendf(nil, `%s/*.log {
	daily
	rotate 7
	compress
	delaycompress
	missingok
	notifempty
	create 0640
	sharedscripts
	postrotate
		kill -USR1 %d
	endscript
}
`, logs, p.cmd.Process.Pid), 0o600); err != nil {
		t.Fatal(err)
	}

	l := p.load(perSecond, "/up/x")
	access := filepath.Join(logs, "access.log")
	for range rotations {
		l.after(t, perSecond/2)
		if out, err := exec.Command(tool, "--force", "--state", state, conf).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		// delaycompress leaves the writer until the next rotation to let go.
		eventually(t, "lines in the new file", func() bool {
			info, err := os.Stat(access)
			return err == nil && info.Size() > 0
		})
	}
	l.after(t, perSecond/2)
	l.stop()

	var log []byte
	var files int
	eventually(t, "the last lines", func() bool {
		log, files = readLogs(t, access+"*")
		return countLines(log) >= l.answered()
	})
	checkLines(t, log)
	t.Logf("%v; %d lines in %d files", l, countLines(log), files)
	if countLines(log) != l.statuses[http.StatusOK] || len(l.failed) > 0 || files != rotations+1 {
		t.Errorf("want as many lines as answers, in %d files; failures: %v", rotations+1, errors.Join(l.failed...))
	}
	if n := p.metrics()["api_proxy_log_dropped_total"]; n != 0 {
		t.Errorf("%v lines were dropped", n)
	}
}

// plain is a request that the sink answers.
func plain(dst []byte, _ int) []byte { return append(dst, "GET /up/x HTTP/1.1\r\nHost: p\r\n\r\n"...) }

// A log disk without a free byte costs lines, which are counted, and no request;
// with room again the log goes on.
func TestFullLogDisk(t *testing.T) {
	logs := t.TempDir()
	if err := syscall.Mount("tmpfs", logs, "tmpfs", 0, "size=4m"); err != nil {
		unavailable(t, "cannot mount a small disk, which needs root: "+err.Error())
	}
	t.Cleanup(func() { // after the node, which run stops
		if err := syscall.Unmount(logs, 0); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(logs, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	p := run(t, fmt.Sprintf(unlimited, startSink(t)), logs)
	dropped := func() int { return int(p.metrics()["api_proxy_log_dropped_total"]) }

	const crowd, few = 50_000, 1000
	answered := p.flood(0, crowd, plain)[http.StatusOK]
	eventually(t, "dropped lines", func() bool { return dropped() > 0 })
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	var lost int
	answered += p.flood(0, few, plain)[http.StatusOK]
	if answered != crowd+few {
		t.Errorf("%d of %d requests were answered", answered, crowd+few)
	}
	var log []byte
	eventually(t, "a line for each request that is not counted as dropped", func() bool {
		log, _ = readLogs(t, filepath.Join(logs, "access.log"))
		lost = dropped()
		// The node's own words about it go to error.log, on the same disk.
		own := countLines(log) + lost - answered
		return 0 <= own && own <= 3
	})
	checkLines(t, log)
	t.Logf("%d requests, %d lines dropped, %d written", answered, lost, countLines(log))
	if lost > crowd {
		t.Errorf("%d lines dropped: logging did not go on", lost)
	}
}

// A log that takes nothing, here a pipe whose reader stops, is a full disk in
// slow motion: no request waits for it, and signals are still obeyed.
func TestStalledLog(t *testing.T) {
	logs := t.TempDir()
	access := filepath.Join(logs, "access.log")
	if err := syscall.Mkfifo(access, 0o600); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	t.Cleanup(reading.Wait) // after the node, which run stops, has closed its end
	// Nobody has it open: the node starts all the same.
	p := run(t, fmt.Sprintf(unlimited, startSink(t)), logs)
	const crowd = 60_000 // their lines are more than the buffers hold
	begin := time.Now()
	if got := p.flood(0, crowd, plain)[http.StatusOK]; got != crowd {
		t.Errorf("%d of %d requests were answered", got, crowd)
	}
	elapsed := time.Since(begin)
	p.reload()

	pipe, err := os.Open(access)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan struct{}, crowd)
	reading.Go(func() {
		defer func() { _ = pipe.Close() }()
		in := bufio.NewScanner(pipe)
		for in.Scan() {
			if !json.Valid(in.Bytes()) {
				t.Errorf("not a whole line: %.200q", in.Text())
			}
			lines <- struct{}{}
		}
	})
	dropped := 0
	eventually(t, "a line for each request that is not counted as dropped", func() bool {
		dropped = int(p.metrics()["api_proxy_log_dropped_total"])
		return len(lines)+dropped == crowd
	})
	t.Logf("%d requests, %.0f/s with a stalled log: %d lines read, %d dropped", crowd, crowd/elapsed.Seconds(), len(lines), dropped)
	if dropped == 0 {
		t.Error("nothing was dropped: the pipe was not full")
	}
}
