package faults

import (
	"bufio"
	"fmt"
	"io"
	"testing"
	"time"
)

// A client that sends on although its body was refused gets to read why: the
// answer is not overtaken by a reset.
func TestRefusalOutlivesTheBody(t *testing.T) {
	up := newUpstream(t, nil, func(p *peer) { p.request() })
	b := streaming(t, up, time.Second, time.Second, nil)
	for range 5 {
		c := b.dial()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "POST /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 3000000000\r\n\r\n")
		if _, err := io.CopyN(c, zeros{}, 8<<20); err != nil {
			t.Errorf("the body could not be sent: %v", err)
		}
		if a := readAnswer(bufio.NewReader(c), "POST"); a.status != 413 {
			t.Errorf("%d %v, want 413", a.status, a.failed)
		}
		_ = c.Close()
	}
}
