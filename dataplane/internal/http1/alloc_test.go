//go:build !race

package http1

import (
	"bufio"
	"bytes"
	"io"
	"testing"
)

func TestAllocations(t *testing.T) {
	block := []byte("Host: a.test:80\r\nContent-Length: 5\r\nConnection: keep-alive\r\nAccept: */*\r\n")
	fields, err := ParseFields(nil, block)
	if err != nil {
		t.Fatal(err)
	}
	var (
		r Response
		b Body
	)
	p := make([]byte, 512)
	source := bytes.NewReader(nil)
	br := bufio.NewReader(source)
	answer := func(wire string) func() {
		data := []byte(wire)
		return func() {
			source.Reset(data)
			br.Reset(source)
			if r.Read(br, false) != nil {
				t.Fatal("the response is not accepted")
			}
			b.Reset(br, &r)
			for {
				if _, err := b.Read(p); err == io.EOF {
					return
				}
			}
		}
	}
	for name, f := range map[string]func(){
		"ParseFields":  func() { fields, _ = ParseFields(fields[:0], block) },
		"CheckRequest": func() { _ = CheckRequest([]byte("HTTP/1.1"), fields) },
		"fixed body":   answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
		"chunked body": answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nT: 1\r\n\r\n"),
		"until close":  answer("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello"),
	} {
		f() // the buffers grow
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("%s allocates %v times, want 0", name, got)
		}
	}
}
