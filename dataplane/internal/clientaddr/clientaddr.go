// Package clientaddr derives the address whose limit a request counts against.
// Only what a trusted peer says is believed. Pure; no allocation unless an
// address is malformed.
package clientaddr

import (
	"bytes"
	"net/netip"
	"strings"
	"unsafe"

	"apiproxy.internal/dataplane/internal/http1"
)

// Trusted is the set of proxies whose forwarding headers are believed.
type Trusted []netip.Prefix

// Contains reports whether the (unmapped) address lies in the set.
func (t Trusted) Contains(a netip.Addr) bool {
	for _, p := range t {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Derive returns the client's address: the peer itself, or, if the peer is
// trusted, the rightmost hop of X-Forwarded-For that is not trusted. With every
// hop trusted it is the leftmost one; without X-Forwarded-For X-Real-IP counts;
// anything malformed on the way makes it the peer again. What stands left of an
// untrusted hop is that hop's invention and not looked at. IPv4-mapped IPv6 is
// IPv4, zones are dropped.
func Derive(peer netip.Addr, trusted Trusted, fields []http1.Field) netip.Addr {
	peer = normal(peer)
	if !trusted.Contains(peer) {
		return peer
	}
	client, seen := peer, false
	// Several lines are one list, in order (RFC 9110 §5.3), so the walk from the
	// right begins with the last one.
	for i := len(fields) - 1; i >= 0; i-- {
		if !http1.EqualFold(fields[i].Name, "x-forwarded-for") {
			continue
		}
		seen = true
		for list := fields[i].Value; list != nil; {
			var hop []byte
			hop, list = lastItem(list)
			addr, ok := parse(hop)
			if !ok {
				return peer
			}
			if !trusted.Contains(addr) {
				return addr
			}
			client = addr
		}
	}
	if seen {
		return client
	}
	return realIP(peer, fields)
}

// realIP believes one X-Real-IP; of two, one was there before the trusted peer.
func realIP(peer netip.Addr, fields []http1.Field) netip.Addr {
	client, seen := peer, false
	for _, f := range fields {
		if !http1.EqualFold(f.Name, "x-real-ip") {
			continue
		}
		addr, ok := parse(f.Value)
		if !ok || seen {
			return peer
		}
		client, seen = addr, true
	}
	return client
}

// lastItem splits the last element off a comma-separated list; rest is nil if
// it was the only one.
func lastItem(list []byte) (item, rest []byte) {
	if i := bytes.LastIndexByte(list, ','); i >= 0 {
		item, rest = list[i+1:], list[:i]
	} else {
		item = list
	}
	return bytes.Trim(item, " \t"), rest
}

// maxHop bounds the text of one address in bytes.
const maxHop = 64

// parse accepts an address with or without a port, as proxies write both:
// "1.2.3.4", "1.2.3.4:567", "::1", "[::1]", "[::1]:567". A zone means nothing
// here, on another host than the one that wrote it.
func parse(b []byte) (netip.Addr, bool) {
	if len(b) == 0 || len(b) > maxHop || bytes.IndexByte(b, '%') >= 0 {
		return netip.Addr{}, false
	}
	// The string lives only as long as this call: nothing but the error of a
	// failed parse keeps it, and that is dropped here.
	s := unsafe.String(unsafe.SliceData(b), len(b))
	var (
		addr netip.Addr
		err  error
	)
	switch bracket := s[0] == '['; {
	case bracket && s[len(s)-1] == ']':
		addr, err = netip.ParseAddr(s[1 : len(s)-1])
		if addr.Is4() {
			return netip.Addr{}, false
		}
	case bracket || strings.Count(s, ":") == 1:
		var withPort netip.AddrPort
		withPort, err = netip.ParseAddrPort(s)
		addr = withPort.Addr()
	default:
		addr, err = netip.ParseAddr(s)
	}
	return normal(addr), err == nil
}

func normal(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
