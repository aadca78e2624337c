package fakeprovider

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
)

// maxRPCBody is more than the 10 MiB that the proxy lets through by default.
const maxRPCBody = 16 << 20

// Error codes of JSON-RPC 2.0 §5.1; a server may choose its own in -32000..-32099.
const (
	rpcParseError     = -32700
	rpcInvalidRequest = -32600
	rpcMethodNotFound = -32601
	rpcInvalidParams  = -32602
	rpcServerError    = -32000
)

type rpcRequest struct {
	ID     json.RawMessage `json:"id"` // absent = notification; an explicit null is an id
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
}

type rpcResponse struct {
	ID     json.RawMessage `json:"id"` // null when it is not known
	Result any             `json:"result,omitempty"`
	Error  *rpcError       `json:"error,omitempty"`
}

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// MarshalJSON adds the version, which is the same in every response.
func (r rpcResponse) MarshalJSON() ([]byte, error) {
	type fields rpcResponse
	return json.Marshal(struct {
		Version string `json:"jsonrpc"`
		fields
	}{"2.0", fields(r)})
}

// serveRPC answers a JSON-RPC 2.0 request or batch (https://www.jsonrpc.org/specification).
func serveRPC(a *answer, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRPCBody+1))
	if err != nil {
		a.reset() // the client broke off
		return
	}
	if len(body) > maxRPCBody {
		drain(r)
		fail(a, Alchemy, http.StatusRequestEntityTooLarge, "request body is over 16 MiB")
		return
	}
	if !json.Valid(body) {
		writeJSON(a, http.StatusBadRequest, rpcFailure(nil, rpcParseError, "Parse error"))
		return
	}
	var batch []json.RawMessage
	if bytes.TrimLeft(body, " \t\r\n")[0] != '[' {
		writeRPC(a, callRPC(body))
		return
	}
	if err := json.Unmarshal(body, &batch); err != nil || len(batch) == 0 {
		writeRPC(a, rpcFailure(nil, rpcInvalidRequest, "Invalid request: empty batch"))
		return
	}
	var responses []*rpcResponse
	for _, call := range batch {
		if response := callRPC(call); response != nil {
			responses = append(responses, response)
		}
	}
	if responses == nil {
		writeRPC(a, nil)
		return
	}
	writeJSON(a, http.StatusOK, responses)
}

func writeRPC(a *answer, response *rpcResponse) {
	if response == nil { // only notifications: nothing at all is returned (§6)
		a.WriteHeader(http.StatusNoContent)
		return
	}
	writeJSON(a, http.StatusOK, response)
}

// callRPC answers one call; nil for a notification.
func callRPC(raw json.RawMessage) *rpcResponse {
	var call rpcRequest
	if err := json.Unmarshal(raw, &call); err != nil || call.Method == "" {
		return rpcFailure(call.ID, rpcInvalidRequest, "Invalid request: an object with a method is needed")
	}
	if call.ID == nil {
		return nil
	}
	switch call.Method {
	case "eth_blockNumber":
		return &rpcResponse{ID: call.ID, Result: "0x134e82a"}
	case "eth_chainId":
		return &rpcResponse{ID: call.ID, Result: "0x1"}
	case "eth_gasPrice":
		return &rpcResponse{ID: call.ID, Result: "0x37e11d600"}
	case "eth_getBalance":
		var params []string
		if err := json.Unmarshal(call.Params, &params); err != nil || len(params) == 0 {
			return rpcFailure(call.ID, rpcInvalidParams, "Invalid params: [address, block] is needed")
		}
		return &rpcResponse{ID: call.ID, Result: "0x1bc16d674ec80000"}
	}
	return rpcFailure(call.ID, rpcMethodNotFound, "The method "+call.Method+" does not exist/is not available")
}

func rpcFailure(id json.RawMessage, code int, message string) *rpcResponse {
	return &rpcResponse{ID: id, Error: &rpcError{Code: code, Message: message}}
}
