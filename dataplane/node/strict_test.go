package node

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// The node's own endpoints are as strict as the proxied paths, and no second
// request hides behind a body that was sent to one.
func TestEndpointsAreStrict(t *testing.T) {
	b := start(t, func(*Options) {})
	for name, row := range map[string]struct{ raw, want string }{
		"length and chunks": {"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 400 "},
		"a user in Host":    {"GET /health HTTP/1.1\r\nHost: a@b\r\n\r\n", "HTTP/1.1 400 "},
		"no Host":           {"GET /ready HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		"a bare LF at the end of the chunks": {"GET /health HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\n" +
			"GET /up/smuggled HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 "},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", b.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			_, _ = io.WriteString(c, row.raw)
			answer, _ := io.ReadAll(c) // ends because the connection does
			if got := string(answer); !strings.HasPrefix(got, row.want) || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("want one answer that begins %q and the end of the connection:\n%s", row.want, got)
			}
		})
	}
}
