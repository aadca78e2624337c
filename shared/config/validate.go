package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// validate adds what no single field can know: whether the parts fit together.
func (r *report) validate(doc *Document) {
	r.limitRates(doc)
	r.limitTargets(doc)
	r.unlimited(doc)
	prefixes := map[string]string{}
	for _, name := range doc.providerNames() {
		p := doc.Providers[name]
		r.provider(name, &p, prefixes)
	}
	if len(doc.Providers) == 0 {
		r.warn("providers", "there are no providers, every request gets 404", "add one, or remove the section for the presets")
	}
}

// limitRates wants a rate in every limit that is given: a limit without one is
// more likely a slip than a wish for no limit.
func (r *report) limitRates(doc *Document) {
	for _, path := range sortedKeys(doc.limits()) {
		if rate := child(path, "rate"); r.given(path) && !r.given(rate) {
			r.refuse(rate, "is missing", "set the rate, or remove the whole limit for unlimited")
		}
	}
}

// maxSuggested is after how many problems suggestions, which compare a name with
// those of all providers, would cost more than they help.
const maxSuggested = 100

func (r *report) limitTargets(doc *Document) {
	providers := doc.providerNames()
	for _, name := range sortedKeys(doc.RateLimit.PerProvider) {
		if _, exists := doc.Providers[name]; exists {
			continue
		}
		remedy := "add the provider or remove the limit"
		if len(r.problems) < maxSuggested {
			if similar := nearest(name, providers); similar != "" {
				remedy = "did you mean " + child("", similar) + "?"
			}
		}
		r.refuse(child("rate_limit.per_provider", name), "there is no such provider", remedy)
	}
}

func (r *report) unlimited(doc *Document) {
	warn := func(path string, limited bool) {
		if !limited {
			r.warn(path, "there is no limit: it is unlimited", "set a rate and a burst")
		}
	}
	warn("rate_limit.global", doc.RateLimit.Global != nil)
	warn("rate_limit.per_ip", doc.RateLimit.PerIP != nil)
	for _, name := range doc.providerNames() {
		warn(child("rate_limit.per_provider", name), doc.RateLimit.PerProvider[name] != nil)
	}
}

var (
	providerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	// reservedNames are label values of the metrics beside the providers' names.
	reservedNames = []string{"none", "global", "per_ip"}
)

// provider checks one provider; prefixes tells who has each prefix so far.
func (r *report) provider(name string, p *Provider, prefixes map[string]string) {
	path := child("providers", name)
	r.providerName(path, name)
	r.prefix(child(path, "prefix"), name, p.Prefix, prefixes)
	r.auth(child(path, "auth"), &p.Auth)
	r.upstream(child(path, "upstream"), p)
	r.jsonrpc(child(path, "jsonrpc"), p)
}

func (r *report) providerName(path, name string) {
	switch {
	case !providerName.MatchString(name):
		r.refuse(path, "is not a name for a provider", "use 1 to 63 of a-z 0-9 _ -, the first a letter or digit")
	case slices.Contains(reservedNames, name):
		r.refuse(path, "this name is taken by the limits and the metrics", "choose another name")
	}
}

// ownEndpoints are the paths that the node answers itself.
var ownEndpoints = []string{"/health", "/ready", "/metrics", "/status", "/circuit-breaker-stats"}

func (r *report) prefix(path, name, prefix string, prefixes map[string]string) {
	if !r.given(path) && !providerName.MatchString(name) {
		return // the prefix comes from the name, which is reported
	}
	for _, endpoint := range ownEndpoints {
		if strings.HasPrefix(endpoint+"/", prefix) {
			r.refuse(path, prefix+" would capture our own endpoint "+endpoint, `choose another prefix, such as "/api/"`)
			return
		}
	}
	if message := checkPath(prefix); message != "" {
		r.refuse(path, message, pathRemedy)
		return
	}
	if other, taken := prefixes[prefix]; taken {
		r.refuse(path, "provider "+child("", other)+" has the same prefix", "give each provider its own prefix")
		return
	}
	prefixes[prefix] = name
}

const pathRemedy = `write a plain path such as "/name/"`

// checkPath says what is wrong with a path that must mean the same to everybody
// who reads it: its bytes are compared and sent as they are.
func checkPath(path string) (message string) {
	inside, rooted := strings.CutPrefix(strings.TrimSuffix(path, "/"), "/")
	if !rooted {
		return `does not begin with "/"`
	}
	if i := strings.IndexFunc(path, notPathChar); i >= 0 {
		return "has a byte that does not belong there: " + badByte(path[i])
	}
	for segment := range strings.SplitSeq(inside, "/") {
		switch segment {
		case "":
			return "has an empty segment"
		case ".", "..":
			return "has a dot segment"
		}
	}
	return ""
}

// notPathChar knows the pchar of RFC 3986 §3.3 without percent escapes.
func notPathChar(c rune) bool {
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	return !letter && !strings.ContainsRune("/-._~!$&'()*+,;=:@", c)
}

func badByte(b byte) string {
	switch b {
	case '?':
		return "? begins a query"
	case '#':
		return "# begins a fragment"
	case '%':
		return "% begins an escape"
	}
	return fmt.Sprintf("%#02x", b)
}
