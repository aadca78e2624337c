package proxy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
)

// What is stored is taken from there, the rest is sent as one batch with ids of
// our own, and the answer has the caller's ids and order.
func TestBatchesAreSplit(t *testing.T) {
	b := newRPCBench(t, nil)
	b.want(post(call("1", "eth_chainId")), 200, "*", miss, 1)
	mixed := batch(call("5", "eth_gasPrice"), call(`"c"`, "eth_chainId"), call("", "eth_note"), call("5", `eth_sendRawTransaction ["0x1"]`))
	want := batch(result("5", "eth_gasPrice"), result(`"c"`, "eth_chainId"), result("5", `eth_sendRawTransaction ["0x1"]`))
	b.want(post(mixed), 200, want, "api-proxy; fwd=partial; stored", 2)
	if want := batch(call("0", "eth_gasPrice"), call("", "eth_note"), call("3", `eth_sendRawTransaction ["0x1"]`)); b.sent() != want {
		t.Errorf("sent %s, want %s", b.sent(), want)
	}
	// All of it is stored: nothing is sent. Order and number do not matter.
	b.want(post(batch(call("1", "eth_gasPrice"), call("2", "eth_chainId"), call("3", "eth_gasPrice"))), 200,
		batch(result("1", "eth_gasPrice"), result("2", "eth_chainId"), result("3", "eth_gasPrice")), hit, 2)
	b.want(post(batch(call("1", "eth_chainId"))), 200, batch(result("1", "eth_chainId")), hit, 2)
	// Nothing of it is: it goes out as it came, unless the ids do not tell the calls apart.
	fresh := batch(call("10", `eth_getCode ["0xa","0x1"]`), ` `+call("11", `eth_getCode ["0xb","0x1"]`))
	b.want(post(fresh), 200, batch(result("10", `eth_getCode ["0xa","0x1"]`), result("11", `eth_getCode ["0xb","0x1"]`)), miss+"; stored", 3)
	if b.sent() != fresh {
		t.Errorf("sent %s, want %s", b.sent(), fresh)
	}
	b.want(post(batch(call("1", `eth_getCode ["0xc","0x1"]`), call("1", `eth_getCode ["0xd","0x1"]`))), 200,
		batch(result("1", `eth_getCode ["0xc","0x1"]`), result("1", `eth_getCode ["0xd","0x1"]`)), miss+"; stored", 4)
	// Only a notification is left.
	b.answer("HTTP/1.1 204 No Content\r\n\r\n")
	resp := b.want(post(batch(call("1", "eth_chainId"), call("", "eth_note"))), 200, batch(result("1", "eth_chainId")), "api-proxy; fwd=partial", 5)
	if resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("fields: %v", resp.Header)
	}
	// Answers come in any order, and are given in the order of the calls.
	b.skip(time.Hour)
	b.script.Store(new(func(string) string {
		return reply("200 OK", ` [ {"result":3,"id":3,"jsonrpc":"2.0","x":1} , {"id":2,"error":{"code":1}},{"id":1,"result":1}]`, "ETag: \"a\"")
	}))
	resp = b.want(post(batch(call("1", "eth_chainId"), call("2", "eth_gasPrice"), call("3", "eth_blockNumber"))), 200,
		`[{"id":1,"result":1},{"id":2,"error":{"code":1}},{"result":3,"id":3,"jsonrpc":"2.0","x":1}]`, "api-proxy; fwd=", 6)
	if resp.Header.Get("ETag") != "" {
		t.Errorf("what holds for other bytes is passed on: %v", resp.Header)
	}
	b.want(post(call("9", "eth_chainId")), 200, `{"jsonrpc":"2.0","id":9,"result":1}`, hit, 6)
	// Neither of these was stored: an error, and more than a result. The same answer
	// does not fit, but it is to the caller's own words.
	b.want(post(batch(call("1", "eth_gasPrice"), call("3", "eth_blockNumber"))), 200,
		` [ {"result":3,"id":3,"jsonrpc":"2.0","x":1} , {"id":2,"error":{"code":1}},{"id":1,"result":1}]`, "api-proxy; fwd=miss", 7)
}

// What is no cacheable call is passed on byte by byte, in both directions.
func TestWhatIsPassedOn(t *testing.T) {
	stored := call("1", "eth_chainId")
	for name, tc := range map[string]struct {
		request, answer, status string
	}{
		"empty batch":           {post("[]"), "", "method"},
		"only notifications":    {post(batch(call("", "eth_chainId"), call("", "eth_call"))), "HTTP/1.1 204 No Content\r\n\r\n", "method"},
		"notification":          {post(call("", "eth_chainId")), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "method"},
		"other methods":         {post(batch(call("1", "a"), call("1", "b"))), reply("200 OK", `[{"id":2},{"id":1}]`), "method"},
		"no JSON":               {post("hello"), "", "method"},
		"two values":            {post(stored + stored), "", "method"},
		"unknown member":        {post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId","x":1}`), "", "method"},
		"repeated member":       {post(`{"jsonrpc":"2.0","id":1,"method":"eth_chainId","method":"eth_call"}`), "", "method"},
		"no version":            {post(`{"id":1,"method":"eth_chainId"}`), "", "method"},
		"one call is odd":       {post(batch(stored, `{"id":1}`)), "", "method"},
		"encoded body":          {post(stored, "Content-Encoding: gzip"), "", "method"},
		"precondition":          {post(stored, `If-Match: "a"`), "", "method"},
		"part":                  {post(stored, "Range: bytes=0-1"), "", "method"},
		"large body":            {post(call("1", `eth_call ["`+strings.Repeat("x", 70<<10)+`"]`)), "", "method"},
		"PUT":                   {strings.Replace(post(stored), "POST", "PUT", 1), "", "method"},
		"answer compressed":     {post(stored), reply("200 OK", "\x1f\x8b", "Content-Encoding: gzip"), "miss"},
		"answer no JSON":        {post(stored), reply("200 OK", "<html>"), "miss"},
		"answer with other id":  {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":2,"result":1}`), "miss"},
		"answer without id":     {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":null,"error":{"code":1}}`), "miss"},
		"answer with two ids":   {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"id":1,"result":1}`), "miss"},
		"answer without result": {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1}`), "miss"},
		"events":                {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`, "Content-Type: text/event-stream"), "miss"},
		"error":                 {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"error":{"code":-32000}}`), "miss"},
		"more than a result":    {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1,"x":2}`), "miss"},
		"status":                {post(stored), reply("201 Created", `{"jsonrpc":"2.0","id":1,"result":1}`), "miss"},
		"not found":             {post(stored), reply("404 Not Found", `{"jsonrpc":"2.0","id":1,"result":1}`), "miss"},
		"too many requests":     {post(batch(stored)), reply("429 Too Many Requests", `slow down`), "miss"},
		"refused as a whole":    {post(batch(stored)), reply("200 OK", `{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}`), "miss"},
		"error without id":      {post(batch(stored, call("2", "eth_sendRawTransaction"))), reply("200 OK", `[{"jsonrpc":"2.0","id":1,"result":"0x1"},{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}]`), "miss"},
		"429 as JSON":           {post(batch(stored)), reply("429 Too Many Requests", `{"id":1,"error":{"code":-32005}}`, "Retry-After: 7"), "miss"},
		"batch no JSON":         {post(batch(stored)), reply("200 OK", "<html>"), "miss"},
		"batch no content":      {post(batch(stored)), "HTTP/1.1 204 No Content\r\n\r\n", "miss"},
		"compressed batch":      {post(batch(stored)), reply("200 OK", "\x1f\x8b", "Content-Encoding: gzip"), "miss"},
		"huge":                  {post(batch(stored)), reply("200 OK", strings.Repeat("x", maxAnswer+1)), "miss"},
		"huge in chunks":        {post(stored), fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", maxAnswer+7, strings.Repeat("x", maxAnswer+7)), "miss"},
		"too large to store":    {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":"`+strings.Repeat("x", 300<<10)+`"}`), "miss"},
		"no-store":              {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`, "Cache-Control: no-store"), "miss"},
		"private":               {post(batch(stored)), reply("200 OK", `[{"jsonrpc":"2.0","id":1,"result":1}]`, "Cache-Control: private"), "miss"},
		"cookie":                {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`, "Set-Cookie: a=b"), "miss"},
		"request no-store":      {post(stored, "Cache-Control: no-store"), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`), "miss"},
		"authorization":         {post(stored, "Authorization: Bearer x"), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`), "miss"},
		"caller's cookie":       {post(stored, "Cookie: a=b"), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`), "miss"},
		"stale":                 {post(stored), reply("200 OK", `{"jsonrpc":"2.0","id":1,"result":1}`, "Cache-Control: max-age=0"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, nil)
			if tc.answer == "" {
				tc.answer = reply("400 Bad Request", `{"jsonrpc":"2.0","id":null,"error":{"code":-32700}}`, jsonType)
			}
			b.answer(tc.answer)
			status := tc.answer[9:12]
			body := bodyOf(tc.answer)
			if strings.Contains(tc.answer, "chunked") {
				body = strings.Repeat("x", maxAnswer+7)
			}
			for n := range int64(2) { // the second time nothing is found
				resp, got := b.do(tc.request)
				if fmt.Sprint(resp.StatusCode) != status || got != body || b.asked.Load() != n+1 || !strings.HasPrefix(resp.Header.Get("Cache-Status"), "api-proxy; fwd="+tc.status) {
					t.Errorf("%d %.80q, want %s %.80q; %q; asked %d times", resp.StatusCode, got, status, body, resp.Header.Get("Cache-Status"), b.asked.Load())
				}
				if b.sent() != bodyOf(tc.request) {
					t.Errorf("sent %.80q", b.sent())
				}
			}
			b.proxyIdle()
			if n := b.snap.Plans[0].Pool.Active(); n != 0 {
				t.Errorf("%d connections are in use after all", n)
			}
		})
	}
}

// An answer that cannot be taken apart is never given in part: copies, if all
// calls have one, else a clear refusal. Statuses that mean no success are passed
// on with the caller's ids or none.
func TestAnswersThatCannotBeJoined(t *testing.T) {
	const good = `{"jsonrpc":"2.0","id":0,"result":1}`
	for name, tc := range map[string]struct {
		answer string
		status int // without copies of the rest
		body   string
	}{
		"nothing":        {reply("200 OK", ""), 502, "*"},
		"no content":     {"HTTP/1.1 204 No Content\r\n\r\n", 502, "*"},
		"no JSON":        {reply("200 OK", "<html>"), 502, "*"},
		"one missing":    {reply("200 OK", batch(good)), 502, "*"},
		"one too many":   {reply("200 OK", batch(good, `{"id":2,"result":1}`, `{"id":1,"result":1}`)), 502, "*"},
		"twice":          {reply("200 OK", batch(good, good)), 502, "*"},
		"other id":       {reply("200 OK", batch(good, `{"id":7,"result":1}`)), 502, "*"},
		"no array":       {reply("200 OK", good), 502, "*"},
		"compressed":     {reply("200 OK", "\x1f\x8b", "Content-Encoding: gzip"), 502, "*"},
		"compressed 429": {reply("429 Too Many Requests", "\x1f\x8b", "Content-Encoding: gzip"), 502, "*"},
		"events":         {reply("200 OK", "data: x", "Content-Type: text/event-stream"), 502, "*"},
		"huge":           {reply("200 OK", strings.Repeat("x", maxAnswer+1)), 502, "*"},
		"429":            {reply("429 Too Many Requests", "slow down"), 429, "slow down"},
		"429 as JSON":    {reply("429 Too Many Requests", `{"error":"slow"}`), 429, `{"error":"slow"}`},
		"429 for each": {reply("429 Too Many Requests", batch(`{"id":0,"error":{"code":1}}`, `{"id":2,"error":{"code":2}}`)), 429,
			batch(`{"id":"a","error":{"code":1}}`, result(`"b"`, "eth_chainId"), `{"id":"c","error":{"code":2}}`)},
		"429 with our ids":   {reply("429 Too Many Requests", `{"id":0,"error":{}}`), 502, "*"},
		"503":                {reply("503 Service Unavailable", "busy"), 503, "busy"},
		"503 with our ids":   {reply("503 Service Unavailable", `[{"id":0,"error":{}}]`), 502, "*"},
		"refused as a whole": {reply("200 OK", `{"jsonrpc":"2.0","id":null,"error":{"code":-1}}`), 200, `{"jsonrpc":"2.0","id":null,"error":{"code":-1}}`},
		"none":               {"", 502, "*"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, func(doc *config.Document) { doc.CircuitBreaker.FailureThreshold = 1000 })
			b.want(post(call("1", "eth_chainId")), 200, "*", miss, 1)
			b.answer(tc.answer)
			ask := post(batch(call(`"a"`, "eth_gasPrice"), call(`"b"`, "eth_chainId"), call(`"c"`, "eth_blockNumber")))
			resp := b.want(ask, tc.status, tc.body, "api-proxy; fwd=partial", 2)
			if tc.status == 502 && resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%v", resp.Header)
			}
			// With copies of all calls those are the answer, unless the provider said no.
			b.script.Store(new(func(request string) string { return reply("200 OK", echoRPC(bodyOf(request))) }))
			b.want(ask, 200, "*", "api-proxy; fwd=partial; stored", 3)
			b.skip(3 * time.Second)
			b.answer(tc.answer)
			if tc.status/100 == 5 {
				resp = b.want(ask, 200, batch(result(`"a"`, "eth_gasPrice"), result(`"b"`, "eth_chainId"), result(`"c"`, "eth_blockNumber")), "api-proxy; fwd=partial", 4)
				if resp.Header.Get("X-Degraded") != "cache" || resp.Header.Get("X-Cache-Age") != "3" || !strings.Contains(resp.Header.Get("Cache-Status"), "detail=upstream_error") {
					t.Errorf("%v", resp.Header)
				}
			} else {
				b.want(ask, tc.status, tc.body, "api-proxy; fwd=partial", 4)
			}
			b.proxyIdle()
			if plan := b.snap.Plans[0]; plan.Pool.Active() != 0 || plan.Breaker.Stats(0).SlotsInUse != 0 {
				t.Errorf("%d connections, %d permits after all", plan.Pool.Active(), plan.Breaker.Stats(0).SlotsInUse)
			}
		})
	}
}

// max_batch holds whatever a body is made of, in memory or streamed.
func TestMaxBatch(t *testing.T) {
	many := batch(strings.Split(strings.Repeat(call("1", "eth_chainId")+"\n", 20)+call("1", "eth_chainId"), "\n")...)
	space := strings.Repeat(" ", 70<<10)
	chunked := func(body string) string {
		return request("POST /api/x", jsonType, "Transfer-Encoding: chunked") + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	for name, tc := range map[string]struct {
		request string
		refused bool
	}{
		"calls":         {post(many), true},
		"numbers":       {post("[" + strings.Repeat("0,", 20) + "0]"), true},
		"one is odd":    {post(batch(`{"x":1}`, many[1:len(many)-1])), true},
		"deep":          {post(batch(strings.Repeat("[", 5000)+strings.Repeat("]", 5000), many[1:len(many)-1])), true},
		"streamed":      {post("[" + space + many[1:]), true},
		"chunked":       {chunked(many), true},
		"chunked, long": {chunked("[" + space + many[1:]), true},
		"encoding":      {post(many, "Content-Encoding: none"), true},
		"text/plain":    {strings.Replace(post(many), "application/json", "text/plain", 1), true},
		"just enough":   {post(batch(strings.Split(strings.Repeat(call("1", "eth_chainId")+"\n", 19)+call("1", "eth_chainId"), "\n")...)), false},
		"enough, long":  {post("[" + space + "1,2]"), false},
		"PUT":           {strings.Replace(post(many), "POST", "PUT", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newRPCBench(t, nil)
			resp, body := b.do(tc.request)
			if refused := resp.StatusCode == 413; refused != tc.refused || refused && (!strings.Contains(body, "max_batch") || !strings.Contains(body, `"error_type":"request_too_large"`)) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			b.proxyIdle()
		})
	}
}
