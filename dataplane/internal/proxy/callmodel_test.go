package proxy

import (
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"apiproxy.internal/shared/config"
)

// Whatever calls come in whatever form: a node that caches answers byte by byte
// as one that does not, and as one whose provider is asked call by call.
func TestCachedAnswersAreTheProvidersOwn(t *testing.T) {
	cached := newRPCBench(t, nil)
	plain := newRPCBench(t, func(doc *config.Document) {
		api := doc.Providers["api"]
		api.Protocol, api.JSONRPC = config.ProtocolHTTP, nil
		doc.Providers["api"] = api
	})
	var hits atomic.Int64
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "requests") {
			body := drawRequest(t)
			form := rapid.SampledFrom([]string{"fixed", "chunked"}).Draw(t, "form")
			answer := func(request string) string { return framed(form, "200 OK", echoRPC(bodyOf(request))) }
			cached.script.Store(&answer)
			plain.script.Store(&answer)
			cached.skip(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
			resp, got := cached.do(post(body))
			other, want := plain.do(post(body))
			if got != want || resp.StatusCode != other.StatusCode {
				t.Fatalf("%s\n%d %s, want\n%d %s", body, resp.StatusCode, got, other.StatusCode, want)
			}
			if strings.HasPrefix(resp.Header.Get("Cache-Status"), hit) {
				hits.Add(1)
			}
		}
	})
	if hits.Load() == 0 {
		t.Error("nothing was ever answered from a copy")
	}
}

// The provider misbehaves: an answer is complete and right, or it is a failure, or
// it is what the provider said to the caller's own words; what is right under one id
// is never given under another one.
func TestCallsOfAProviderThatMisbehaves(t *testing.T) {
	b := newRPCBench(t, func(doc *config.Document) { doc.CircuitBreaker.FailureThreshold = 1e6 })
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "requests") {
			body := drawRequest(t)
			fault := rapid.SampledFrom([]string{"", "", "503", "429", "drop", "twice", "reverse", "rename", "hide", "array", "garbage", "none", "cut"}).Draw(t, "fault")
			n := rapid.IntRange(0, 5).Draw(t, "n")
			b.script.Store(new(func(request string) string { return misbehave(fault, n, echoRPC(bodyOf(request))) }))
			b.skip(time.Duration(rapid.IntRange(0, 3).Draw(t, "seconds")) * time.Second)
			resp, got := b.do(post(body))
			want := echoRPC(body)
			status := resp.Header.Get("Cache-Status")
			passedOn := strings.Contains(status, "fwd=method") || strings.Contains(status, "fwd=") && !strings.Contains(status, "fwd=partial") && resp.Header.Get("X-Degraded") == ""
			switch {
			case resp.StatusCode >= 400, got == want, strings.HasSuffix(got, io.ErrUnexpectedEOF.Error()+"]"):
			case passedOn && got == misbehaviour(fault, n, want): // the provider's own words
			default:
				t.Fatalf("%s, fault %s %d\n%v %s, want\n%s", body, fault, n, resp.Header, got, want)
			}
		}
	})
}

// drawRequest draws the body of a request.
func drawRequest(t *rapid.T) string {
	ids := rapid.SampledFrom([]string{"1", "2", "3", `"a"`, `"1"`, "null", "-7", "1.5"})
	what := rapid.SampledFrom([]string{
		"eth_chainId", "eth_blockNumber", "eth_gasPrice", `eth_getCode ["0xa","0x1"]`, `eth_getCode ["0xb", "0x1"]`, `eth_call [{"to":"0x1"},"latest"]`,
		`eth_call [{"to":"fail"},"latest"]`, `eth_call [{"to":"0x1"},"pending"]`, `eth_getTransactionReceipt ["0xab"]`, `eth_sendRawTransaction ["0x1"]`, `odd {"a":[1,"\u00e9"]}`,
	})
	n := rapid.IntRange(0, 6).Draw(t, "calls") // 0 = a single one
	var calls []string
	for range max(n, 1) {
		id := ids.Draw(t, "id")
		if rapid.IntRange(0, 9).Draw(t, "notification") == 0 {
			id = ""
		}
		calls = append(calls, call(id, what.Draw(t, "what")))
	}
	if n == 0 {
		return calls[0]
	}
	return batch(calls...)
}

func framed(form, status, body string) string {
	switch {
	case body == "":
		return "HTTP/1.1 204 No Content\r\n\r\n"
	case form == "chunked":
		half := len(body) / 2
		text := "HTTP/1.1 " + status + "\r\nTransfer-Encoding: chunked\r\n\r\n"
		for _, part := range []string{body[:half], body[half:]} {
			if part != "" {
				text += strconv.FormatInt(int64(len(part)), 16) + "\r\n" + part + "\r\n"
			}
		}
		return text + "0\r\n\r\n"
	}
	return reply(status, body)
}

// misbehave is the answer of a provider with a fault, in full.
func misbehave(fault string, n int, answer string) string {
	switch fault {
	case "503":
		return framed("fixed", "503 Service Unavailable", answer)
	case "429":
		return framed("fixed", "429 Too Many Requests", answer)
	case "none":
		return ""
	case "cut":
		return "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + answer + "\n[cut]"
	}
	return framed("fixed", "200 OK", misbehaviour(fault, n, answer))
}

// misbehaviour is the body.
func misbehaviour(fault string, n int, answer string) string {
	parts := strings.Split(strings.Trim(answer, "[]"), `,{"jsonrpc"`)
	for i := range parts[1:] {
		parts[i+1] = `{"jsonrpc"` + parts[i+1]
	}
	n %= len(parts)
	switch fault {
	case "drop":
		parts = append(parts[:n:n], parts[n+1:]...)
	case "twice":
		parts = append(parts, parts[n])
	case "reverse":
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
	case "rename":
		parts[n] = strings.Replace(parts[n], `"id":`, `"id":9`, 1)
	case "hide":
		parts[n] = strings.Replace(parts[n], `"id":`, `"di":`, 1)
	case "array":
		return "[" + answer + "]"
	case "garbage":
		return answer + "x"
	default:
		return answer
	}
	if strings.HasPrefix(answer, "[") {
		return "[" + strings.Join(parts, ",") + "]"
	}
	return strings.Join(parts, ",")
}
