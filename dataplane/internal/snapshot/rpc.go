package snapshot

import (
	"time"

	"apiproxy.internal/dataplane/internal/jsonrpc"
	"apiproxy.internal/shared/config"
)

// RPC is how the calls of a provider that speaks JSON-RPC are treated. Immutable.
type RPC struct {
	Methods  *jsonrpc.Methods
	TTL      [jsonrpc.Classes]time.Duration // for which a result holds
	MaxBatch int                            // calls of one request
}

// rpcRules is nil for a provider that does not speak JSON-RPC. fixed is its
// cache_ttl.
func rpcRules(p *config.Provider, fixed time.Duration) *RPC {
	if p.Protocol != config.ProtocolJSONRPC || p.JSONRPC == nil {
		return nil
	}
	r := &RPC{Methods: jsonrpc.NewMethods(p.JSONRPC.CacheMethods), MaxBatch: p.JSONRPC.MaxBatch}
	r.TTL[jsonrpc.Fixed] = fixed
	r.TTL[jsonrpc.Latest] = time.Duration(p.JSONRPC.LatestTTL)
	return r
}
