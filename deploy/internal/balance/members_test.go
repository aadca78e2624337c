package balance

import (
	"fmt"
	"net/netip"
	"testing"
)

func node(i int) netip.AddrPort { return netip.MustParseAddrPort(fmt.Sprintf("10.0.0.%d:8080", i)) }

// One row per round of answers; the nodes that get requests after it.
func TestObserve(t *testing.T) {
	type answers = map[netip.AddrPort]Answer
	var m Members
	for i, row := range []struct {
		what    string
		answers answers
		want    []netip.AddrPort
	}{
		{"nobody is there yet", answers{}, nil},
		{"a node that starts gets requests if there is no other", answers{node(1): Refuses}, []netip.AddrPort{node(1)}},
		{"two are ready, sorted", answers{node(2): Ready, node(1): Ready}, []netip.AddrPort{node(1), node(2)}},
		{"a new one that is not ready has to wait", answers{node(1): Ready, node(2): Ready, node(3): Silent}, []netip.AddrPort{node(1), node(2)}},
		{"and comes in when it is", answers{node(1): Ready, node(2): Ready, node(3): Ready}, []netip.AddrPort{node(1), node(2), node(3)}},
		{"one that drains is out at once", answers{node(1): Refuses, node(2): Ready, node(3): Ready}, []netip.AddrPort{node(2), node(3)}},
		{"one silence is forgiven", answers{node(1): Refuses, node(2): Silent, node(3): Ready}, []netip.AddrPort{node(2), node(3)}},
		{"if it ends", answers{node(2): Ready, node(3): Ready}, []netip.AddrPort{node(2), node(3)}},
		{"silence again", answers{node(2): Silent, node(3): Ready}, []netip.AddrPort{node(2), node(3)}},
		{"two in a row are not", answers{node(2): Silent, node(3): Ready}, []netip.AddrPort{node(3)}},
		{"out stays out", answers{node(2): Silent, node(3): Ready}, []netip.AddrPort{node(3)}},
		{"until it is ready", answers{node(2): Ready, node(3): Ready}, []netip.AddrPort{node(2), node(3)}},
		{"if nobody is ready, all get requests", answers{node(2): Refuses, node(3): Refuses}, []netip.AddrPort{node(2), node(3)}},
		{"a name that is gone is gone", answers{node(3): Ready}, []netip.AddrPort{node(3)}},
	} {
		got := m.Observe(row.answers)
		if fmt.Sprint(got) != fmt.Sprint(row.want) {
			t.Errorf("round %d, %s: %v, want %v", i+1, row.what, got, row.want)
		}
	}
}

func members(ids ...int) (list []netip.AddrPort) {
	for _, i := range ids {
		list = append(list, node(i))
	}
	return list
}
