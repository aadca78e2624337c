package snapshot

import (
	"time"

	"apiproxy.internal/dataplane/internal/cache"
	"apiproxy.internal/shared/config"
	"apiproxy.internal/shared/wire"
)

// maxStoredHead is the most that key and head of a stored answer take, in bytes:
// a request's head, a call's parameters and an answer's head.
const maxStoredHead = 192 << 10

// applyCache gives the cache its size.
func (s *State) applyCache(doc *config.Document, now int64) {
	largest := doc.Proxy.CacheMaxBodySize
	for _, p := range doc.Providers {
		if p.CacheMaxBodySize != nil {
			largest = max(largest, *p.CacheMaxBodySize)
		}
	}
	s.cache.Resize(int64(doc.Proxy.CacheSize), int64(largest)+maxStoredHead, now)
}

func cacheRules(doc *config.Document, p *config.Provider) cache.Rules {
	r := cache.Rules{
		Mode:              cacheModes[p.CacheMode],
		TTL:               time.Duration(doc.Proxy.CacheTTL),
		MaxBody:           int64(doc.Proxy.CacheMaxBodySize),
		PassAuthorization: p.Auth.Type == config.AuthNone && p.Auth.PassAuthorization,
	}
	if p.CacheTTL != nil {
		r.TTL = time.Duration(*p.CacheTTL)
	}
	if p.CacheMaxBodySize != nil {
		r.MaxBody = int64(*p.CacheMaxBodySize)
	}
	if doc.Proxy.CacheSize == 0 {
		r.Mode = cache.Off
	}
	return r
}

var cacheModes = map[string]cache.Mode{
	config.CacheDefault: cache.Default,
	config.CacheRFC9111: cache.RFC9111,
	config.CacheOff:     cache.Off,
}

// Purge forgets what a purge is meant for and returns how many copies that were.
func (s *State) Purge(p wire.Purge) int {
	return s.cache.Purge(cache.Selection{Provider: p.Provider, Prefix: []byte(p.Prefix), Exact: []byte(p.Exact)}.Matches)
}

// forget drops the copies of providers that are somewhere else now, or gone.
func (s *State) forget(moved map[string]bool) {
	for name := range moved {
		s.Purge(wire.Purge{Provider: name})
	}
}
