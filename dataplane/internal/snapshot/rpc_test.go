package snapshot

import (
	"testing"
	"time"

	"apiproxy.internal/dataplane/internal/jsonrpc"
)

// The preset of Alchemy speaks JSON-RPC; a provider may have ways of its own.
func TestRPCOfPlans(t *testing.T) {
	b := newBench(t)
	var alchemy *Plan
	for _, plan := range b.apply(0, `{}`).Plans {
		if (plan.RPC != nil) != (plan.Name == "alchemy") {
			t.Errorf("%s: %+v", plan.Name, plan.RPC)
		}
		if plan.RPC != nil {
			alchemy = plan
		}
	}
	r := alchemy.RPC
	call := jsonrpc.Call{ID: []byte("1"), Method: []byte("eth_blockNumber")}
	if r.TTL != [...]time.Duration{0, 2 * time.Second, time.Minute} || r.MaxBatch != 100 || r.Methods.Class(&call) != jsonrpc.Latest {
		t.Errorf("%+v", r)
	}
	r = b.apply(0, `providers: {p: {upstream: "https://api.test", protocol: jsonrpc, cache_ttl: 5s, jsonrpc: {latest_ttl: 1s, max_batch: 7, cache_methods: [own]}}}`).Plans[0].RPC
	if r.TTL != [...]time.Duration{0, time.Second, 5 * time.Second} || r.MaxBatch != 7 || r.Methods.Class(&call) != jsonrpc.Never {
		t.Errorf("%+v", r)
	}
}
