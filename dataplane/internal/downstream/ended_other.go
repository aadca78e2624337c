//go:build !linux

package downstream

import "syscall"

// ended reports that the peer of a socket closed it, its half of it, or reset it,
// as far as a look at the next byte can tell.
func ended(fd int) bool {
	var b [1]byte
	n, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return err == nil && n == 0 || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
}
