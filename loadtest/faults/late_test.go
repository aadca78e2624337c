package faults

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Bytes that come after an answer was complete are no answer to anybody.
func TestLateBytes(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls %v", secure), func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var last *peer
			up := newUpstream(t, serverTLS(secure), func(p *peer) {
				for {
					got, ok := p.request()
					if !ok {
						return
					}
					mu.Lock()
					last = p
					mu.Unlock()
					path := strings.Split(got, " ")[1]
					if !p.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(path), path)) {
						return
					}
				}
			})
			b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, nil)
			for i, late := range []string{"x", ok("Content-Length: 6\r\n", "poison"), "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"} {
				path := fmt.Sprintf("/for-k0/%d", i)
				if a := b.get("/k0" + path); a.body != path {
					t.Errorf("%d %q, want %q", a.status, a.body, path)
				}
				mu.Lock()
				last.say(late)
				mu.Unlock()
			}
			if a := b.get("/k0/for-k0/end"); a.body != "/for-k0/end" {
				t.Errorf("%d %q, want its own answer", a.status, a.body)
			}
			if n, _ := up.counts(); n != 4 {
				t.Errorf("%d connections, want a new one after each late word: 4", n)
			}
			b.sinks(up.seen())
		})
	}
}

// A keep-alive client keeps its connection through the upstream's faults.
func TestClientConnectionSurvives(t *testing.T) {
	up := newUpstream(t, nil, func(p *peer) {
		if _, ok := p.request(); ok {
			p.say("garbage\r\n\r\n")
		}
	})
	b := start(t, canaryDocument(t, up.url(), patient, patient), canaryKeys, nil)
	c := b.dial()
	defer c.Close()
	r := bufio.NewReader(c)
	for range 3 {
		fmt.Fprint(c, request("GET", "k0"))
		if a := readAnswer(r, http.MethodGet); a.status != 502 || a.header.Get("Connection") == "close" {
			t.Errorf("%d %v %v", a.status, a.header, a.failed)
		}
	}
}
