package fakeprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// Provider says whose API a request is for.
type Provider uint8

// The providers. Unknown is a request that shows no sign of any of them, as sent
// for a provider of auth type none.
const (
	Zerion Provider = iota
	CoinGecko
	Alchemy
	Unknown
	numProviders = iota
)

var providerNames = [numProviders]string{"zerion", "coingecko", "alchemy", "unknown"}

func (p Provider) String() string {
	if p >= numProviders {
		return "invalid"
	}
	return providerNames[p]
}

// ParseProvider is the inverse of [Provider.String].
func ParseProvider(name string) (Provider, error) {
	if i := slices.Index(providerNames[:], name); i >= 0 {
		return Provider(i), nil
	}
	return Unknown, fmt.Errorf("no provider %q; there are %s", name, strings.Join(providerNames[:], ", "))
}

// target is where a request leads.
type target struct {
	provider Provider
	key      string // Alchemy: the path segment in the key's place
	path     string // decoded, after the mount prefix and Alchemy's /v2/{key}
	recorded string // raw, as it arrived, without the query; the key's segment masked
}

// locate finds the provider by the mount prefix (/zerion/...), so that an
// upstream of http://host:9100/zerion works, or else infers it, so that plain
// http://host:9100 works for all of them.
func locate(r *http.Request) target {
	t := target{path: r.URL.Path, recorded: rawPath(r)}
	keySegment := 2 // of /v2/{key}
	if p, rest, ok := cutMount(t.path); ok {
		t.provider, t.path = p, rest
		keySegment++
	} else {
		t.provider = infer(r)
	}
	if t.provider != Alchemy {
		return t
	}
	if rest, ok := strings.CutPrefix(t.path, "/v2/"); ok {
		t.key, t.path, _ = strings.Cut(rest, "/")
		t.path = "/" + t.path
		t.recorded = maskSegment(t.recorded, keySegment)
	}
	return t
}

func (t target) isRPC() bool { return t.provider == Alchemy && t.path == "/" }

func cutMount(path string) (p Provider, rest string, ok bool) {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	p, err := ParseProvider(first)
	if err != nil || p == Unknown {
		return Unknown, path, false
	}
	return p, path[len("/")+len(first):], true
}

func infer(r *http.Request) Provider {
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/v2/"):
		return Alchemy
	case r.Header[coinGeckoHeader] != nil, strings.HasPrefix(path, "/api/v3/"):
		return CoinGecko
	case isBasic(r), strings.HasPrefix(path, "/v1/"):
		return Zerion
	}
	return Unknown
}

func isBasic(r *http.Request) bool {
	return slices.ContainsFunc(r.Header["Authorization"], func(v string) bool {
		scheme, _, _ := strings.Cut(v, " ")
		return strings.EqualFold(scheme, "Basic")
	})
}

// rawPath is the path byte by byte as the proxy sent it: the proxy promises to
// change nothing after its prefix.
func rawPath(r *http.Request) string {
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") {
		return path
	}
	return r.URL.EscapedPath() // absolute form, "OPTIONS *"
}

// maskSegment works on the raw path, where a key may be percent-encoded.
func maskSegment(path string, i int) string {
	segments := strings.Split(path, "/")
	if i < len(segments) {
		segments[i] = masked
	}
	return strings.Join(segments, "/")
}
