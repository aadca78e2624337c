package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"apiproxy.internal/shared/config"
)

// speaksRPC makes the bench's provider one that speaks JSON-RPC, with the preset's
// methods.
func speaksRPC(doc *config.Document) {
	api := doc.Providers["api"]
	preset := *config.Default().Providers["alchemy"].JSONRPC
	preset.MaxBatch = 20
	api.Protocol, api.JSONRPC = config.ProtocolJSONRPC, &preset
	doc.Providers["api"] = api
}

// rpcBench is a cachedBench whose provider speaks JSON-RPC, and whose clock stands
// still unless it is put forward: two seconds are short on a busy machine.
type rpcBench struct{ *cachedBench }

func newRPCBench(t testing.TB, change func(*config.Document)) rpcBench {
	t.Helper()
	b := rpcBench{newCachedBench(t, func(doc *config.Document) {
		speaksRPC(doc)
		if change != nil {
			change(doc)
		}
	})}
	b.proxy.Clock = b.ahead.Load
	b.skip(time.Minute)
	b.script.Store(new(func(request string) string { return reply("200 OK", echoRPC(bodyOf(request)), jsonType) }))
	return b
}

const jsonType = "Content-Type: application/json"

// call is a call as a client writes it; a method alone has no parameters.
func call(id, what string) string {
	method, params, _ := strings.Cut(what, " ")
	text := `{"jsonrpc":"2.0"`
	if id != "" {
		text += `,"id":` + id
	}
	text += `,"method":"` + method + `"`
	if params != "" {
		text += `,"params":` + params
	}
	return text + "}"
}

func batch(calls ...string) string { return "[" + strings.Join(calls, ",") + "]" }

// result is what echoRPC answers.
func result(id, what string) string {
	method, params, _ := strings.Cut(what, " ")
	return `{"jsonrpc":"2.0","id":` + id + `,"result":` + resultOf(method, params) + `}`
}

func resultOf(method, params string) string {
	text, _ := json.Marshal(method + params)
	return string(text)
}

// echoRPC is a provider whose results tell what was asked. Parameters with "fail"
// in them make an error; there is no receipt yet for any transaction.
func echoRPC(body string) string {
	var calls []json.RawMessage
	if !strings.HasPrefix(body, "[") {
		return echoCall([]byte(body))
	}
	if json.Unmarshal([]byte(body), &calls) != nil || len(calls) == 0 {
		return invalidRequest
	}
	var answers []string
	for _, c := range calls {
		if a := echoCall(c); a != "" {
			answers = append(answers, a)
		}
	}
	if len(answers) == 0 {
		return ""
	}
	return batch(answers...)
}

const invalidRequest = `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request"}}`

func echoCall(text []byte) string {
	var c struct {
		ID, Params json.RawMessage
		Method     string
	}
	if json.Unmarshal(text, &c) != nil || c.Method == "" {
		return invalidRequest
	}
	var params bytes.Buffer
	if c.Params != nil {
		_ = json.Compact(&params, c.Params)
	}
	answer := `"result":` + resultOf(c.Method, params.String())
	switch {
	case c.ID == nil:
		return ""
	case c.Method == "eth_getTransactionReceipt":
		answer = `"result":null`
	case strings.Contains(params.String(), "fail"):
		answer = `"error":{"code":3,"message":"execution reverted"}`
	}
	return `{"jsonrpc":"2.0","id":` + string(c.ID) + `,` + answer + `}`
}

func bodyOf(request string) string {
	_, body, _ := strings.Cut(request, "\r\n\r\n")
	return body
}

func post(body string, fields ...string) string {
	return request("POST /api/x", append([]string{jsonType, fmt.Sprintf("Content-Length: %d", len(body))}, fields...)...) + body
}

// dial opens a connection that the test closes at its end.
func (b rpcBench) dial() net.Conn {
	b.t.Helper()
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// sent is the body of the last request that reached the provider.
func (b rpcBench) sent() string { return bodyOf(*b.last.Load()) }
