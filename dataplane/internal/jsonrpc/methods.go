package jsonrpc

import "bytes"

// Class says for how long the result of a call holds.
type Class uint8

// The classes.
const (
	Never   Class = iota // is not stored
	Latest               // depends on the newest block: for jsonrpc.latest_ttl
	Fixed                // by hash or number, or a constant: for cache_ttl
	Classes              // how many there are
)

// rule says how the class of a call follows from its parameters.
type rule struct {
	class Class // where the parameters do not matter
	block int   // place of the parameter that names a block, counted from 1; 0 = none
	mined bool  // only a result that has its place in a block is stored
}

// rules are the read-only methods of Ethereum nodes whose parameters we know. A
// number may be that of a block which a reorganisation replaces: such a result
// is wrong for cache_ttl at most.
var rules = map[string]rule{
	"eth_chainId":        {class: Fixed},
	"net_version":        {class: Fixed},
	"web3_clientVersion": {class: Fixed},
	"web3_sha3":          {class: Fixed},

	"eth_getBlockByHash":                      {class: Fixed},
	"eth_getBlockTransactionCountByHash":      {class: Fixed},
	"eth_getTransactionByBlockHashAndIndex":   {class: Fixed},
	"eth_getUncleByBlockHashAndIndex":         {class: Fixed},
	"eth_getUncleCountByBlockHash":            {class: Fixed},
	"eth_getTransactionByHash":                {class: Fixed, mined: true},
	"eth_getTransactionReceipt":               {class: Fixed, mined: true},
	"eth_getBlockByNumber":                    {block: 1},
	"eth_getBlockReceipts":                    {block: 1},
	"eth_getBlockTransactionCountByNumber":    {block: 1},
	"eth_getTransactionByBlockNumberAndIndex": {block: 1},
	"eth_getUncleByBlockNumberAndIndex":       {block: 1},
	"eth_getUncleCountByBlockNumber":          {block: 1},
	"eth_call":                                {block: 2},
	"eth_feeHistory":                          {block: 2},
	"eth_getBalance":                          {block: 2},
	"eth_getCode":                             {block: 2},
	"eth_getTransactionCount":                 {block: 2},
	"eth_estimateGas":                         {block: 2},
	"eth_getProof":                            {block: 3},
	"eth_getStorageAt":                        {block: 3},

	"eth_blobBaseFee":          {class: Latest},
	"eth_blockNumber":          {class: Latest},
	"eth_gasPrice":             {class: Latest},
	"eth_getLogs":              {class: Latest},
	"eth_maxPriorityFeePerGas": {class: Latest},

	"alchemy_getAssetTransfers": {class: Latest},
	"alchemy_getTokenBalances":  {class: Latest},
	"alchemy_getTokenMetadata":  {class: Fixed},
}

// Methods are the methods that a provider's configuration lets be stored.
// Immutable; safe for simultaneous use.
type Methods struct{ rules map[string]rule }

// NewMethods compiles a list of names. A name that is not known here is taken
// for one that depends on the newest block.
func NewMethods(names []string) *Methods {
	m := &Methods{rules: make(map[string]rule, len(names))}
	for _, name := range names {
		r, known := rules[name]
		if !known {
			r = rule{class: Latest}
		}
		m.rules[name] = r
	}
	return m
}

// Class is for how long the result of a call may be stored. Notifications are
// never answered.
func (m *Methods) Class(c *Call) Class {
	r, ok := m.rules[string(c.Method)]
	switch {
	case !ok || c.ID == nil:
		return Never
	case r.block > 0 && len(c.Params) > 0 && c.Params[0] == '{':
		return Never // which of its members names the block is not known
	case r.block > 0:
		return blockClass(parameter(c.Params, r.block))
	case r.class == Latest && mayBePending(c.Params):
		return Never
	}
	return r.class
}

// mayBePending finds the block "pending" wherever it may stand, and what may be
// another spelling of it.
func mayBePending(params []byte) bool {
	return bytes.Contains(params, pending) || bytes.IndexByte(params, '\\') >= 0
}

var pending = []byte("pending")

// Keeps reports whether a result says something that holds: null means that
// there is nothing yet, and what is not in a block may still change.
func (m *Methods) Keeps(c *Call, result []byte) bool {
	r, ok := m.rules[string(c.Method)]
	if !ok || result == nil || bytes.Equal(result, null) {
		return false
	}
	if !r.mined {
		return true
	}
	hash := lookup(result, "blockHash")
	return len(hash) > 0 && hash[0] == '"'
}

// parameter is the nth of positional parameters, counted from 1; nil if there is
// none.
func parameter(params []byte, n int) []byte {
	if len(params) == 0 || params[0] != '[' {
		return nil
	}
	for list := inner(params); ; n-- {
		v, rest, ok := element(list)
		if !ok {
			return nil
		}
		if n == 1 {
			return v
		}
		list = rest
	}
}

// blockClass judges a parameter that names a block: a number, a tag, or an
// object with a number or a hash (EIP-1898). Without one the newest is meant;
// what cannot be read is not stored.
func blockClass(v []byte) Class {
	switch {
	case v == nil || bytes.Equal(v, null):
		return Latest
	case v[0] == '{':
		if hash := lookup(v, "blockHash"); isHex(hash) {
			return Fixed
		}
		if number := lookup(v, "blockNumber"); number != nil && number[0] != '{' {
			return blockClass(number)
		}
	case v[0] == '"':
		switch string(inner(v)) {
		case "latest", "safe", "finalized":
			return Latest
		case "earliest":
			return Fixed
		}
		if isHex(v) {
			return Fixed
		}
	}
	return Never // "pending" among them
}

// isHex reports whether v is a text "0x" with digits.
func isHex(v []byte) bool {
	if len(v) < 5 || v[1] != '0' || v[2] != 'x' {
		return false
	}
	for _, c := range v[3 : len(v)-1] {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return false
		}
	}
	return true
}

// lookup is the value of an object's member; nil if it has none, or two.
func lookup(object []byte, name string) (found []byte) {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	for inside := inner(object); ; {
		key, v, rest, ok := member(inside)
		if !ok {
			return found
		}
		if string(key) == name {
			if found != nil {
				return nil
			}
			found = v
		}
		inside = rest
	}
}
