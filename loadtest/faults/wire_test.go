package faults

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// forHead answers HEAD with the head of text alone, as a correct server does.
func forHead(text string) func(*peer) {
	return func(p *peer) {
		for {
			request, ok := p.request()
			if !ok {
				return
			}
			reply := text
			if i := strings.Index(text, "\r\n\r\n"); strings.HasPrefix(request, "HEAD ") && i >= 0 {
				reply = text[:i+4]
			}
			if !p.say(reply) {
				return
			}
		}
	}
}

func ok(fields, body string) string { return "HTTP/1.1 200 OK\r\n" + fields + "\r\n" + body }

// What upstreams say, well-formed and not. The connection stays open unless the
// node closes it, so that what it should not reuse would be reused.
func TestWire(t *testing.T) {
	large := strings.Repeat("0123456789", 20_000)
	var faults []fault
	add := func(name, text string, get outcome) *fault {
		f := fault{name: name, serve: forHead(text), get: get}
		f.head = get
		faults = append(faults, f)
		return &faults[len(faults)-1]
	}
	chunked := "Transfer-Encoding: chunked\r\n"

	// The good ones, for comparison. A HEAD whose answer announces a body costs
	// its connection: nobody knows whether it follows.
	add("fixed", ok("Content-Length: 2\r\n", "{}"), good(200, "{}", true)).head = good(200, "", false)
	add("empty", ok("Content-Length: 0\r\n", ""), good(200, "", true))
	add("large", ok("Content-Length: 200000\r\n", large), good(200, large, true)).head = good(200, "", false)
	add("chunked", ok(chunked, "5\r\n12345\r\n0\r\n\r\n"), good(200, "12345", true)).head = good(200, "", false)
	add("chunk extension and trailer", ok(chunked, "5;a=b\r\n12345\r\n0\r\nX-T: 1\r\n\r\n"), good(200, "12345", true)).head = good(200, "", false)
	add("equal lengths", ok("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), good(200, "{}", true)).head = good(200, "", false)
	add("HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", good(200, "{}", false))
	add("no reason", "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", good(200, "", true))
	add("103 and 200", "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"+ok("Content-Length: 0\r\n", ""), good(200, "", true)).head = outcome{}
	faults[len(faults)-1].serve = answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok("Content-Length: 0\r\n", ""))
	add("404", "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", good(404, "{}", true)).head = good(404, "", false)
	add("429", "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n", good(429, "", true))

	// Framing that contradicts itself or that nobody asked for.
	for name, fields := range map[string]string{
		"different lengths":      "Content-Length: 2\r\nContent-Length: 3\r\n",
		"list of lengths":        "Content-Length: 2, 2\r\n",
		"signed length":          "Content-Length: +2\r\n",
		"negative length":        "Content-Length: -2\r\n",
		"hex length":             "Content-Length: 0x2\r\n",
		"empty length":           "Content-Length:\r\n",
		"huge length":            "Content-Length: 18446744073709551618\r\n",
		"length and chunked":     "Content-Length: 2\r\n" + chunked,
		"chunked and length":     chunked + "Content-Length: 2\r\n",
		"gzip coding":            "Transfer-Encoding: gzip\r\n",
		"gzip, chunked":          "Transfer-Encoding: gzip, chunked\r\n",
		"chunked twice":          chunked + chunked,
		"identity":               "Transfer-Encoding: identity\r\n",
		"folded line":            "X-A: 1\r\n 2\r\nContent-Length: 2\r\n",
		"folded length":          "Content-Length:\r\n 2\r\n",
		"NUL in a value":         "X-A: a\x00b\r\nContent-Length: 2\r\n",
		"bare CR in a value":     "X-A: a\rb\r\nContent-Length: 2\r\n",
		"bare LF":                "X-A: a\nContent-Length: 2\r\n",
		"space before the colon": "X-A : a\r\nContent-Length: 2\r\n",
		"no colon":               "X-A\r\nContent-Length: 2\r\n",
		"no name":                ": a\r\nContent-Length: 2\r\n",
		"1 MB of header":         "X-A: " + strings.Repeat("a", 1<<20) + "\r\nContent-Length: 2\r\n",
		"1 MB without an end":    strings.Repeat("a", 1<<20),
		"5,000 headers":          strings.Repeat("X: y\r\n", 5000) + "Content-Length: 2\r\n",
	} {
		add(name, ok(fields, "{}"), broken)
	}
	// Whatever is no answer.
	for name, text := range map[string]string{
		"HTTP/0.9":          "<html>hello</html>\n",
		"garbage":           "garbage\r\n\r\n",
		"binary":            "\x15\x03\x01\x00\x02\x02\x46\r\n",
		"HTTP/2":            "HTTP/2 200 OK\r\n\r\n",
		"HTTP/2.0":          "HTTP/2.0 200 OK\r\n\r\n",
		"other protocol":    "SSH-2.0-server\r\n",
		"status of 2":       "HTTP/1.1 20 OK\r\n\r\n",
		"status of 4":       "HTTP/1.1 2000 OK\r\n\r\n",
		"status 099":        "HTTP/1.1 099 Odd\r\n\r\n",
		"status in letters": "HTTP/1.1 abc\r\n\r\n",
		"bare LF head":      "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
		"leading CRLF":      "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
		"control in reason": "HTTP/1.1 200 O\x01K\r\n\r\n",
		"101":               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nstream",
		"40 interim":        strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 40) + ok("Content-Length: 2\r\n", "{}"),
	} {
		f := add(name, text, broken)
		f.serve = answers(text)
	}
	// A response of which only the chunks are wrong has begun already.
	for i, body := range []string{
		"0x5\r\n12345\r\n0\r\n\r\n", "+5\r\n12345\r\n0\r\n\r\n", "-5\r\n12345\r\n0\r\n\r\n", "\r\n12345\r\n0\r\n\r\n",
		"5 5\r\n12345\r\n0\r\n\r\n", "fffffffffffffffff\r\n12345\r\n0\r\n\r\n", "8000000000000000\r\n12345\r\n0\r\n\r\n",
		"5\n12345\n0\n\n", "5\r\n12345X\r\n0\r\n\r\n", "5\r\n1234567\r\n0\r\n\r\n", "5\r\n12345\r\nzz\r\n\r\n",
		"5;" + strings.Repeat("a", 8000) + "\r\n12345\r\n0\r\n\r\n", "5\r\n12345\r\n0\r\nbad trailer\r\n\r\n",
	} {
		add("bad chunk "+strconv.Itoa(i+1), ok(chunked, body), cutShort).head = good(200, "", false)
	}

	// More than was announced: none of it is anybody's answer. The connection is
	// closed, and a script that sends the same again shows that no other request
	// came by it.
	poison := ok("Content-Length: 6\r\n", "poison")
	for _, f := range []struct {
		name, text string
		get        outcome
	}{
		{"bytes after a fixed body", ok("Content-Length: 2\r\n", "{}") + poison, good(200, "{}", false)},
		{"bytes after a large body", ok("Content-Length: 200000\r\n", large) + poison, good(200, large, false)},
		{"bytes after the last chunk", ok(chunked, "2\r\n{}\r\n0\r\n\r\n") + poison, good(200, "{}", false)},
		{"length too small", ok("Content-Length: 2\r\n", "{}and more"), good(200, "{}", false)},
		{"204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", good(204, "", false)},
		{"204 with unannounced bytes", "HTTP/1.1 204 No Content\r\n\r\n" + poison, good(204, "", false)},
		{"204 with chunks", "HTTP/1.1 204 No Content\r\n" + chunked + "\r\n6\r\npoison\r\n0\r\n\r\n", good(204, "", false)},
		{"304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", good(304, "", false)},
		{"304 with unannounced bytes", "HTTP/1.1 304 Not Modified\r\n\r\n" + poison, good(304, "", false)},
	} {
		faults = append(faults, fault{name: f.name, serve: answers(f.text), get: f.get})
	}
	faults = append(faults,
		fault{name: "HEAD with a body", serve: answers(ok("Content-Length: 6\r\n", "poison")), get: good(200, "poison", true), head: good(200, "", false)},
		fault{name: "HEAD with unannounced bytes", serve: answers(ok("", poison)), get: stalled, head: good(200, "", false), read: soon})

	// A body that is slow is not a body that has stopped, whatever its framing.
	const pause = 120 * time.Millisecond // twelve of them: longer than the timeout
	for _, f := range []struct{ name, text, body string }{
		{"slow head and body", ok("Content-Length: 20\r\n", large[:20]), large[:20]},
		{"slow large body", ok("Content-Length: 200000\r\n", large), large},
		{"slow chunks", ok(chunked, strings.Repeat("2\r\nab\r\n", 20)+"0\r\n\r\n"), strings.Repeat("ab", 20)},
	} {
		slow := func(p *peer) {
			for {
				request, ok := p.request()
				if !ok {
					return
				}
				if i := strings.Index(f.text, "\r\n\r\n"); strings.HasPrefix(request, "HEAD ") {
					if !p.say(f.text[:i+4]) {
						return
					}
				} else if !p.trickle(f.text, 12, pause) {
					return
				}
			}
		}
		faults = append(faults, fault{name: f.name, serve: slow, read: soon, get: good(200, f.body, true), head: good(200, "", false)})
	}
	run(t, faults)
}
