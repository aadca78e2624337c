package downstream

import (
	"encoding/binary"
	"syscall"
)

// established is TCP_ESTABLISHED of Linux's net/tcp_states.h.
const established = 1

// ended reports that the peer of a TCP socket closed it, its half of it, or reset
// it. The state is the first byte of tcp_info.
func ended(fd int) bool {
	info, err := syscall.GetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_INFO)
	if err != nil {
		return false // no TCP: nothing is known
	}
	var first [4]byte
	binary.NativeEndian.PutUint32(first[:], uint32(info))
	return first[0] != established
}
