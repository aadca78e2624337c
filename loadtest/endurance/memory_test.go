package endurance

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// A node keeps nothing of a stranger but 16 bytes for an address: its memory
// and its series do not grow with the traffic's variety, and who was limited
// before stays limited.
func TestVarietyOfClients(t *testing.T) {
	const clients = 1_000_000
	p := run(t, `
rate_limit: {per_ip: {rate: 1/h, burst: 10}}
proxy: {trusted_proxies: [127.0.0.1/32]}
providers: {up: {upstream: "http://`+startSink(t)+`"}}
`, "-")
	heavy := func(dst []byte, _ int) []byte {
		return append(dst, "GET /up/x HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 30.0.0.1\r\n\r\n"...)
	}
	if got := p.flood(0, 1000, heavy); got[http.StatusOK] != 10 || got[http.StatusTooManyRequests] != 990 {
		t.Fatalf("the heavy hitter got %v, want 10 times 200", got)
	}
	const warmup = 2000
	p.flood(0, warmup, stranger)
	before, series := p.rss(), len(p.metrics())

	begin := time.Now()
	statuses := p.flood(warmup, clients, stranger)
	elapsed := time.Since(begin)
	if statuses[http.StatusOK] != clients*9/10 || statuses[http.StatusNotFound] != clients/10 {
		t.Errorf("statuses %v, want 9 of 10 to be 200 and 1 to be 404", statuses)
	}
	after, metrics := p.rss(), p.metrics()
	t.Logf("%d clients, %.0f requests/s: RSS %.1f -> %.1f MB, %d -> %d series, %v addresses evicted",
		clients, clients/elapsed.Seconds(), mb(before), mb(after), series, len(metrics), metrics["api_proxy_per_ip_evicted_total"])
	if after-before > 150e6 {
		t.Errorf("memory grew by %.1f MB, want 150 at most", mb(after-before))
	}
	if len(metrics) != series {
		t.Errorf("%d series became %d", series, len(metrics))
	}
	if evicted, ok := metrics["api_proxy_per_ip_evicted_total"]; !ok || evicted > clients/100 {
		t.Errorf("api_proxy_per_ip_evicted_total is %v, there: %v; want at most 1 %% of the clients", evicted, ok)
	}
	if got := p.flood(0, 100, heavy); got[http.StatusTooManyRequests] != 100 {
		t.Errorf("the heavy hitter was forgotten: %v", got)
	}
}

// stranger is a request of an address of its own. Among them are 100,000 paths
// and query keys, 10,000 methods, and one in ten asks for a provider of its own.
func stranger(dst []byte, i int) []byte {
	method, prefix := "GET", "up"
	if i%2 == 1 {
		method = "X" + strconv.Itoa(i/2%10_000)
	}
	if i%10 == 0 {
		prefix = "p" + strconv.Itoa(i)
	}
	return fmt.Appendf(dst, "%s /%s/path/%d?key%d=1 HTTP/1.1\r\nHost: p\r\nX-Forwarded-For: 20.%d.%d.%d\r\n\r\n",
		method, prefix, i%100_000, i%100_000, i>>16, i>>8&0xff, i&0xff)
}

// A thousand callers that keep their connections open and idle.
func TestIdleConnections(t *testing.T) {
	const conns = 1000
	p := run(t, `
rate_limit: {per_ip: {rate: 1/h, burst: 10000}}
providers: {up: {upstream: "http://`+startSink(t)+`"}}
`, "-")
	before := p.rss()
	for range conns {
		c := p.dial()
		t.Cleanup(func() { _ = c.Close() })
		one(t, c)
	}
	after := p.rss()
	t.Logf("RSS %.1f MB at rest, %.1f MB with %d idle connections: %.1f KB each", mb(before), mb(after), conns, float64(after-before)/1e3/conns)
	if before > 15e6 || after > 40e6 {
		t.Error("want at most 15 MB at rest and 40 MB with the connections")
	}
}

// one sends a request and reads its answer.
func one(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.WriteString(c, "GET /up/x HTTP/1.1\r\nHost: p\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if status, err := readAnswer(bufio.NewReader(c)); err != nil || status != http.StatusOK {
		t.Fatalf("status %d, %v", status, err)
	}
}
