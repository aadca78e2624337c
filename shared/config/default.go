package config

import (
	"net/netip"
	"time"
)

const (
	defaultHold       = Duration(10 * time.Minute)
	defaultIPv6Prefix = 64
)

// Default is the guide's configuration with its three providers: what an empty
// file means. Each call returns a fresh copy.
func Default() *Document {
	return &Document{
		RateLimit: RateLimit{
			Global: limit(1000, 2000),
			PerIP:  &IPLimit{Limit: *limit(100, 200), IPv6Prefix: defaultIPv6Prefix},
			PerProvider: map[string]*Limit{
				"zerion":    limit(300, 500),
				"coingecko": limit(300, 500),
				"alchemy":   limit(400, 800),
			},
		},
		CircuitBreaker: CircuitBreaker{
			FailureThreshold: 5,
			SuccessThreshold: 2,
			Timeout:          Duration(30 * time.Second),
			HalfOpenRequests: 3,
		},
		Proxy: Proxy{
			MaxBodySize:      10 * mebibyte,
			CacheTTL:         Duration(60 * time.Second),
			CacheMaxBodySize: 256 * kibibyte,
			CacheSize:        64 * mebibyte,

			ServeStaleWhenLimited: true,

			TrustedProxies: []netip.Prefix{},
			AllowedIPs:     []netip.Prefix{},
		},
		Server: Server{
			MaxInFlight:    10000,
			MaxConnections: 20000,
			HeaderTimeout:  Duration(10 * time.Second),
			BodyTimeout:    Duration(60 * time.Second),
			IdleTimeout:    Duration(75 * time.Second),
			WriteTimeout:   Duration(60 * time.Second),
		},
		Providers: map[string]Provider{
			"zerion":    zerion(),
			"coingecko": coingecko(),
			"alchemy":   alchemy(),
		},
	}
}

func zerion() Provider {
	p := defaultProvider()
	p.Prefix = "/zerion/"
	p.Upstream = "https://api.zerion.io"
	p.Auth = Auth{Type: AuthBasic, Username: &SecretRef{Env: "ZERION_API_KEY"}}
	return p
}

func coingecko() Provider {
	p := defaultProvider()
	p.Prefix = "/coingecko/"
	p.Upstream = "https://pro-api.coingecko.com"
	p.Auth = Auth{Type: AuthHeader, Header: "x-cg-pro-api-key", Value: &SecretRef{Env: "COINGECKO_API_KEY"}}
	return p
}

func alchemy() Provider {
	p := defaultProvider()
	p.Prefix = "/alchemy/"
	p.Upstream = "https://eth-mainnet.g.alchemy.com"
	p.Auth = Auth{Type: AuthPath, Template: "/v2/{key}", Value: &SecretRef{Env: "ALCHEMY_API_KEY"}}
	p.Retry = Retry{Times: 1, Delay: Duration(50 * time.Millisecond)}
	p.Protocol, p.JSONRPC = ProtocolJSONRPC, defaultJSONRPC()
	return p
}

// setDefaults fills a value that a document creates with what holds for the
// fields it does not give. What depends on other fields is left to complete.
func setDefaults(target any) {
	switch t := target.(type) {
	case *Limit:
		*t = defaultLimit()
	case *IPLimit:
		*t = IPLimit{Limit: defaultLimit(), IPv6Prefix: defaultIPv6Prefix}
	case *Provider:
		*t = defaultProvider()
	case *JSONRPC:
		*t = *defaultJSONRPC()
	}
}

func defaultLimit() Limit { return Limit{OnDisconnect: DisconnectShare, Hold: defaultHold} }

func limit(rate uint64, burst int64) *Limit {
	l := defaultLimit()
	l.Rate, l.Burst = Rate{mantissa: rate}, burst
	return &l
}

func defaultProvider() Provider {
	return Provider{
		Auth: Auth{Type: AuthNone},
		Timeout: Timeout{
			Connect: Duration(5 * time.Second),
			Send:    Duration(10 * time.Second),
			Read:    Duration(30 * time.Second),
		},
		Retry:     Retry{Times: 2, Delay: Duration(100 * time.Millisecond)},
		CacheMode: CacheDefault,
		Protocol:  ProtocolHTTP,
	}
}

// defaultJSONRPC has the methods of Ethereum nodes that only read. Nonces
// (eth_getTransactionCount) and gas estimates are left out: who asks for one is
// about to send, and must not see what was true two seconds ago.
func defaultJSONRPC() *JSONRPC {
	return &JSONRPC{
		CacheMethods: []string{
			"eth_blobBaseFee", "eth_blockNumber", "eth_call", "eth_chainId", "eth_feeHistory", "eth_gasPrice",
			"eth_getBalance", "eth_getBlockByHash", "eth_getBlockByNumber", "eth_getBlockReceipts", "eth_getBlockTransactionCountByHash",
			"eth_getBlockTransactionCountByNumber", "eth_getCode", "eth_getLogs", "eth_getProof", "eth_getStorageAt",
			"eth_getTransactionByBlockHashAndIndex", "eth_getTransactionByBlockNumberAndIndex", "eth_getTransactionByHash",
			"eth_getTransactionReceipt", "eth_maxPriorityFeePerGas", "net_version",
		},
		LatestTTL: Duration(2 * time.Second),
		MaxBatch:  100,
	}
}
