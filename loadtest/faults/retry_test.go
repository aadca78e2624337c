package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// api runs a node with one provider at default settings but for what more says.
func api(t *testing.T, up *upstream, more string) *bench {
	return start(t, document(t, fmt.Sprintf("%s\nproviders:\n  api: {prefix: /api/, upstream: %q, auth: {type: none}, retry: {times: 2, delay: 1ms}}\n", more, up.url())), noKeys, nil)
}

// parallel calls do n times from a few goroutines.
func parallel(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				do(int(i))
			}
		})
	}
	wg.Wait()
}

// An upstream that is down must not get more of what it cannot take: the budget
// allows a tenth more attempts, and the breaker ends them.
func TestAmplification(t *testing.T) {
	const requests = 1000
	for _, row := range []struct {
		name, more string
		most       int64
	}{
		// The breaker opens after five failures; what is on its way by then from
		// sixteen clients, retries included, still arrives.
		{"default breaker", "", 5 + 16},
		{"budget alone", "circuit_breaker: {failure_threshold: 1000000}", requests + requests/10},
		// Each half-open spell lasts as long as a probe, and there are few.
		{"probes", "circuit_breaker: {failure_threshold: 5, timeout: 200ms, half_open_requests: 1}", 5 + 16 + 100},
	} {
		t.Run(row.name, func(t *testing.T) {
			var arrived atomic.Int64
			up := newUpstream(t, nil, func(p *peer) {
				for {
					if _, ok := p.request(); !ok {
						return
					}
					arrived.Add(1)
					if !p.say("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy") {
						return
					}
				}
			})
			b := api(t, up, row.more)
			var passed, refused atomic.Int64
			parallel(requests, func(int) {
				switch a := b.get("/api/x"); {
				case a.status == 503 && a.body == "busy":
					passed.Add(1)
				case a.status == 503 && strings.Contains(a.body, `"circuit_breaker"`) && a.header.Get("Retry-After") != "":
					refused.Add(1)
				default:
					t.Errorf("%d %q %v", a.status, a.body, a.failed)
				}
			})
			t.Logf("%d requests: %d attempts, %d answers of the upstream, %d refusals", requests, arrived.Load(), passed.Load(), refused.Load())
			if arrived.Load() > row.most || arrived.Load() < 5 {
				t.Errorf("%d attempts arrived, want 5 to %d", arrived.Load(), row.most)
			}
			if passed.Load()+refused.Load() != requests {
				t.Errorf("%d answers for %d requests", passed.Load()+refused.Load(), requests)
			}
		})
	}
}

// fickle closes each connection after a random number of requests without a
// word: at once, when the next request is there, or by a reset.
func fickle(p *peer) {
	for n := rand.IntN(6); ; n-- {
		if _, ok := p.request(); !ok || !p.say(ok200) {
			return
		}
		if n == 0 {
			break
		}
	}
	switch rand.IntN(3) {
	case 0:
		_ = p.Close()
	case 1:
		p.reset()
	case 2: // the request arrived, or some of it, and nobody will work on it
		_, _ = p.r.Peek(1)
	}
}

const ok200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"

// Connections that end between two requests: a GET never fails for it.
func TestFickleGET(t *testing.T) {
	up := newUpstream(t, nil, fickle)
	b := api(t, up, "")
	var failed atomic.Int64
	parallel(2000, func(i int) {
		if a := b.get(fmt.Sprintf("/api/id-%d.", i)); a.status != 200 || a.body != "{}" {
			failed.Add(1)
		}
	})
	n, _ := up.counts()
	t.Logf("2000 GETs over %d connections: %d failed", n, failed.Load())
	if failed.Load() != 0 {
		t.Errorf("%d of 2000 GETs failed, want 0", failed.Load())
	}
}

// A POST may fail for it, but arrives at most once.
func TestFicklePOST(t *testing.T) {
	up := newUpstream(t, nil, fickle)
	b := api(t, up, "circuit_breaker: {failure_threshold: 1000000}")
	answered := make([]bool, 2001)
	var failed atomic.Int64
	parallel(2000, func(i int) {
		a := b.do(fmt.Sprintf("POST /api/id-%d. HTTP/1.1\r\nHost: proxy\r\nContent-Length: 4\r\n\r\nbody", i))
		if answered[i] = a.status == 200; !answered[i] {
			failed.Add(1)
			if a.status != 502 || !strings.Contains(a.body, `"connection_broken"`) {
				t.Errorf("%d %q %v", a.status, a.body, a.failed)
			}
		}
	})
	b.idle()
	arrivals := make([]int, 2001)
	for _, request := range up.seen() {
		var id int
		if _, err := fmt.Sscanf(request, "POST /id-%d.", &id); err != nil {
			t.Fatalf("%q: %v", request, err)
		}
		arrivals[id]++
	}
	for id, n := range arrivals[1:] {
		if n > 1 || n == 0 && answered[id+1] {
			t.Errorf("POST %d arrived %d times and was answered: %v", id+1, n, answered[id+1])
		}
	}
	n, _ := up.counts()
	t.Logf("2000 POSTs over %d connections: %d failed, none arrived twice", n, failed.Load())
}
