package config

import (
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const upstreamRemedy = `write "https://host", with a port or a base path if need be`

// upstream checks where a provider's requests and its key go. The text is not
// shown in problems: keys turn up in URLs.
func (r *report) upstream(path string, p *Provider) {
	if p.Upstream == "" {
		r.refuse(path, "is missing", upstreamRemedy)
		return
	}
	origin, problem := parseUpstream(p.Upstream)
	if problem != nil {
		r.refuse(path, problem.Message, problem.Remedy)
		return
	}
	carries := p.Auth.Type != AuthNone || p.Auth.PassAuthorization
	if origin.Scheme == "http" && carries && !isPrivateHost(origin.Hostname()) {
		r.warn(path, "the credential travels unencrypted", "use https")
	}
}

func parseUpstream(text string) (*url.URL, *Problem) {
	refuse := func(message, remedy string) (*url.URL, *Problem) {
		return nil, &Problem{Message: message, Remedy: remedy}
	}
	switch i := strings.IndexFunc(text, notUpstreamChar); {
	case i < 0:
	case text[i] == '@':
		return refuse("holds user information", "remove it; credentials belong to auth, as references")
	case text[i] == '?', text[i] == '#':
		return refuse("has a query or a fragment", upstreamRemedy)
	default:
		return refuse("has a byte that does not belong there: "+badByte(text[i]), upstreamRemedy)
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" {
		return refuse("is not an http or https URL", upstreamRemedy)
	}
	if message := checkHost(u); message != "" {
		return refuse(message, "name the public host of the provider's API")
	}
	if message := checkPort(u); message != "" {
		return refuse(message, "use a port from 1 to 65535, or none")
	}
	if u.Path != "" {
		if message := checkPath(u.Path); message != "" {
			return refuse("its base path "+message, upstreamRemedy)
		}
	}
	return u, nil
}

// notUpstreamChar also refuses "@" and "%", which a path might have, so that a
// host can be neither hidden nor escaped.
func notUpstreamChar(c rune) bool {
	return c == '@' || notPathChar(c) && c != '[' && c != ']'
}

func checkPort(u *url.URL) string {
	port := u.Port()
	if port == "" && !strings.HasSuffix(u.Host, ":") {
		return ""
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "has no valid port"
	}
	return ""
}

var hostName = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$`)

// metadataHosts are the names under which clouds serve their metadata.
var metadataHosts = []string{"metadata.google.internal"}

func checkHost(u *url.URL) string {
	host := strings.ToLower(u.Hostname())
	if host == "" {
		return "has no host"
	}
	bracketed := strings.HasPrefix(u.Host, "[")
	if addr, err := netip.ParseAddr(host); err == nil && addr.Is6() == bracketed {
		if reason := RefusedUpstream(addr); reason != "" {
			return "leads to " + reason
		}
		return ""
	}
	name := strings.TrimSuffix(host, ".")
	switch {
	case bracketed, strings.Contains(host, ":"):
		return "has no valid IPv6 address as host"
	case looksNumeric(name):
		return "has a host that some would read as an IPv4 address"
	case len(name) > 253, !hostName.MatchString(host):
		return "has no valid host name"
	}
	if slices.Contains(metadataHosts, name) {
		return "leads to a cloud's metadata service"
	}
	return ""
}

// looksNumeric is the "ends in a number" of the WHATWG URL standard §3.5: resolvers
// read 2130706433, 0x7f.1 and 0177.0.0.1 as IPv4 addresses.
func looksNumeric(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

var (
	// nat64 carries an IPv4 address in its last 32 bits (RFC 6052 §2.1).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// metadataAddrs are those beside 169.254.169.254, which is link-local.
	metadataAddrs = []netip.Addr{netip.MustParseAddr("fd00:ec2::254"), netip.MustParseAddr("100.100.100.200")}
	broadcast     = netip.MustParseAddr("255.255.255.255")
)

// RefusedUpstream is why an address must never be an upstream, or "". Whoever
// dials a host name asks it again for the address that the name resolves to.
func RefusedUpstream(addr netip.Addr) (reason string) {
	addr = addr.WithZone("").Unmap()
	if nat64.Contains(addr) {
		bytes := addr.As16()
		addr = netip.AddrFrom4([4]byte(bytes[12:]))
	}
	switch {
	case addr.IsLinkLocalUnicast():
		return "a link-local address, where clouds serve their metadata"
	case addr == metadataAddrs[0], addr == metadataAddrs[1]:
		return "a cloud's metadata service"
	case !addr.IsValid(), addr.IsUnspecified():
		return "no address at all"
	case addr.IsMulticast(), addr == broadcast:
		return "a multicast or broadcast address"
	}
	return ""
}

// isPrivateHost guesses whether plain http stays on the operator's own network.
// A name without a dot is one of a container's or cluster's own.
func isPrivateHost(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		addr = addr.Unmap()
		return addr.IsLoopback() || addr.IsPrivate()
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if !strings.Contains(name, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}
