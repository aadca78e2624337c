package config

import (
	"regexp"
	"strconv"
	"strings"
)

var methodName = regexp.MustCompile(`^[A-Za-z0-9_.]{1,64}$`)

// changing are the beginnings of methods that change something, or whose answer
// depends on who asks and when: a stored answer to those is never right.
var changing = []string{
	"eth_send", "eth_sign", "eth_subscribe", "eth_unsubscribe", "eth_submit", "eth_new", "eth_uninstall", "eth_getFilter",
	"eth_accounts", "eth_getWork", "personal_", "admin_", "miner_", "engine_", "txpool_", "wallet_",
}

func (r *report) jsonrpc(path string, p *Provider) {
	if p.JSONRPC == nil {
		return
	}
	if p.Protocol == ProtocolHTTP {
		r.refuse(path, "has no effect: the provider's protocol is http", "set protocol: jsonrpc, or remove the section")
		return
	}
	seen := map[string]bool{}
	for i, name := range p.JSONRPC.CacheMethods {
		at := child(path, "cache_methods") + "[" + strconv.Itoa(i) + "]"
		switch {
		case !methodName.MatchString(name):
			r.refuse(at, quote(name)+" is not the name of a method", "use 1 to 64 of A-Z a-z 0-9 _ .")
		case seen[name]:
			r.refuse(at, name+" is named a second time", "name each method once")
		case changes(name):
			r.refuse(at, name+" does more than read, or answers each caller differently", "remove it; only the answers of read-only methods can be stored")
		}
		seen[name] = true
	}
}

func changes(method string) bool {
	for _, prefix := range changing {
		if strings.HasPrefix(method, prefix) {
			return true
		}
	}
	return false
}
