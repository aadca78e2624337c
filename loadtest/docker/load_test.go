//go:build docker

package docker

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A load is an open loop of requests that are never sent again: a rate, whatever
// the answers do. Half of them are POSTs; a third of the connections are used
// once, the others are kept for as long as the balancer keeps them.
type load struct {
	t     *testing.T
	addr  string
	began int64
	stop  chan struct{}
	wg    sync.WaitGroup

	sent, posts, ok, limited, lost atomic.Int64
	limitedPosts                   atomic.Int64
	mu                             sync.Mutex
	first, refusals                []string // the first losses and 429s
}

const rate = 300 // requests a second

func startLoad(t *testing.T, addr string) *load {
	l := &load{t: t, addr: addr, began: time.Now().UnixNano(), stop: make(chan struct{})}
	ticks := make(chan int, 4*rate)
	for w := range 48 {
		l.wg.Go(func() { l.work(w, ticks) })
	}
	l.wg.Go(func() {
		defer close(ticks)
		ticker := time.NewTicker(time.Second / rate)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.stop:
				return
			case <-ticker.C:
				ticks <- i
			}
		}
	})
	return l
}

// work sends what it is given. Each worker has one connection.
func (l *load) work(w int, ticks <-chan int) {
	var conn net.Conn
	var r *bufio.Reader
	for i := range ticks {
		if conn == nil {
			c, err := net.DialTimeout("tcp", l.addr, 10*time.Second)
			if err != nil {
				l.sent.Add(1)
				l.lose("connect: %v", err)
				continue
			}
			conn, r = c, bufio.NewReader(c)
		}
		once := w%3 == 0
		keep, err := l.one(conn, r, i, once)
		if err != nil {
			l.lose("%v", err)
		}
		if !keep || once || err != nil {
			_ = conn.Close()
			conn = nil
		}
	}
	if conn != nil {
		_ = conn.Close()
	}
}

func (l *load) one(conn net.Conn, r *bufio.Reader, i int, once bool) (keep bool, err error) {
	l.sent.Add(1)
	head := ""
	if once {
		head = "Connection: close\r\n"
	}
	// No two requests are the same: none is answered from a cache.
	text := fmt.Sprintf("GET /coingecko/test?n=%d.%d HTTP/1.1\r\nHost: %s\r\n%s\r\n", l.began, i, l.addr, head)
	method := http.MethodGet
	if i%2 == 0 {
		l.posts.Add(1)
		method = http.MethodPost
		body := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"eth_getBalance","params":["%d.%d","latest"]}`, l.began, i)
		text = fmt.Sprintf("POST /alchemy HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n%s", l.addr, len(body), head, body)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		return false, fmt.Errorf("%s: write: %w", method, err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return false, fmt.Errorf("%s: read: %w", method, err)
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	switch {
	case err != nil:
		return false, fmt.Errorf("%s: body: %w", method, err)
	case resp.StatusCode == http.StatusOK:
		l.ok.Add(1)
	case resp.StatusCode == http.StatusTooManyRequests:
		l.limited.Add(1)
		if method == http.MethodPost {
			l.limitedPosts.Add(1)
		}
		l.note(&l.refusals, "%s: %s", method, strings.TrimSpace(string(body)))
	default:
		return false, fmt.Errorf("%s: %s %s", method, resp.Status, strings.TrimSpace(string(body)))
	}
	return !resp.Close, nil
}

func (l *load) lose(format string, args ...any) {
	l.lost.Add(1)
	l.note(&l.first, format, args...)
}

// note keeps the first few.
func (l *load) note(list *[]string, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(*list) < 8 {
		*list = append(*list, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// end stops the load, prints its figures and fails the test if any request was
// lost, or fewer were sent than wanted.
func (l *load) end(atLeast int64) {
	l.t.Helper()
	close(l.stop)
	l.wg.Wait()
	l.t.Logf("%d requests at %d/s (%d POST): %d answered 200, %d answered 429, %d lost", l.sent.Load(), rate, l.posts.Load(), l.ok.Load(), l.limited.Load(), l.lost.Load())
	if l.limited.Load() > 0 {
		l.t.Logf("the first 429:\n%s", strings.Join(l.refusals, "\n"))
	}
	if l.lost.Load() > 0 {
		l.t.Errorf("%d of %d requests were lost:\n%s", l.lost.Load(), l.sent.Load(), strings.Join(l.first, "\n"))
	}
	if l.sent.Load() < atLeast {
		l.t.Errorf("only %d requests were sent, want %d", l.sent.Load(), atLeast)
	}
}
