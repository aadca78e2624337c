// Package balance runs nginx in front of a changing set of nodes: it finds them
// by name, asks each whether it is ready, and reloads nginx when the set changes.
package balance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	interval     = 500 * time.Millisecond // between rounds; a node drains for seconds
	probeTimeout = time.Second
	stopTimeout  = 60 * time.Second // for requests in flight
)

// Run balances until ctx ends or nginx does. Each value of hangups makes it read
// the certificate again.
func Run(ctx context.Context, s Settings, hangups <-chan os.Signal, log *slog.Logger) error {
	if s.lookup == nil {
		s.lookup = net.DefaultResolver.LookupNetIP
	}
	b := &balancer{settings: s, log: log, client: &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	for _, stale := range []string{"back.sock", "front.pid", "back.pid"} { // of a life that was cut off
		_ = os.Remove(filepath.Join(s.Dir, stale))
	}
	state := b.look(ctx)
	if err := b.write("back.conf", Back(s, state)); err != nil {
		return err
	}
	if err := b.write("front.conf", Front(s)); err != nil {
		return err
	}
	back, err := b.start("back.conf")
	if err != nil {
		return err
	}
	defer back.stop(log)
	front, err := b.start("front.conf")
	if err != nil {
		return err
	}
	defer front.stop(log) // first: no new requests
	log.Info("balancing", "nodes", state.Nodes, "control", state.Control)

	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-front.done:
			return fmt.Errorf("the front nginx ended: %w", front.err)
		case <-back.done:
			return fmt.Errorf("the back nginx ended: %w", back.err)
		case <-hangups:
			front.signal(syscall.SIGHUP)
		case <-ticker.C:
			next := b.look(ctx)
			if ctx.Err() != nil || reflect.DeepEqual(next, state) {
				continue
			}
			if err := b.write("back.conf", Back(s, next)); err != nil {
				log.Error("nginx goes on with the old nodes", "error", err)
				continue
			}
			state = next
			back.signal(syscall.SIGHUP)
			log.Info("reloaded", "nodes", state.Nodes, "control", state.Control)
		}
	}
}

type balancer struct {
	settings Settings
	members  Members
	last     State // kept while the names cannot be looked up
	client   *http.Client
	log      *slog.Logger
}

// look does one round: look the names up, ask every node.
func (b *balancer) look(ctx context.Context) State {
	if addrs := b.resolve(ctx, b.settings.Nodes); addrs != nil {
		b.last.Nodes = b.members.Observe(b.ask(ctx, addrs))
	}
	if addrs := b.resolve(ctx, b.settings.Control); addrs != nil {
		b.last.Control = addrs[0].String()
	}
	return b.last
}

// resolve finds the addresses of a host:port; nil if there is none just now.
func (b *balancer) resolve(ctx context.Context, hostPort string) []netip.AddrPort {
	host, portText, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	ips, err := b.settings.lookup(ctx, "ip", host)
	if err != nil {
		return nil
	}
	var addrs []netip.AddrPort
	for _, ip := range ips {
		addrs = append(addrs, netip.AddrPortFrom(ip.Unmap(), uint16(port)))
	}
	return addrs
}

// ask asks all nodes at once.
func (b *balancer) ask(ctx context.Context, addrs []netip.AddrPort) map[netip.AddrPort]Answer {
	answers := make([]Answer, len(addrs))
	var wg sync.WaitGroup
	for i, addr := range addrs {
		wg.Go(func() { answers[i] = b.askOne(ctx, addr) })
	}
	wg.Wait()
	all := make(map[netip.AddrPort]Answer, len(addrs))
	for i, addr := range addrs {
		all[addr] = answers[i]
	}
	return all
}

func (b *balancer) askOne(ctx context.Context, addr netip.AddrPort) Answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+"/ready", nil)
	if err != nil {
		return Silent
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return Silent
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return Refuses
	}
	return Ready
}

// write replaces a configuration if nginx accepts the new one.
func (b *balancer) write(name, text string) error {
	path := filepath.Join(b.settings.Dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.Command(b.settings.Nginx, "-t", "-q", "-p", b.settings.Dir, "-c", path+".new").CombinedOutput(); err != nil {
		return fmt.Errorf("nginx refuses its configuration: %w: %s", err, out)
	}
	return os.Rename(path+".new", path)
}

// process is a running nginx.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it ended
	err  error         // how, after done
}

func (b *balancer) start(conf string) (*process, error) {
	cmd := exec.Command(b.settings.Nginx, "-p", b.settings.Dir, "-c", filepath.Join(b.settings.Dir, conf))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// A signal to the container's group is for this process to pass on, in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if p.err = cmd.Wait(); p.err == nil {
			p.err = errors.New("it stopped by itself")
		}
	}()
	return p, nil
}

func (p *process) signal(s os.Signal) { _ = p.cmd.Process.Signal(s) } // fails only if it ended, which done tells

// stop lets requests in flight finish.
func (p *process) stop(log *slog.Logger) {
	p.signal(syscall.SIGQUIT)
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		log.Warn("requests are cut off: they did not end in time")
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}
