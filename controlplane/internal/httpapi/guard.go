package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// checkOrigin refuses what a page of another site makes a browser send. Only
// browsers say where a request comes from, and only a request that says nothing
// or names us passes; same-site is another site too, as a sibling host may belong
// to somebody else. A link to a page of ours is followed from anywhere.
func checkOrigin(r *http.Request, pattern string) *Problem {
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	if read && r.Header.Get("Sec-Fetch-Mode") == "navigate" && !strings.HasPrefix(route(pattern), "/api/") {
		return nil
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return refuse(http.StatusForbidden, "A page of another site asked the browser for this; use the page of this control plane, or a client that is no browser.")
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		if !ownOrigin(origin, r.Host) {
			return refuse(http.StatusForbidden, "The Origin of this request is another site; if a proxy stands in front of the control plane, let it pass on the Host as it came, port included.")
		}
	}
	return nil
}

// ownOrigin compares hosts and ports. The scheme may differ, because whoever
// speaks TLS in front of us does not tell.
func ownOrigin(origin, host string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || u.Path != "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(withoutDefaultPort(u.Host, u.Scheme), withoutDefaultPort(host, u.Scheme))
}

func withoutDefaultPort(host, scheme string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// authorize asks a write for the token. Without one only this machine may write,
// and what a proxy passes on does not come from this machine.
func (s *Server) authorize(c *call) *Problem {
	if s.options.Token == "" {
		return s.authorizeLocal(c.request)
	}
	if given, ok := bearer(c.request); ok {
		sum := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(sum[:], s.token[:]) == 1 {
			return nil
		}
		return refuse(http.StatusUnauthorized, "The token is not the admin token of this control plane.").
			with("WWW-Authenticate", `Bearer realm="control plane", error="invalid_token"`)
	}
	return refuse(http.StatusUnauthorized, "A change needs the admin token: send the header Authorization: Bearer TOKEN. A token in the query does not count.").
		with("WWW-Authenticate", `Bearer realm="control plane"`)
}

// bearer is the token of a request that has exactly one.
func bearer(r *http.Request) (token string, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// forwarded are the fields by which a proxy says that a request is not its own.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"}

func (s *Server) authorizeLocal(r *http.Request) *Problem {
	local := isLoopback(host(r.RemoteAddr))
	for _, name := range forwarded {
		local = local && r.Header.Values(name) == nil
	}
	// A browser can be led to us under a name that its page's owner chose.
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		local = local && isLocalName(r.Host)
	}
	if !local {
		return refuse(http.StatusForbidden, "The control plane has no admin token, so only its own machine may change anything; set --admin-token-file or APIPROXY_ADMIN_TOKEN and send it as Authorization: Bearer TOKEN.")
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func isLocalName(hostport string) bool {
	name := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		name = h
	}
	return strings.EqualFold(name, "localhost") || isLoopback(strings.Trim(name, "[]"))
}
