package accuracy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// startTime is how long a program may take to say where it listens.
const startTime = 20 * time.Second

// process is one program that was started here, and that ends with us.
type process struct {
	name string
	addr string // where it serves
	nats string // where the controller's NATS listens; empty for nodes
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended

	mu   sync.Mutex
	last []string // lines of its log
}

var (
	startedAt = regexp.MustCompile(`msg="(?:node|controller) started".* address=(\S+)`)
	natsAt    = regexp.MustCompile(`nats="embedded at (\S+)"`)
)

// start runs a program and waits until it says that it has started.
func start(ctx context.Context, name, program string, env []string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.Command(program, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	log, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := launch(p.cmd); err != nil {
		return nil, fmt.Errorf("%s: %w; run make build first", name, err)
	}
	started := make(chan struct{})
	go p.read(log, started)
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	select {
	case <-started:
		return p, nil
	case <-p.done:
		err = errors.New("it ended at once")
	case <-ctx.Done():
		err = errors.New("it does not start")
	}
	p.kill()
	return nil, fmt.Errorf("%s: %w:\n%s", name, err, p.tail())
}

// launcher starts programs from one thread that lives as long as this process: the
// system ends them with the thread that started them, see dieWithUs.
var launcher = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go onOneThread(work)
	return work
})

func onOneThread(work <-chan func()) {
	runtime.LockOSThread()
	for f := range work {
		f()
	}
}

func launch(cmd *exec.Cmd) error {
	dieWithUs(cmd)
	failed := make(chan error, 1)
	launcher() <- func() { failed <- cmd.Start() }
	return <-failed
}

// read follows the log to its end, which is the program's.
func (p *process) read(log io.Reader, started chan struct{}) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		if p.last = append(p.last, line); len(p.last) > 40 {
			p.last = p.last[1:]
		}
		p.mu.Unlock()
		if at := startedAt.FindStringSubmatch(line); at != nil && p.addr == "" {
			p.addr = at[1]
			if at := natsAt.FindStringSubmatch(line); at != nil {
				p.nats = at[1]
			}
			close(started)
		}
	}
	_ = p.cmd.Wait() // how it ended is in its log
	close(p.done)
}

func (p *process) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.last, "\n")
}

// signal sends s to a program that may have ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill is kill -9, and waits for the end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// terminate asks the program to end and waits for it, not without end.
func (p *process) terminate(patience time.Duration) {
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.kill()
	}
}
