package endurance

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// A flood is as many requests as two cores can carry: pipelined on a few
// connections, written and read without net/http.
const (
	floodConns = 32
	pipelined  = 50
)

// flood sends the requests first..first+n-1, each made by request, and counts
// the statuses.
func (p *program) flood(first, n int, request func(dst []byte, i int) []byte) map[int]int {
	p.t.Helper()
	conns := min(floodConns, n)
	counts := make([]map[int]int, conns)
	var wg sync.WaitGroup
	for k := range conns {
		from, to := first+n*k/conns, first+n*(k+1)/conns
		wg.Go(func() {
			var err error
			if counts[k], err = p.pipeline(from, to, request); err != nil {
				p.t.Errorf("requests %d to %d: %v", from, to, err)
			}
		})
	}
	wg.Wait()
	statuses := map[int]int{}
	for _, part := range counts {
		for status, n := range part {
			statuses[status] += n
		}
	}
	return statuses
}

// pipeline sends the requests from..to-1 on one connection.
func (p *program) pipeline(from, to int, request func(dst []byte, i int) []byte) (map[int]int, error) {
	statuses := map[int]int{}
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 32<<10)
	var out []byte
	for i := from; i < to; i += pipelined {
		batch := min(pipelined, to-i)
		out = out[:0]
		for j := range batch {
			out = request(out, i+j)
		}
		if _, err := c.Write(out); err != nil {
			return statuses, err
		}
		for range batch {
			status, err := readAnswer(r)
			if err != nil {
				return statuses, err
			}
			statuses[status]++
		}
	}
	return statuses, nil
}

// readAnswer reads an answer that has a Content-Length.
func readAnswer(r *bufio.Reader) (status int, err error) {
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case status == 0:
			if len(line) < 12 {
				return 0, fmt.Errorf("status line %q", line)
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		case len(line) == 0:
			if length < 0 {
				return 0, errors.New("an answer without Content-Length")
			}
			_, err = r.Discard(length)
			return status, err
		}
	}
}

// startSink is an upstream that costs next to nothing: it answers whatever has
// no body with 200 and "ok". It returns its address.
func startSink(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() { swallow(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return l.Addr().String()
}

func swallow(c net.Conn) {
	defer func() { _ = c.Close() }()
	r := bufio.NewReaderSize(c, 8<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		if len(line) > len("\r\n") {
			continue
		}
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"); err != nil {
			return
		}
	}
}
