package balance

import (
	"net/netip"
	"slices"
)

// Answer is what a node said when it was asked whether it is ready.
type Answer int

// The answers of a node.
const (
	Ready   Answer = iota // takes requests
	Refuses               // alive, but starting or draining
	Silent                // no answer at all
)

// patience is how often in a row a node may be silent before it is taken out.
// nginx itself steps over a node that refuses connections, so an early judgement
// gains little, and each costs a reload.
const patience = 2

// Members are the nodes that take requests. Not safe for simultaneous use.
type Members struct {
	silent map[netip.AddrPort]int // answers missed in a row, of those that are in
}

// Observe takes one round of answers, of every address that the name has now,
// and returns the nodes to send requests to, sorted. If no node is ready, all of
// them get requests: a node can tell a client why it refuses, and a check that is
// wrong about everybody must not become an outage.
func (m *Members) Observe(answers map[netip.AddrPort]Answer) []netip.AddrPort {
	in := map[netip.AddrPort]int{}
	for addr, answer := range answers {
		missed, wasIn := m.silent[addr]
		switch {
		case answer == Ready:
			in[addr] = 0
		case answer == Silent && wasIn && missed+1 < patience:
			in[addr] = missed + 1
		}
	}
	m.silent = in
	list := make([]netip.AddrPort, 0, len(answers))
	for addr := range answers {
		if _, ok := in[addr]; ok || len(in) == 0 {
			list = append(list, addr)
		}
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return list
}
