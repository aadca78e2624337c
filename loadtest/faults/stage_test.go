package faults

import (
	"strings"
	"testing"
)

// after is a script that reads a request, says text and then does the end.
func after(text string, end func(*peer)) func(*peer) {
	return func(p *peer) {
		if _, ok := p.request(); ok && p.say(text) {
			end(p)
		}
	}
}

const (
	fixedHead   = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n"
	largeHead   = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"
	chunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	closeHead   = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
)

// The ends of a connection at each stage of an exchange. HEAD has its whole
// answer with the head.
func TestStages(t *testing.T) {
	half := strings.Repeat("x", 100_000)
	stages := []struct {
		name    string
		serve   func(end func(*peer)) func(*peer)
		early   bool // before the request is read, or at least taken
		headers bool // the head is complete
		streams bool // the client has an answer already
		closes  bool // a clean close is the end of the body
	}{
		{name: "accept", early: true, serve: func(end func(*peer)) func(*peer) { return end }},
		{name: "request", serve: func(end func(*peer)) func(*peer) { return after("", end) }},
		{name: "half a status line", serve: func(end func(*peer)) func(*peer) { return after("HTTP/1.1 20", end) }},
		{name: "status line", serve: func(end func(*peer)) func(*peer) { return after("HTTP/1.1 200 OK\r\n", end) }},
		{name: "half a head", serve: func(end func(*peer)) func(*peer) {
			return after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-", end)
		}},
		{name: "interim head", serve: func(end func(*peer)) func(*peer) { return after("HTTP/1.1 103 Early Hints\r\n\r\n", end) }},
		{name: "head", headers: true, serve: func(end func(*peer)) func(*peer) { return after(fixedHead, end) }},
		{name: "short body", headers: true, serve: func(end func(*peer)) func(*peer) { return after(fixedHead+"12345", end) }},
		{name: "last byte missing", headers: true, serve: func(end func(*peer)) func(*peer) { return after(fixedHead+"123456789", end) }},
		{name: "head of a large body", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(largeHead, end) }},
		{name: "large body", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(largeHead+half, end) }},
		{name: "chunked head", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(chunkedHead, end) }},
		{name: "short chunk", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(chunkedHead+"a\r\n12345", end) }},
		{name: "between chunks", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(chunkedHead+"5\r\n12345\r\n", end) }},
		{name: "last chunk", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) { return after(chunkedHead+"5\r\n12345\r\n0\r\n", end) }},
		{name: "trailer", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) {
			return after(chunkedHead+"5\r\n12345\r\n0\r\nX-T: 1\r\n", end)
		}},
		{name: "long chunks", headers: true, streams: true, serve: func(end func(*peer)) func(*peer) {
			return after(chunkedHead+"186a0\r\n"+half+"\r\n186a0\r\n"+half[:1000], end)
		}},
		{name: "close-delimited body", headers: true, streams: true, closes: true, serve: func(end func(*peer)) func(*peer) { return after(closeHead+"12345", end) }},
	}
	var faults []fault
	for _, s := range stages {
		for _, end := range []struct {
			name string
			do   func(*peer)
		}{{"hang", (*peer).hang}, {"reset", (*peer).reset}, {"close", func(p *peer) { _ = p.Close() }}} {
			f := fault{name: end.name + " after " + s.name, serve: s.serve(end.do)}
			f.get = broken
			if end.name == "hang" {
				f.read, f.get = readTimeout, silent
				if s.headers {
					f.read = soon
				}
			}
			if s.streams {
				f.get = cutShort
				if end.name == "hang" {
					f.get = stalled
				}
			}
			if s.headers {
				f.head = good(200, "", false)
			}
			if s.closes && end.name == "close" {
				f.get = good(200, "12345", false)
			}
			if s.early && end.name == "reset" {
				// It may come before the connection was handed out, or before a
				// byte was written: then even a POST is sent again.
				f.get.kinds = []string{"connection_broken", "connect_failure"}
				f.resend = true
			}
			faults = append(faults, f)
		}
	}
	run(t, faults)
}
