package scenario

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"apiproxy.internal/loadtest/fakeprovider"
)

// A client that leaves while its provider is silent is noticed: the request is
// broken off, not repeated, not held against the provider, and its slot is free.
func TestClientThatLeavesIsNotWaitedFor(t *testing.T) {
	b := start(t, 1, openLimits)
	b.fault(fakeprovider.Fault{Provider: "zerion", HangRate: 1})
	conn, err := net.Dial("tcp", b.Nodes[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /zerion/test HTTP/1.1\r\nHost: proxy\r\n\r\n")
	inFlight := func() int64 { return b.Nodes[0].Status().Nodes[0].InFlight }
	b.eventually("the request to hang", func() bool { return b.Provider.Stats(fakeprovider.Zerion).InFlight == 1 })
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	b.eventually("the request to be broken off", func() bool { return inFlight() == 0 })
	b.eventually("the provider to be left alone", func() bool { return b.Provider.Stats(fakeprovider.Zerion).InFlight == 0 })
	if got := b.Provider.Stats(fakeprovider.Zerion).Arrivals; got != 1 {
		t.Errorf("%d attempts for a client that left, want 1", got)
	}
	if line := b.accessLog(1)[0]; !strings.Contains(line, `"status":499`) || !strings.Contains(line, `"error_type":"client_gone"`) {
		t.Errorf("log: %s", line)
	}
	if got := b.Nodes[0].Status().Providers["zerion"].Failures; got != 0 {
		t.Errorf("the breaker counts %d failures", got)
	}
}
