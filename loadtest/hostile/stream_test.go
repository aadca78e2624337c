package hostile

import (
	"strings"
	"testing"
)

// A large body is on its way upstream before its end is known to be bad. The
// origin must be able to tell that it got only a part, and nothing else may
// travel on the connection that was used.
func TestBrokenStreams(t *testing.T) {
	const chunked = "POST /api/x HTTP/1.1\r\nHost: proxy\r\nTransfer-Encoding: chunked\r\n\r\n"
	chunk := "11170\r\n" + strings.Repeat("a", 0x11170) + "\r\n"
	for _, row := range []struct {
		name, raw string
		eof       bool
		status    int
	}{
		{"a bad chunk size behind 70,000 good bytes", chunked + chunk + "zz\r\n", false, 400},
		{"no CRLF behind a later chunk", chunked + chunk + "3\r\nabcGET /api/y HTTP/1.1\r\nHost: proxy\r\n\r\n", false, 400},
		{"the client leaves inside a chunk", chunked + chunk[:0x11000], true, 400},
		{"the client leaves between chunks", chunked + chunk + chunk, true, 400},
		{"the client leaves before the last CRLF", chunked + chunk + "0\r\n", true, 400},
		{"the client leaves inside a body of known length", "PUT /api/x HTTP/1.1\r\nHost: proxy\r\nContent-Length: 100000\r\n\r\n" + chunk, true, 400},
		{"more chunks than the limit", chunked + strings.Repeat(chunk, 20), false, 413},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := start(t, shortened)
			got, ended := b.send(row.eof, []byte(row.raw))
			if status(string(got)) != row.status || !ended {
				t.Errorf("answered with %.300q, want %d and the end", got, row.status)
			}
			if answer := b.get("/api/x", ""); status(answer) != 200 {
				t.Errorf("the next client got %q", answer)
			}
			var faults []string
			b.eventually("the origin to notice", func() bool {
				_, now := b.origin.take()
				faults = append(faults, now...)
				return len(faults) > 0
			})
			if seen, _ := b.origin.take(); len(faults) != 1 || !strings.Contains(faults[0], "EOF") || len(seen) != 0 {
				t.Errorf("the origin saw %d requests and %.200q", len(seen), faults)
			}
			if n := b.origin.accepted(); n != 2 {
				t.Errorf("%d upstream connections, want one for the broken request and one for the next", n)
			}
			if lines := b.accessLog(); len(lines) != 2 {
				t.Errorf("%d access log lines, want 2", len(lines))
			}
		})
	}
}
