package fakeprovider

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
)

const (
	coinGeckoHeader = "X-Cg-Pro-Api-Key" // canonical form
	masked          = "***"
)

// credentials are the keys that the providers expect.
type credentials struct {
	keys     [Unknown]string
	traces   []string // what a key looks like where it does not belong
	replacer *strings.Replacer
}

func newCredentials(o Options) credentials {
	c := credentials{keys: [Unknown]string{
		Zerion:    cmp.Or(o.ZerionKey, DemoZerionKey),
		CoinGecko: cmp.Or(o.CoinGeckoKey, DemoCoinGeckoKey),
		Alchemy:   cmp.Or(o.AlchemyKey, DemoAlchemyKey),
	}}
	basic := base64.StdEncoding.EncodeToString([]byte(c.keys[Zerion] + ":"))
	c.traces = append(c.keys[:len(c.keys):len(c.keys)], basic)
	var pairs []string
	for _, trace := range c.traces {
		pairs = append(pairs, trace, masked)
	}
	c.replacer = strings.NewReplacer(pairs...)
	return c
}

// mask removes every key from text that leaves the server.
func (c *credentials) mask(text string) string { return c.replacer.Replace(text) }

// authorized reports whether the right credential came exactly once in the right
// place. A request for no known provider needs none.
func (c *credentials) authorized(t target, r *http.Request) bool {
	switch t.provider {
	case Zerion:
		user, password, ok := r.BasicAuth()
		return ok && len(r.Header["Authorization"]) == 1 && user == c.keys[Zerion] && password == ""
	case CoinGecko:
		values := r.Header[coinGeckoHeader]
		return len(values) == 1 && values[0] == c.keys[CoinGecko]
	case Alchemy:
		return t.key == c.keys[Alchemy]
	}
	return true
}

// credentialHeader is the one header that may carry a key to the provider.
func credentialHeader(p Provider) string {
	switch p {
	case Zerion:
		return "Authorization"
	case CoinGecko:
		return coinGeckoHeader
	}
	return ""
}

// leakSet is a set of indices into leakNames.
type leakSet uint32

// leakNames lists the headers that the proxy must not let through: what tells of
// the caller (docs/DESIGN.md) and what belongs to one hop (RFC 9110 §7.6.1). The
// entries after them are places that are no single header.
var leakNames = [...]string{
	"Authorization", "x-cg-pro-api-key", "Cookie", "Origin", "Referer", "Forwarded",
	"X-Real-IP", "Via", "X-Request-ID",
	"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
	"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "TE", "Upgrade",
	leakForwarded, leakUnderscore, leakHeader, leakPath, leakQuery,
}

const (
	leakForwarded  = "X-Forwarded-*"        // any other X-Forwarded- header
	leakUnderscore = "name_with_underscore" // a header whose name holds an underscore
	leakHeader     = "key in header"        // a key in a header that carries no credential
	leakPath       = "key in path"          // a key in the path, beyond Alchemy's segment
	leakQuery      = "key in query"         // a key in the query
)

// leakIndex finds a leak by its canonical header name, or by its own name.
var leakIndex = func() map[string]int {
	index := make(map[string]int, len(leakNames))
	for i, name := range leakNames {
		index[http.CanonicalHeaderKey(name)] = i
	}
	return index
}()

func (l *leakSet) add(name string) { *l |= 1 << leakIndex[http.CanonicalHeaderKey(name)] }

func (l leakSet) names() []string {
	var names []string
	for i, name := range leakNames {
		if l&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (c *credentials) leaks(t target, r *http.Request) (leaks leakSet) {
	own := credentialHeader(t.provider)
	for name, values := range r.Header {
		_, listed := leakIndex[name]
		switch {
		case name == own:
			if len(values) > 1 {
				leaks.add(name)
			}
		case name == "Connection":
			if !isPersistence(values) {
				leaks.add(name)
			}
		case listed:
			leaks.add(name)
		case strings.HasPrefix(name, "X-Forwarded-"):
			leaks.add(leakForwarded)
		case strings.Contains(name, "_"):
			leaks.add(leakUnderscore)
		case c.traced(values...):
			leaks.add(leakHeader)
		}
	}
	if c.traced(t.recorded, t.path) {
		leaks.add(leakPath)
	}
	if c.queryTraced(r.URL.RawQuery) {
		leaks.add(leakQuery)
	}
	return leaks
}

// isPersistence reports whether a Connection header only manages its own
// connection and so may come from the proxy itself.
func isPersistence(values []string) bool {
	return len(values) == 1 && (strings.EqualFold(values[0], "keep-alive") || strings.EqualFold(values[0], "close"))
}

func (c *credentials) queryTraced(query string) bool {
	if query == "" {
		return false
	}
	decoded, err := url.QueryUnescape(query)
	return c.traced(query) || err == nil && c.traced(decoded)
}

// traced reports whether any of the texts holds any provider's key.
func (c *credentials) traced(texts ...string) bool {
	for _, text := range texts {
		for _, trace := range c.traces {
			if strings.Contains(text, trace) {
				return true
			}
		}
	}
	return false
}
