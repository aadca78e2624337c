// Package process runs the programs of API Proxy as processes, for tests that
// kill, freeze and restart them.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// patience is how long a program may take to say something or to end.
const patience = 60 * time.Second

// build makes all programs, once for each test process.
var build = sync.OnceValues(func() (dir string, err error) {
	if dir, err = os.MkdirTemp("", "apiproxy-programs-"); err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+string(filepath.Separator),
		"apiproxy.internal/controlplane/cmd/controlplane", "apiproxy.internal/dataplane/cmd/dataplane").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build the programs: %w\n%s", err, out)
	}
	built = dir
	return dir, err
})

var built string

// Clean removes the programs; call it at the end of TestMain.
func Clean() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}

// Process is a running program. Its methods are safe for simultaneous use.
type Process struct {
	cmd    *exec.Cmd
	ended  chan struct{}
	output output
}

// output collects what a program prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Run starts "controlplane" or "dataplane". Its environment is env alone.
func Run(program string, env []string, args ...string) (*Process, error) {
	dir, err := build()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(filepath.Join(dir, program), args...), ended: make(chan struct{})}
	p.cmd.Env = append([]string{}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		close(p.ended)
	}()
	return p, nil
}

// Output is what the program has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Find waits until the output matches and returns the first group.
func (p *Process) Find(pattern *regexp.Regexp) (string, error) {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ended := p.Ended()
		if m := pattern.FindStringSubmatch(p.Output()); m != nil {
			return m[1], nil
		}
		if ended {
			return "", fmt.Errorf("the program has ended:\n%s", p.Output())
		}
		<-time.After(2 * time.Millisecond)
	}
	return "", fmt.Errorf("waited in vain for %v:\n%s", pattern, p.Output())
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Ended reports whether the program has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Wait waits for the end and returns the exit code, -1 after a signal.
func (p *Process) Wait() (int, error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("the program does not end:\n%s", p.Output())
	}
}

// Stop asks the program to end, and kills it if it does not. The error is for an
// end that was not clean.
func (p *Process) Stop() error {
	if p.Ended() {
		return nil
	}
	_ = p.Signal(syscall.SIGCONT)
	err := p.Signal(syscall.SIGTERM)
	code, waitErr := p.Wait()
	if waitErr != nil {
		p.Kill()
	} else if code != 0 && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("exit code %d:\n%s", code, p.Output())
	}
	return waitErr
}

// Kill ends the program at once, as kill -9 does.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
